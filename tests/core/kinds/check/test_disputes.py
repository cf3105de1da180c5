"""Disputes: opening, retracting and answering them."""

import pytest

from provider.core.kinds.check import Check
from provider.core.kinds.check.disputes import (
    answer_dispute,
    decrypt_answer,
    decrypt_reason,
    decrypt_text,
    find_dispute,
    retract_dispute,
)
from provider.core.orders import Order
from provider.errors import Conflict, Invalid, NotFound
from provider.services import Services
from tests import check_factories
from tests.check_status_factories import DISPUTE_TEXT, dispute, has_open_dispute
from tests.core.kinds.check.test_check import enqueued_topics, event_types

ACTOR = "sam@provider.test"
ANSWER = "We have asked the court again"


def answer(
    services: Services, dispute_id: str, outcome: str = "upheld", text: str = ANSWER
) -> None:
    with services.db.writing() as session:
        check, found = find_dispute(session, dispute_id, lock=True)
        box, now = services.secret_box, services.now()
        answer_dispute(session, box, check, found, outcome, text, ACTOR, now)


@pytest.mark.both
def test_dispute_is_stored_encrypted_and_answered(services: Services) -> None:
    public_id = check_factories.completed_check(services)
    dispute_id = dispute(services, public_id)
    with services.db.reading() as session:
        check, row = find_dispute(session, dispute_id)
        assert DISPUTE_TEXT.encode() not in row.text
        assert decrypt_text(services.secret_box, check, row) == DISPUTE_TEXT
        assert decrypt_reason(services.secret_box, check, row) == "not me"
        assert row.is_open
    answer(services, dispute_id, "corrected")
    with services.db.reading() as session:
        check, row = find_dispute(session, dispute_id)
        assert (row.outcome, row.actor, row.is_open) == ("corrected", ACTOR, False)
        assert decrypt_answer(services.secret_box, check, row) == ANSWER
    assert event_types(services, public_id)[-2:] == ["dispute opened", "dispute answered"]
    assert enqueued_topics(services, public_id)[-1] == "dispute_answer"
    assert "completed" in enqueued_topics(services, public_id)


def test_dispute_events_have_no_text_of_the_candidate(services: Services) -> None:
    public_id = check_factories.completed_check(services)
    answer(services, dispute(services, public_id))
    with services.db.reading() as session:
        notes = [event.note for event in Order.find(session, public_id).events]
    assert notes[-2:] == ["Employment history", "Employment history"]


def test_dispute_before_completion_is_refused(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id)
    with pytest.raises(Conflict, match="once the check is complete"):
        dispute(services, public_id)
    assert not has_open_dispute(services, public_id)


def test_second_open_dispute_of_a_screening_is_refused(services: Services) -> None:
    public_id = check_factories.completed_check(services)
    first = dispute(services, public_id)
    assert dispute(services, public_id) == first  # the same form, sent twice
    with pytest.raises(Conflict, match="already"):
        dispute(services, public_id, text="Something else")
    assert dispute(services, public_id, "identity") != first
    answer(services, first)
    assert dispute(services, public_id) != first


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reason": ""}, "choose a reason"),
        ({"reason": "because"}, "choose a reason"),
        ({"text": "  a "}, "3 to 4000"),
        ({"text": "x" * 4001}, "3 to 4000"),
    ],
)
def test_dispute_with_a_wrong_field_is_refused(
    services: Services, fields: dict[str, str], message: str
) -> None:
    public_id = check_factories.completed_check(services)
    with pytest.raises(Invalid, match=message):
        dispute(services, public_id, **fields)
    assert not has_open_dispute(services, public_id)


@pytest.mark.both
def test_dispute_of_an_unknown_screening_is_not_found(services: Services) -> None:
    public_id = check_factories.completed_check(services)
    with pytest.raises(NotFound):
        dispute(services, public_id, "nothing")
    for dispute_id in ("nothing", "a\x00b", "x" * 60):
        with services.db.reading() as session, pytest.raises(NotFound):
            find_dispute(session, dispute_id)


def test_retracted_dispute_cannot_be_answered(services: Services) -> None:
    public_id = check_factories.completed_check(services)
    dispute_id = dispute(services, public_id)
    for _ in range(2):  # the second time changes nothing
        with services.db.writing() as session:
            check, row = find_dispute(session, dispute_id, lock=True)
            retract_dispute(session, check, row, services.now())
    assert event_types(services, public_id).count("dispute retracted") == 1
    with pytest.raises(Conflict, match="ended already"):
        answer(services, dispute_id)


@pytest.mark.parametrize(("outcome", "text"), [("", ANSWER), ("open", ANSWER), ("upheld", " x ")])
def test_answer_with_a_wrong_field_is_refused(services: Services, outcome: str, text: str) -> None:
    public_id = check_factories.completed_check(services)
    dispute_id = dispute(services, public_id)
    with pytest.raises(Invalid):
        answer(services, dispute_id, outcome, text)
    assert has_open_dispute(services, public_id)


def test_reopening_deletes_the_disputes_and_records(services: Services) -> None:
    public_id = check_factories.completed_check(services)
    dispute(services, public_id)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        check.reopen(session, services.secret_box, ACTOR, "Again", services.now())
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert (check.disputes, check.records, check.findings, check.tasks) == ([], [], [], [])
