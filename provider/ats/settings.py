"""Typed settings of an account that only its ATS has."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from provider.core.text_cleaning import clean_line
from provider.core.yes_no import format_yes_no, parse_yes_no
from provider.errors import Invalid

MAX_TEXT_LENGTH = 500
_DURATION = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Setting(ABC):
    """A setting: its name, what it does in one sentence, and the value without which it works.

    The stored value is plain JSON. `default` None means that the setting has no value. `form` shows
    what `parse` reads.
    """

    form: ClassVar[str]

    name: str
    description: str
    default: Any = None

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Return the value of a text; Invalid says what a value should be."""

    def effective(self, value: Any) -> Any:
        """Return what a stored value means."""
        return value

    def format(self, value: Any) -> str:
        """Return the text from which `parse` makes this value."""
        return "none" if value is None else str(value)


@dataclass(frozen=True)
class YesNo(Setting):
    """A switch."""

    form = "yes|no"

    default: Any = False

    def parse(self, text: str) -> bool:
        return parse_yes_no(self.name, text)

    def format(self, value: Any) -> str:
        return format_yes_no(value)


@dataclass(frozen=True)
class Choice(Setting):
    """One of several words."""

    choices: tuple[str, ...] = ()

    @property
    def form(self) -> str:  # type: ignore[override]
        return "|".join(self.choices)

    def parse(self, text: str) -> str:
        if text not in self.choices:
            raise Invalid(f"{self.name} should be one of {', '.join(self.choices)}, not “{text}”")
        return text


@dataclass(frozen=True)
class Number(Setting):
    """A number between two bounds, or none where the setting has no default."""

    form = "NUMBER"

    minimum: float = 0
    maximum: float = 1_000_000

    def parse(self, text: str) -> float | None:
        if text == "none" and self.default is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = self.minimum - 1
        if not self.minimum <= number <= self.maximum:
            raise Invalid(
                f"{self.name} should be a number from {self.minimum:g} to {self.maximum:g}, "
                f"not “{text}”"
            )
        return int(number) if number.is_integer() else number


@dataclass(frozen=True)
class Duration(Setting):
    """A time like 90s, 5m, 24h or 7d; stored in seconds. `default` is in seconds, too."""

    form = "TIME"

    minimum: timedelta = timedelta(seconds=10)
    maximum: timedelta = timedelta(days=365)

    def parse(self, text: str) -> int:
        match = _DURATION.fullmatch(text)
        value = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
        if not self.minimum <= value <= self.maximum:
            raise Invalid(
                f"{self.name} should be a time like 90s, 5m, 24h or 7d, at least "
                f"{self.minimum.total_seconds():g}s, not “{text}”"
            )
        return int(value.total_seconds())

    def format(self, value: Any) -> str:
        for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60)):
            if value % seconds == 0:
                return f"{value // seconds}{unit}"
        return f"{value}s"


@dataclass(frozen=True)
class Text(Setting):
    """One line of text, or none."""

    form = "TEXT"

    def parse(self, text: str) -> str | None:
        if text in ("", "none"):
            return None
        if len(text) > MAX_TEXT_LENGTH or clean_line(text) != text:
            raise Invalid(f"{self.name} should be one line of at most {MAX_TEXT_LENGTH} characters")
        return text


@dataclass(frozen=True)
class TimeZone(Setting):
    """A time zone like Europe/Athens."""

    form = "TIMEZONE"

    def parse(self, text: str) -> str:
        if text not in available_timezones():
            raise Invalid(f"{self.name} should be a time zone like Europe/Athens, not “{text}”")
        return text


@dataclass(frozen=True)
class Address(Setting):
    """An https address without a query; http is allowed on this machine itself."""

    form = "URL"

    def parse(self, text: str) -> str | None:
        if text == "none" and self.default is None:
            return None
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            host = ""
        is_local = host in ("127.0.0.1", "localhost", "::1")
        is_allowed = host and (parts.scheme == "https" or (parts.scheme == "http" and is_local))
        if not is_allowed or parts.query or parts.fragment or parts.username is not None:
            raise Invalid(f"{self.name} should be an address like https://api.example.com/v2")
        return text.rstrip("/")


@dataclass(frozen=True)
class Table(Setting):
    """Names and their values: `Basic=Qm3x, Enhanced=Zk8a`. Those of `default` stay, unless given.

    Where there are `names` or defaults, only these names may be given.
    """

    form = "TABLE"
    names: tuple[str, ...] = ()

    def effective(self, value: Any) -> dict[str, str]:
        return {**(self.default or {}), **(value or {})}

    def parse(self, text: str) -> dict[str, str]:
        if text in ("", "none"):
            return {}
        pairs = [part.partition("=") for part in text.split(",")]
        table = {name.strip(): value.strip() for name, _, value in pairs}
        if not all(equals and name.strip() and value.strip() for name, equals, value in pairs):
            raise Invalid(f"{self.name} should look like NAME=VALUE, NAME=VALUE, or none")
        names = self.names or tuple(self.default or ())
        if names and (unknown := [name for name in table if name not in names]):
            known = ", ".join(names)
            raise Invalid(f"{self.name} has no name “{unknown[0]}”: there are {known}")
        return table

    def format(self, value: Any) -> str:
        return ", ".join(f"{name}={text}" for name, text in (value or {}).items()) or "none"
