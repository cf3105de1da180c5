"""The answers of vendors: a connector's paths and statuses say what a JSON body means."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.tables.found_record import RECORD_KINDS, SEVERITIES
from provider.core.text_cleaning import clean_line
from provider.errors import Invalid

SUBMITTED, IN_PROGRESS, ERROR = "submitted", "in progress", "error"
# What a vendor's status may mean. The last two are results.
MEANINGS = (SUBMITTED, IN_PROGRESS, ERROR, CLEAR, CONSIDER)
# The parts of an answer that a connector has a path for; those of a record begin at the record.
PATH_NAMES = ("reference", "status", "text", "records")
RECORD_PATH_NAMES = ("kind", "severity", "date", "public_text")
MAX_RECORDS = 50
MAX_TEXT_LENGTH = 2000  # characters
MAX_REFERENCE_LENGTH = 200  # characters


@dataclass(frozen=True)
class VendorRecord:
    """A record that a vendor has found, in the words of `FoundRecord`."""

    kind: str
    severity: str
    text: str
    occurred_on: date | None = None


@dataclass(frozen=True)
class VendorAnswer:
    """What an answer says. `meaning` is of MEANINGS; empty if it has no status."""

    meaning: str = ""
    reference: str = ""
    text: str = ""
    records: tuple[VendorRecord, ...] = field(default=())

    @property
    def is_result(self) -> bool:
        return self.meaning in (CLEAR, CONSIDER)


class UnknownStatus(Invalid):
    """A status that means nothing to the connector. `words` may name the candidate."""

    def __init__(self, words: str) -> None:
        super().__init__(
            "The connector does not say what the vendor’s status “%(status)s” means",
            status=words[:60],
        )
        self.words = words[:MAX_TEXT_LENGTH]


def parse_body(body: bytes) -> Any:
    """Return the JSON of a body. Raises Invalid."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("The vendor’s answer is no JSON") from None


def read_answer(
    payload: Any, paths: Mapping[str, str], statuses: Mapping[str, str]
) -> VendorAnswer:
    """Return what a JSON answer says. Raises UnknownStatus for one that has no meaning here."""
    status = _text_at(payload, paths.get("status", ""))
    meaning = statuses.get(status, status if status in MEANINGS else "")
    if status and not meaning:
        raise UnknownStatus(status)
    records = _at(payload, paths.get("records", ""))
    entries = records[:MAX_RECORDS] if isinstance(records, list) else []
    return VendorAnswer(
        meaning,
        _text_at(payload, paths.get("reference", ""))[:MAX_REFERENCE_LENGTH],
        _text_at(payload, paths.get("text", ""))[:MAX_TEXT_LENGTH],
        tuple(_read_record(entry, paths) for entry in entries),
    )


def _read_record(entry: Any, paths: Mapping[str, str]) -> VendorRecord:
    kind, severity, day, text = (_text_at(entry, paths.get(name, "")) for name in RECORD_PATH_NAMES)
    severity = severity.casefold()
    return VendorRecord(
        kind.casefold() if kind.casefold() in RECORD_KINDS else "other",
        severity if severity in SEVERITIES else "medium",
        (text or kind or "The vendor gave no text")[:MAX_TEXT_LENGTH],
        _parse_day(day),
    )


def _parse_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _text_at(payload: Any, path: str) -> str:
    value = _at(payload, path)
    is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return clean_line(str(value)).strip() if is_plain else ""


def _at(payload: Any, path: str) -> Any:
    """Return the value at a path such as `report.records.0`; None where there is none."""
    if not path:
        return None
    for part in path.split("."):
        if isinstance(payload, Mapping):
            payload = payload.get(part)
        elif isinstance(payload, list) and part.isdecimal() and int(part) < len(payload):
            payload = payload[int(part)]
        else:
            return None
    return payload
