"""E-mail addresses: mending, the domain's ASCII form, and whether mail can be addressed to one."""

import re

from provider.core.text_cleaning import clean_line

MAX_ADDRESS_LENGTH = 254  # characters in ASCII, RFC 5321
# Latin letters, digits and signs as an East Asian keyboard types them: U+FF01 to U+FF5E.
_FULL_WIDTH_TO_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
# RFC 5322 without quoting. The email library would decode `=?…?=`.
_LOCAL_PART = re.compile(r"""(?!.*=\?)[^\s\x00-\x1f\x7f-\x9f()<>\[\]:;@\\,"]{1,64}""")
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def mend_address(text: str) -> str:
    """Return an address without spaces around it, invisible and full-width characters."""
    return clean_line(text).translate(_FULL_WIDTH_TO_ASCII).strip()


def mask_address(address: str) -> str:
    """Return an address of which only two characters can be read: `l…@g…`."""
    local_part, _, domain = address.rpartition("@")
    return f"{local_part[:1]}…@{domain[:1]}…"


def encode_domain(domain: str) -> str:
    """Return a domain in ASCII by IDNA 2008 and UTS #46 (non-transitional), or raise ValueError.

    Python's own codec is IDNA 2003: straße.example would become the other domain strasse.example.
    """
    if domain.isascii():
        return domain.lower()
    import idna  # late: its tables are large

    return idna.encode(domain, uts46=True, transitional=False).decode()


def split_address(address: str) -> tuple[str, str] | None:
    """Return the local part and the domain in ASCII; None for an address that cannot be mailed."""
    local_part, _, domain = address.rpartition("@")
    local_part = local_part.strip('"')  # whoever writes a header adds quotes where it needs them
    try:
        domain = encode_domain(domain)
    except ValueError:
        return None
    if not _LOCAL_PART.fullmatch(local_part) or not _DOMAIN.fullmatch(domain):
        return None
    return (local_part, domain) if len(local_part) + len(domain) < MAX_ADDRESS_LENGTH else None
