"""Parsers of the settings that `provider account set` changes."""

import re
import sys
from collections.abc import Callable
from math import nan
from zoneinfo import available_timezones

from provider.ats import ADAPTERS
from provider.ats.settings import YesNo
from provider.config import parse_duration
from provider.core.accounts import Account
from provider.core.accounts.email_policy import set_candidate_emails, set_reminders
from provider.core.host_patterns import is_too_broad
from provider.core.text_cleaning import clean_line
from provider.errors import Invalid
from provider.services import Services

HOST_LABEL_PATTERN = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST_PATTERN = re.compile(rf"(\*\.)?{HOST_LABEL_PATTERN}(\.{HOST_LABEL_PATTERN})*\.?")
CALLBACK_RATE_RANGE = (0.01, 10_000)  # callbacks per second
MAX_REQUEST_RATE = 10_000  # calls per second


def change_setting(account: Account, services: Services, key: str, text: str) -> None:
    """Change one setting; Invalid lists the known keys, or describes a valid value."""
    adapter = ADAPTERS[account.ats]
    if key == "callback_token":
        account.set_callback_token(services.secret_box, _parse_callback_token(text))
    elif key in SETTERS:
        SETTERS[key](account, text)
    elif setting := adapter.find_setting(key):
        account.options = account.options | {key: setting.parse(text)}
    else:
        names = (setting.name for setting in adapter.settings)
        known_keys = ", ".join(["callback_token", *SETTERS, *names])
        raise Invalid(f"An account has no setting “{key}”: there are {known_keys}")


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


def parse_expire_after(text: str) -> int:
    """Return seconds; Invalid for text that is not a duration such as 7d."""
    return int(parse_duration(text).total_seconds())


def _parse_callback_token(text: str) -> str | None:
    if text == "-":
        text = sys.stdin.readline().strip()
    if text in ("", "none"):
        return None
    if not (text.isascii() and text.isprintable()) or " " in text or len(text) > 4096:
        raise Invalid("callback_token should be one word of plain characters, as the ATS shows it")
    return text


def _set_callback_hosts(account: Account, text: str) -> None:
    account.callback_hosts = [parse_host(host) for host in text.split(",")]


def _set_expire_after(account: Account, text: str) -> None:
    account.expire_after_seconds = parse_expire_after(text)


def _set_timezone(account: Account, text: str) -> None:
    if text not in available_timezones():
        raise Invalid(f"“{text}” is not a time zone: write a name like Europe/Athens")
    account.timezone = text


def _set_shared_ttl(account: Account, text: str) -> None:
    match = re.fullmatch(r"(\d{1,6})\s+(minutes|days|views)", text)
    if text != "none" and (not match or int(match[1]) == 0):
        raise Invalid("shared_ttl should look like 120 minutes, 3 days, 3 views or none")
    account.shared_ttl = int(match[1]) if match else None
    account.shared_ttl_units = match[2] if match else None


def _set_callback_rate(account: Account, text: str) -> None:
    try:
        rate = None if text == "none" else float(text)
    except ValueError:
        rate = nan
    if rate is not None and not CALLBACK_RATE_RANGE[0] <= rate <= CALLBACK_RATE_RANGE[1]:
        raise Invalid(
            "callback_rate should be a number of callbacks per second, 0.01 to 10000, or none"
        )
    account.callback_rate = rate


def _set_request_rate(account: Account, text: str) -> None:
    rate = int(text) if re.fullmatch("[0-9]{1,5}", text) else 0
    if text != "none" and not 1 <= rate <= MAX_REQUEST_RATE:
        raise Invalid(
            "request_rate should be a whole number of calls per second, 1 to 10000, or none"
        )
    account.request_rate = rate or None


def _set_sandbox(account: Account, text: str) -> None:
    account.sandbox = YesNo("sandbox", "").parse(text)


def _set_display_name(account: Account, text: str) -> None:
    _set_branding(
        account, "display_name", None if text in ("", "none") else parse_account_name(text)
    )


def _set_colour(account: Account, text: str) -> None:
    if text != "none" and not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise Invalid("brand.colour should look like #0a5cff, or none")
    _set_branding(account, "colour", None if text == "none" else text.lower())


def _set_branding(account: Account, key: str, value: str | None) -> None:
    others = {name: text for name, text in account.branding.items() if name != key}
    # A new dict: SQLAlchemy does not notice a change inside the old one.
    account.branding = others | ({key: value} if value else {})


SETTERS: dict[str, Callable[[Account, str], None]] = {
    "callback_hosts": _set_callback_hosts,
    "callback_rate": _set_callback_rate,
    "request_rate": _set_request_rate,
    "expire_after": _set_expire_after,
    "timezone": _set_timezone,
    "shared_ttl": _set_shared_ttl,
    "sandbox": _set_sandbox,
    "candidate_emails": set_candidate_emails,
    "reminders": set_reminders,
    "brand.display_name": _set_display_name,
    "brand.colour": _set_colour,
}
