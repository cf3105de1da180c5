"""The records of a screening: add one, correct it, and remove it with a reason."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

from sqlalchemy.orm import Session

from provider.core.kinds.check.models import Check
from provider.core.kinds.check.screening_work import begin
from provider.core.kinds.check.tables.finding import MAX_NOTE_LENGTH, MAX_REPORT_TEXT_LENGTH
from provider.core.kinds.check.tables.found_record import (
    RECORD_KINDS,
    SEVERITIES,
    FoundRecord,
    RecordFacts,
)
from provider.core.products.schema_fields import clean_text
from provider.errors import Conflict, Invalid, NotFound
from provider.storage import secrets
from provider.storage.secrets import SecretBox

MAX_REASON_LENGTH = 500  # characters
FIRST_YEAR = 1900


@dataclass(frozen=True)
class RecordForm:
    """What staff enter about a record."""

    kind: str
    severity: str
    occurred_on: date | None
    public_text: str
    private_note: str = ""

    @classmethod
    def parse(
        cls, kind: str, severity: str, day: str, public_text: str, private_note: str, now: datetime
    ) -> Self:
        """Return the cleaned values. Raises Invalid."""
        if kind not in RECORD_KINDS or severity not in SEVERITIES:
            raise Invalid("Choose the kind and the severity of the record")
        public_text, private_note = (
            clean_text(text).replace("\r\n", "\n") for text in (public_text, private_note)
        )
        if not public_text:
            raise Invalid("Write what the report says of this record")
        for text, maximum in (
            (public_text, MAX_REPORT_TEXT_LENGTH),
            (private_note, MAX_NOTE_LENGTH),
        ):
            if len(text) > maximum:
                raise Invalid("This text has at most %(maximum)d characters", maximum=maximum)
        return cls(kind, severity, _parse_day(day, now), public_text, private_note)


def add_record(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    key: str,
    form: RecordForm,
    staff: str,
    now: datetime,
) -> FoundRecord:
    """Add a record to a screening of a check that is at work."""
    _begin(session, check, key, now)
    record = _append(secret_box, check, key, form, staff, now)
    check.record_event(session, "record added", staff, now, check.find_screening(key).name)
    return record


def correct_record(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    record_id: str,
    form: RecordForm,
    reason: str,
    staff: str,
    now: datetime,
) -> FoundRecord:
    """Replace a record by a corrected one. The old one stays, removed with the reason."""
    old = _remove(session, secret_box, check, record_id, reason, staff, now)
    record = _append(secret_box, check, old.screening, form, staff, now)
    name = check.find_screening(old.screening).name
    check.record_event(session, "record corrected", staff, now, name)
    return record


def remove_record(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    record_id: str,
    reason: str,
    staff: str,
    now: datetime,
) -> None:
    """Remove a record that does not belong to the candidate, or must not be reported."""
    record = _remove(session, secret_box, check, record_id, reason, staff, now)
    name = check.find_screening(record.screening).name
    check.record_event(session, "record removed", staff, now, name)


def find_record(check: Check, record_id: str) -> FoundRecord:
    """Return a record of a check by its public id. Raises NotFound."""
    for record in check.records:
        if record.public_id == record_id:
            return record
    raise NotFound("There is no such record")


def _begin(session: Session, check: Check, key: str, now: datetime) -> None:
    check.require_consented()
    begin(check, session, check.find_task(key), now)


def _append(
    secret_box: SecretBox, check: Check, key: str, form: RecordForm, staff: str, now: datetime
) -> FoundRecord:
    record = FoundRecord(
        public_id=secrets.generate_public_id(),
        screening=key,
        actor=staff,
        recorded_at=now,
    )
    facts = RecordFacts(form.kind, form.severity, form.occurred_on)
    record.set_facts(secret_box, check.public_id, facts)
    path = record.row_path(check.public_id, "public_text")
    record.public_text = secret_box.encrypt(form.public_text, path)
    if form.private_note:
        path = record.row_path(check.public_id, "private_note")
        record.private_note = secret_box.encrypt(form.private_note, path)
    check.records.append(record)
    return record


def _remove(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    record_id: str,
    reason: str,
    staff: str,
    now: datetime,
) -> FoundRecord:
    record = find_record(check, record_id)
    _begin(session, check, record.screening, now)
    if record.removed_at:
        raise Conflict("A colleague has removed or corrected this record already")
    reason = clean_text(reason)
    if not 1 <= len(reason) <= MAX_REASON_LENGTH:
        raise Invalid("Write a reason of at most %(maximum)d characters", maximum=MAX_REASON_LENGTH)
    path = record.row_path(check.public_id, "removal_reason")
    record.removal_reason = secret_box.encrypt(reason, path)
    record.removed_at, record.removed_by = now, staff
    return record


def _parse_day(text: str, now: datetime) -> date | None:
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        day = date.min
    if day.year < FIRST_YEAR or day > now.date():
        raise Invalid("Write the day of the record as year-month-day, such as 2019-02-28")
    return day
