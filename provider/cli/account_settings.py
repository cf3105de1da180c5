"""The settings of an account as text: what `provider account set` understands."""

import re
import sys
from collections.abc import Callable
from math import nan
from zoneinfo import available_timezones

from provider.accounts import Account
from provider.ats import DIALECTS
from provider.config import duration
from provider.errors import Invalid
from provider.house import House

LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})*\.?")
RATE = (0.01, 10_000)  # callbacks a second
MOST_REQUESTS = 10_000  # a second
YES, NO = {"yes", "true", "on", "1"}, {"no", "false", "off", "0"}


def change(account: Account, house: House, key: str, text: str) -> None:
    """Change one setting; Invalid says which keys there are, or what its value should look like."""
    switches = DIALECTS[account.ats].switches
    if key == "callback_token":
        account.set_callback_token(house.vault, _secret(text))
    elif key in SETTERS:
        SETTERS[key](account, text)
    elif key in switches:
        account.switches = account.switches | {key: yes_no(key, text)}
    else:
        known = ", ".join(["callback_token", *SETTERS, *switches])
        raise Invalid(f"An account has no setting “{key}”: there are {known}")


def name(text: str) -> str:
    """Read an account's name."""
    text = text.strip()
    if not 1 <= len(text) <= 100 or not text.isprintable():
        raise Invalid("An account's name is one line of at most 100 characters")
    return text


def host(text: str) -> str:
    """Read the name of a host, or `*.example.com` for all below it."""
    text = text.strip().lower()
    if len(text) > 253 or not HOST.fullmatch(text):
        raise Invalid(f"“{text}” is not a host: write hooks.example.com or *.example.com, no more")
    return text.rstrip(".")


def stay(text: str) -> int:
    """Read the time that an order waits for its candidate, in seconds."""
    return int(duration(text).total_seconds())


def yes_no(key: str, text: str) -> bool:
    """Read a switch."""
    if text.lower() not in YES | NO:
        raise Invalid(f"{key} should be yes or no, not “{text}”")
    return text.lower() in YES


def _secret(text: str) -> str | None:
    if text == "-":
        text = sys.stdin.readline().strip()
    if text in ("", "none"):
        return None
    if not (text.isascii() and text.isprintable()) or " " in text or len(text) > 4096:
        raise Invalid("callback_token should be one word of plain characters, as the ATS shows it")
    return text


def _hosts(account: Account, text: str) -> None:
    account.callback_hosts = [host(each) for each in text.split(",")]


def _expire_after(account: Account, text: str) -> None:
    account.expire_after = stay(text)


def _timezone(account: Account, text: str) -> None:
    if text not in available_timezones():
        raise Invalid(f"“{text}” is not a time zone: write a name like Europe/Athens")
    account.timezone = text


def _shared_ttl(account: Account, text: str) -> None:
    match = re.fullmatch(r"(\d{1,6})\s+(minutes|days|views)", text)
    if text != "none" and (not match or int(match[1]) == 0):
        raise Invalid("shared_ttl should look like 120 minutes, 3 days, 3 views or none")
    account.shared_ttl = int(match[1]) if match else None
    account.shared_ttl_units = match[2] if match else None


def _callback_rate(account: Account, text: str) -> None:
    try:
        rate = None if text == "none" else float(text)
    except ValueError:
        rate = nan
    if rate is not None and not RATE[0] <= rate <= RATE[1]:
        raise Invalid(
            "callback_rate should be a number of callbacks a second, 0.01 to 10000, or none"
        )
    account.callback_rate = rate


def _request_rate(account: Account, text: str) -> None:
    rate = int(text) if re.fullmatch("[0-9]{1,5}", text) else 0
    if text != "none" and not 1 <= rate <= MOST_REQUESTS:
        raise Invalid(
            "request_rate should be a whole number of calls a second, 1 to 10000, or none"
        )
    account.request_rate = rate or None


def _sandbox(account: Account, text: str) -> None:
    account.sandbox = yes_no("sandbox", text)


def _display_name(account: Account, text: str) -> None:
    _brand(account, "display_name", None if text in ("", "none") else name(text))


def _colour(account: Account, text: str) -> None:
    if text != "none" and not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise Invalid("brand.colour should look like #0a5cff, or none")
    _brand(account, "colour", None if text == "none" else text.lower())


def _brand(account: Account, key: str, value: str | None) -> None:
    rest = {each: kept for each, kept in account.brand.items() if each != key}
    account.brand = rest | ({key: value} if value else {})


SETTERS: dict[str, Callable[[Account, str], None]] = {
    "callback_hosts": _hosts,
    "callback_rate": _callback_rate,
    "request_rate": _request_rate,
    "expire_after": _expire_after,
    "timezone": _timezone,
    "shared_ttl": _shared_ttl,
    "sandbox": _sandbox,
    "brand.display_name": _display_name,
    "brand.colour": _colour,
}
