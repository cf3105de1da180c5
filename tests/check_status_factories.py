"""Records, disputes and wishes of the candidate of a check."""

from datetime import date
from typing import Any

from provider.core.kinds.check import Check
from provider.core.kinds.check.disputes import find_open_dispute, open_dispute
from provider.core.kinds.check.tables.check_case import CheckCase
from provider.core.kinds.check.tables.found_record import FoundRecord, RecordFacts
from provider.services import Services
from provider.storage import secrets

DISPUTE_TEXT = "That was my brother, not me"
RECORD_TEXT = "County court, theft, 2017"
RECORD_NOTE = "Matched by the date of birth only"


def set_case(services: Services, public_id: str, **fields: Any) -> None:
    """Store where the candidate lives, and what she wants to get."""
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        case = check.case or CheckCase(order_id=check.id)
        for name, value in fields.items():
            setattr(case, name, value)
        session.add(case)


def add_record(
    services: Services,
    public_id: str,
    screening: str = "jobs",
    text: str = RECORD_TEXT,
    note: str = RECORD_NOTE,
) -> None:
    box = services.secret_box
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        record = FoundRecord(
            public_id=secrets.generate_public_id(),
            screening=screening,
            actor="sam@provider.test",
            recorded_at=services.now(),
        )
        record.set_facts(box, public_id, RecordFacts("conviction", "high", date(2017, 3, 1)))
        record.public_text = box.encrypt(text, record.row_path(public_id, "public_text"))
        record.private_note = box.encrypt(note, record.row_path(public_id, "private_note"))
        check.records.append(record)


def dispute(
    services: Services,
    public_id: str,
    screening: str = "jobs",
    reason: str = "not me",
    text: str = DISPUTE_TEXT,
) -> str:
    """Open a dispute; return its public id."""
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        box, now = services.secret_box, services.now()
        return open_dispute(session, box, check, screening, reason, text, now).public_id


def has_open_dispute(services: Services, public_id: str, screening: str = "jobs") -> bool:
    with services.db.reading() as session:
        return find_open_dispute(Check.find(session, public_id), screening) is not None
