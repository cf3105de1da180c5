"""Checks at work, and the acts of staff on their screenings."""

from datetime import UTC, datetime
from typing import Any

from provider.core.kinds.check import Check
from provider.core.kinds.check.questions import ask
from provider.core.kinds.check.records import RecordForm, add_record
from provider.core.kinds.check.tables.information_request import InformationRequest
from provider.services import Services
from tests import check_factories, factories

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SAM, ANA = "sam@provider.test", "ana@provider.test"
QUESTION = "In which town was the bakeri?"
ANSWER = "It was in Volos, near the harbor"
RECORD_TEXT = "A fine for quill smuggling"
RECORD_NOTE = "Seen in the registar of Volos"
# Parts of the texts that nothing but the pages for their readers may contain.
SECRET_WORDS = ("bakeri", "harbor", "quill", "registar")


def consented_check(services: Services, **fields: Any) -> str:
    """Return the public id of a check whose candidate has agreed."""
    public_id = check_factories.place_check(services, **fields)
    check_factories.give_consent(services, public_id)
    return public_id


def check_of_another_account(services: Services) -> str:
    account_id, _ = factories.create_account(services, "Rival Corp")
    product = check_factories.create_package(services, "other", "Other")
    public_id = factories.place_order(
        services,
        account_id,
        product,
        "check",
        callback_url="https://rival.workable.com/checks/1",
        email="zelda@rival.test",
    )
    check_factories.give_consent(services, public_id)
    return public_id


def ask_candidate(
    services: Services, public_id: str, key: str = "jobs", documents: tuple[str, ...] = ()
) -> str:
    """Ask the candidate; return the public id of the question."""
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        box, now = services.secret_box, services.now()
        request: InformationRequest = ask(session, box, check, key, QUESTION, documents, SAM, now)
        return request.public_id


def record_form(now: datetime, **values: str) -> RecordForm:
    fields = {
        "kind": "conviction",
        "severity": "high",
        "day": "2019-03-04",
        "public_text": RECORD_TEXT,
        "private_note": RECORD_NOTE,
    }
    return RecordForm.parse(**(fields | values), now=now)


def add_found_record(services: Services, public_id: str, key: str = "record") -> str:
    """Add a record to a screening; return its public id."""
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        form = record_form(services.now())
        record = add_record(session, services.secret_box, check, key, form, SAM, services.now())
        return record.public_id
