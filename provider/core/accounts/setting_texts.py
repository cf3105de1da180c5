"""Parsers of the texts of settings: names, hosts, tokens, and addresses for contact."""

import re
from urllib.parse import urlsplit

from provider.core.email_address import mend_address, split_address
from provider.core.host_patterns import is_too_broad
from provider.core.text_cleaning import clean_line
from provider.errors import Invalid

HOST_LABEL_PATTERN = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST_PATTERN = re.compile(rf"(\*\.)?{HOST_LABEL_PATTERN}(\.{HOST_LABEL_PATTERN})*\.?")
MAX_CONTACT_LENGTH = 300  # characters of an e-mail address or a web address
NONE = "none"  # the text of a setting without a value


def parse_account_name(text: str) -> str:
    """Return a name without surrounding space; Invalid if it is empty, long or not one line."""
    text = clean_line(text).strip()
    if not 1 <= len(text) <= 100 or not text.isprintable():
        raise Invalid("An account's name is one line of at most 100 characters")
    return text


def parse_host(text: str) -> str:
    """Return a host name in lower case; `*.example.com` matches every subdomain."""
    text = text.strip().lower()
    if len(text) > 253 or not HOST_PATTERN.fullmatch(text):
        raise Invalid(f"“{text}” is not a host: write only hooks.example.com or *.example.com")
    if is_too_broad(text):
        raise Invalid(f"“{text}” allows too many hosts: write at least two names after the star")
    return text.rstrip(".")


def parse_callback_token(text: str) -> str | None:
    if text in ("", NONE):
        return None
    if not (text.isascii() and text.isprintable()) or " " in text or len(text) > 4096:
        raise Invalid("callback_token should be one word of plain characters, as the ATS shows it")
    return text


def parse_contact(name: str, text: str) -> str:
    """Return an e-mail address or a web address, as people may write to it or open it."""
    address = mend_address(text)
    parts = split_address(address)
    if len(address) <= MAX_CONTACT_LENGTH and address.isprintable():
        if parts and "." in parts[1] and '"' not in address:
            return address
        if _is_web_address(address):
            return address
    raise Invalid(
        f"{name} should be an e-mail address, or an address like https://example.com/help, or none"
    )


def contact_url(contact: str) -> str:
    """Return the target of a link to what `parse_contact` has accepted."""
    return contact if contact.startswith("https://") else f"mailto:{contact}"


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    is_plain = not re.search(r"[\s\"<>\\]", text) and parts.username is None
    return parts.scheme == "https" and text.startswith("https://") and "." in host and is_plain
