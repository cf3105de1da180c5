"""The form of a connector: what staff type, checked field by field."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from provider.core.kinds.check.vendors.request_template import (
    check_url_placeholders,
    parse_template,
)
from provider.core.kinds.check.vendors.vendor_answer import MEANINGS, PATH_NAMES, RECORD_PATH_NAMES
from provider.core.text_cleaning import clean_line
from provider.errors import Invalid

METHODS = ("POST", "PUT", "PATCH")
MAX_POLL_MINUTES = 10_080  # a week
MAX_HEADERS, MAX_HEADER_LENGTH = 20, 4096
MAX_STATUSES = 50
# The client writes these, or they would change what the request is.
RESERVED_HEADERS = frozenset(
    {"connection", "content-length", "host", "idempotency-key", "transfer-encoding", "user-agent"}
)
_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,60}")
_PATH = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)


class InvalidConnector(Invalid):
    """A form with errors. `fields` has one sentence per wrong field."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = fields


def parse_connector(form: Mapping[str, str], *, allow_http: bool) -> dict[str, Any]:
    """Return the columns of a connector without its secrets. Raises InvalidConnector.

    `allow_http` is for tests and development: addresses are then not limited to https.
    """
    parsers: dict[str, Callable[[str], Any]] = {
        "key": _parse_key,
        "name": _parse_name,
        "url": lambda text: _parse_url(text, allow_http),
        "method": _parse_method,
        "request_template": _parse_request_template,
        "statuses": _parse_statuses,
        "poll_url": lambda text: _parse_poll_url(text, allow_http),
        "poll_minutes": _parse_minutes,
    }
    problems: dict[str, str] = {}
    columns: dict[str, Any] = {"paths": {}}
    for name, parse in parsers.items():
        try:
            columns[name] = parse(form.get(name, "").replace("\r\n", "\n").strip())
        except Invalid as error:
            problems[name] = str(error)
    for name in (*PATH_NAMES, *RECORD_PATH_NAMES):
        text = form.get(f"path-{name}", "").strip()
        if text and (len(text) > 200 or not _PATH.fullmatch(text)):
            problems[f"path-{name}"] = "Write names with dots between them, such as report.status"
        elif text:
            columns["paths"][name] = text
    if columns.get("poll_minutes") and not columns.get("poll_url"):
        problems.setdefault("poll_url", "Polling needs an address")
    if problems:
        raise InvalidConnector(problems)
    return columns


def parse_headers(text: str) -> dict[str, str]:
    """Return the headers of lines such as `Authorization: Bearer KEY`. Raises InvalidConnector."""
    headers: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        is_plain = value.isascii() and value.isprintable() and len(value) <= MAX_HEADER_LENGTH
        if not colon or not value or not _HEADER_NAME.fullmatch(name) or not is_plain:
            raise InvalidConnector({"headers": "Write one header in a line, as NAME: VALUE"})
        if name.lower() in RESERVED_HEADERS:
            raise InvalidConnector({"headers": f"The header {name} is written by the server"})
        headers[name] = value
    if len(headers) > MAX_HEADERS:
        raise InvalidConnector({"headers": f"There can be at most {MAX_HEADERS} headers"})
    return headers


def format_statuses(statuses: Mapping[str, str]) -> str:
    """Return the lines from which the form makes the same statuses."""
    return "\n".join(f"{status} = {meaning}" for status, meaning in statuses.items())


def _parse_key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise Invalid("A key has small letters, digits and hyphens, at most 64")
    return text


def _parse_name(text: str) -> str:
    name = clean_line(text).strip()
    if not name or len(name) > 120:
        raise Invalid("Type a name of at most 120 characters")
    return name


def _parse_method(text: str) -> str:
    if text not in METHODS:
        raise Invalid("Choose one of: %(names)s", names=", ".join(METHODS))
    return text


def _parse_request_template(text: str) -> str:
    parse_template(text)
    return text


def _parse_url(text: str, allow_http: bool) -> str:
    try:
        parts = urlsplit(text)
        is_plain = bool(parts.hostname) and not parts.username and not parts.password
        is_plain = (
            is_plain and "{" not in parts.netloc and (allow_http or parts.port in (None, 443))
        )
    except ValueError:
        raise Invalid("This is no address") from None
    schemes = ("https", "http") if allow_http else ("https",)
    is_line = text.isascii() and text.isprintable() and len(text) <= 1000
    if parts.scheme not in schemes or not is_plain or not is_line:
        raise Invalid("Type a whole %(scheme)s address, without user and port", scheme="https")
    return text


def _parse_poll_url(text: str, allow_http: bool) -> str:
    if not text:
        return ""
    url = _parse_url(text, allow_http)
    check_url_placeholders(url)
    return url


def _parse_minutes(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and int(text[:9]) <= MAX_POLL_MINUTES):
        raise Invalid("Type a number of minutes from 0 to %(maximum)d", maximum=MAX_POLL_MINUTES)
    return int(text)


def _parse_statuses(text: str) -> dict[str, str]:
    statuses: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        status, equals, meaning = (part.strip() for part in line.rpartition("="))
        if not equals or not status or meaning not in MEANINGS:
            raise Invalid(
                "Write one status in a line, then = and its meaning. Meanings: %(names)s",
                names=", ".join(MEANINGS),
            )
        statuses[status[:100]] = meaning
    if len(statuses) > MAX_STATUSES:
        raise Invalid("There can be at most %(maximum)d statuses", maximum=MAX_STATUSES)
    return statuses
