"""A screening waits for the candidate until no question is open and no document is refused."""

from typing import Any

import pytest

from provider.core.kinds.check import Check
from provider.core.kinds.check.documents import (
    ask_again,
    find_document,
    finish_documents,
    open_slots,
)
from provider.core.kinds.check.questions import answer, withdraw
from provider.core.kinds.check.tables.referee_request import BOUNCED, list_requests
from provider.core.kinds.check.tables.vendor_order import find_vendor_order
from provider.core.kinds.check.vendors.vendor_acts import record_failure
from provider.services import Services
from tests import check_document_factories as documents
from tests import check_factories, check_work_factories
from tests import check_outside_factories as outside

pytestmark = pytest.mark.both

SAM = "sam@provider.test"
IDENTITY: dict[str, Any] = {
    "key": "jobs",
    "name": "Employment history",
    "type": "employment",
    "asks": ["full_name"],
    "documents": ["identity"],
}
VENDOR = outside.VENDOR_SCREENING | {"documents": ["identity"]}
REFEREES = outside.REFEREE_SCREENING | {"documents": ["identity"]}


def consented_check(services: Services, screening: dict[str, Any]) -> tuple[str, str]:
    """Return the public ids of a check and of its document, which the candidate has sent."""
    public_id = outside.place_check(services, screening)
    document_id = documents.send_document(services, public_id)
    details = {"referees": outside.REFEREE_LINES} if "referees" in str(screening["asks"]) else {}
    check_factories.give_consent(services, public_id, **details)
    return public_id, document_id


def refuse(services: Services, public_id: str, document_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        document = find_document(session, check, document_id)
        ask_again(session, check, document, SAM, services.now())


def send_again(services: Services, public_id: str) -> None:
    documents.send_document(services, public_id, content=documents.png())
    with services.db.writing() as session:
        finish_documents(session, Check.find(session, public_id), services.now())


def state(services: Services, public_id: str) -> str:
    [found] = documents.task_states(services, public_id).values()
    return found


@pytest.mark.parametrize("act", ["answer", "withdraw"])
def test_end_of_question_leaves_refused_document_asked_for(services: Services, act: str) -> None:
    public_id, document_id = consented_check(services, IDENTITY)
    question = check_work_factories.ask_candidate(services, public_id)
    refuse(services, public_id, document_id)
    with services.db.writing() as session:
        check, now = Check.find(session, public_id), services.now()
        if act == "answer":
            answer(session, services.secret_box, check, question, "I did", now)
        else:
            withdraw(session, check, question, SAM, now)
        assert list(open_slots(check)) == ["identity"]
        assert check.waiting_for == "candidate"
        assert check.find_task("jobs").clock_stopped_at
    send_again(services, public_id)
    assert state(services, public_id) == "in progress"


def test_new_document_leaves_open_question_asked(services: Services) -> None:
    public_id, document_id = consented_check(services, IDENTITY)
    question = check_work_factories.ask_candidate(services, public_id)
    refuse(services, public_id, document_id)
    send_again(services, public_id)
    assert state(services, public_id) == "asked"
    with services.db.writing() as session:
        check, now = Check.find(session, public_id), services.now()
        assert check.find_task("jobs").clock_stopped_at
        answer(session, services.secret_box, check, question, "I did", now)
        assert check.find_task("jobs").clock_stopped_at is None
    assert state(services, public_id) == "in progress"


def test_vendor_goes_on_after_a_new_document(services: Services) -> None:
    public_id, document_id = consented_check(services, VENDOR)
    refuse(services, public_id, document_id)
    assert state(services, public_id) == "asked"
    send_again(services, public_id)
    assert state(services, public_id) == "submitted"


def test_failure_of_vendor_meanwhile_shows_after_the_wait(services: Services) -> None:
    public_id, document_id = consented_check(services, VENDOR)
    refuse(services, public_id, document_id)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        vendor_order = find_vendor_order(session, check.id, "record")
        assert vendor_order
        record_failure(session, check, vendor_order, "refused", services.now())
    assert state(services, public_id) == "asked"
    send_again(services, public_id)
    assert state(services, public_id) == "error"


@pytest.mark.parametrize(("bounces", "expected"), [(False, "submitted"), (True, "error")])
def test_referees_go_on_after_a_new_document(
    services: Services, bounces: bool, expected: str
) -> None:
    public_id, document_id = consented_check(services, REFEREES)
    refuse(services, public_id, document_id)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        for request in list_requests(session, check.id)[:1] if bounces else ():
            request.settle(BOUNCED, services.now())
    send_again(services, public_id)
    assert state(services, public_id) == expected
