"""What the candidate sees of her screenings, and the e-mails about them."""

from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from sqlalchemy import update

from provider.core.accounts import Account
from provider.core.kinds.check import Check
from provider.core.kinds.check.external_work import do_by_hand
from provider.core.kinds.check.screening_status import (
    ScreeningStatus,
    list_statuses,
    may_read_report,
)
from provider.core.kinds.check.step_messages import COPY_EMAIL, STEP_EMAIL, choose_messages
from provider.services import Services
from tests import check_factories, check_outside_factories, factories
from tests.check_status_factories import RECORD_TEXT, add_record, dispute, set_case
from tests.core.kinds.check.test_check import enqueued_topics
from tests.factories import ManualClock


@pytest.fixture
def public_id(services: Services) -> str:
    placed = check_factories.place_check(services)
    check_factories.give_consent(services, placed)
    return placed


def statuses(services: Services, public_id: str) -> dict[str, ScreeningStatus]:
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        rows = list_statuses(check, services.secret_box, services.now())
        return {row.key: row for row in rows}


def set_task(services: Services, public_id: str, key: str, **fields: Any) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        for name, value in fields.items():
            setattr(check.find_task(key), name, value)
        check.update_progress(session)


def may_read(services: Services, public_id: str) -> bool:
    with services.db.reading() as session:
        return may_read_report(Check.find(session, public_id))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("to do", "Not begun yet"),
        ("in progress", "In progress"),
        ("asked", "Waits for you"),
        ("submitted", "Waits for an answer"),
        ("error", "In progress"),
        ("withdrawn", "Not needed any more"),
    ],
)
def test_status_shows_the_state_of_its_task(
    services: Services, public_id: str, state: str, expected: str
) -> None:
    set_task(services, public_id, "jobs", state=state)
    status = statuses(services, public_id)["jobs"]
    assert str(status.state_text) == expected
    assert status.is_asked == (state == "asked")
    assert (status.due_on is None) == (state == "withdrawn")


def test_status_of_a_done_screening_has_no_outcome_before_completion(
    services: Services, public_id: str
) -> None:
    set_case(services, public_id, country="GB", wants_copy=True)
    check_factories.record_findings(services, public_id, {"jobs": "consider"})
    status = statuses(services, public_id)["jobs"]
    assert (str(status.state_text), status.status, status.report_text) == ("Completed", "", "")
    assert status.done_at == services.now()
    assert not status.can_dispute


def test_status_after_the_due_day_is_late(
    services: Services, public_id: str, clock: ManualClock
) -> None:
    assert not statuses(services, public_id)["jobs"].is_late
    clock.advance(timedelta(days=30))
    assert statuses(services, public_id)["jobs"].is_late


@pytest.mark.parametrize(
    ("case", "options", "expected"),
    [
        ({}, {}, True),
        ({"country": "DE"}, {}, True),
        ({"country": "DE"}, {"check_copies": True}, True),
        ({"country": "DE"}, {"check_copies": False}, False),
        ({"country": "US"}, {"check_copies": False}, True),
        ({"country": "GB"}, {"check_copies": False}, True),
        ({}, {"check_copies": False}, True),
        ({"country": "DE", "wants_copy": True}, {"check_copies": False}, True),
    ],
)
def test_copy_is_given_unless_the_account_may_withhold_it(
    services: Services,
    public_id: str,
    case: dict[str, Any],
    options: dict[str, Any],
    expected: bool,
) -> None:
    set_case(services, public_id, **case)
    with services.db.writing() as session:
        session.execute(update(Account).values(options=options))
    assert not may_read(services, public_id)
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)
    assert may_read(services, public_id) == expected
    shown = statuses(services, public_id)["jobs"]
    assert (shown.status == "consider") == expected
    assert (shown.report_text == check_factories.REPORT_TEXT) == expected
    assert shown.can_dispute


def test_performer_is_staff_after_they_took_the_screening_over(services: Services) -> None:
    placed = check_outside_factories.place_consented_check(
        services, check_outside_factories.VENDOR_SCREENING
    )
    assert "A company" in str(statuses(services, placed)["record"].performer_text)
    with services.db.writing() as session:
        check = Check.find(session, placed, lock=True)
        do_by_hand(session, check, check.find_task("record"), "sam", services.now())
    assert "People who check" in str(statuses(services, placed)["record"].performer_text)


@pytest.mark.parametrize("is_wanted", [True, False])
def test_copy_that_was_asked_for_is_announced_without_an_outcome(
    services: Services, public_id: str, is_wanted: bool
) -> None:
    set_case(services, public_id, country="US", wants_copy=is_wanted)
    check_factories.record_findings(services, public_id)
    assert COPY_EMAIL not in enqueued_topics(services, public_id)
    check_factories.complete_check(services, public_id)
    assert enqueued_topics(services, public_id).count(COPY_EMAIL) == is_wanted
    if not is_wanted:
        return
    factories.deliver_emails(services)
    mails = [
        message_from_bytes(path.read_bytes(), policy=policy.default)
        for path in (services.settings.instance / "mail").iterdir()
    ]
    (mail,) = [mail for mail in mails if mail["Subject"].endswith(": your copy of the report")]
    for kind in ("plain", "html"):
        part = mail.get_body((kind,))
        assert part
        text = part.get_content()
        assert "/c/" in text
        hints = (*check_factories.REPORT_TEXT.split("\n"), "consider", "Employment history")
        assert not any(hint in text for hint in hints)


def test_status_has_the_public_text_of_records_and_no_removed_one(
    services: Services, public_id: str
) -> None:
    set_case(services, public_id, country="US")
    add_record(services, public_id)
    add_record(services, public_id, text="Wrong person")
    with services.db.writing() as session:
        Check.find(session, public_id).records[-1].removed_at = services.now()
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)
    records = statuses(services, public_id)["jobs"].records
    assert [(record.kind, record.text) for record in records] == [("conviction", RECORD_TEXT)]


def test_status_with_an_open_dispute_cannot_be_disputed_again(
    services: Services, public_id: str
) -> None:
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)
    dispute(services, public_id)
    rows = statuses(services, public_id)
    assert [dispute.outcome for dispute in rows["jobs"].disputes] == [""]
    assert (rows["jobs"].can_dispute, rows["identity"].can_dispute) == (False, True)


def record(services: Services, public_id: str, *keys: str) -> None:
    check_factories.record_findings(services, public_id, dict.fromkeys(keys, "clear"))


def step_emails(services: Services, public_id: str) -> int:
    return enqueued_topics(services, public_id).count(STEP_EMAIL)


def choose(services: Services, public_id: str, is_wanted: bool) -> None:
    with services.db.writing() as session:
        choose_messages(session, Check.find(session, public_id), is_wanted)


def test_step_email_is_sent_only_to_who_wants_it(services: Services, public_id: str) -> None:
    record(services, public_id, "identity")
    assert step_emails(services, public_id) == 0
    choose(services, public_id, True)
    record(services, public_id, "identity")  # nothing changes
    assert step_emails(services, public_id) == 0


def test_step_emails_are_one_a_minute_and_none_for_the_last(
    services: Services, public_id: str, clock: ManualClock
) -> None:
    choose(services, public_id, True)
    record(services, public_id, "identity", "jobs")
    assert step_emails(services, public_id) == 1
    clock.advance(timedelta(hours=1))
    check_factories.record_findings(services, public_id, {"jobs": "consider"})  # changed
    assert step_emails(services, public_id) == 1
    record(services, public_id, "record")
    assert step_emails(services, public_id) == 1


def test_step_emails_stop_when_they_are_switched_off(
    services: Services, public_id: str, clock: ManualClock
) -> None:
    choose(services, public_id, True)
    record(services, public_id, "identity")
    choose(services, public_id, False)
    clock.advance(timedelta(hours=1))
    record(services, public_id, "jobs")
    assert step_emails(services, public_id) == 1
