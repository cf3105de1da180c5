"""The work of staff: claims, questions, records, added screenings, and the due dates."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from provider.core.kinds.check import Check
from provider.core.kinds.check.added_screening import add_screening, list_addable_types
from provider.core.kinds.check.questions import (
    MAX_QUESTION_LENGTH,
    REMIND_OF_QUESTIONS,
    answer,
    ask,
    withdraw,
)
from provider.core.kinds.check.records import correct_record, remove_record
from provider.core.kinds.check.screening_work import claim, describe_task, give_back, hand_over
from provider.core.scheduled import run_if_due
from provider.errors import Conflict, Invalid, NotFound, Unavailable
from provider.outbox import Message
from provider.services import Services
from tests import check_factories, factories
from tests.check_work_factories import (
    ANA,
    ANSWER,
    MONDAY,
    QUESTION,
    RECORD_NOTE,
    RECORD_TEXT,
    SAM,
    add_found_record,
    ask_candidate,
    check_of_another_account,
    consented_check,
    record_form,
)
from tests.factories import ManualClock

Act = Callable[[Session, Check], Any]


@pytest.fixture
def check_id(services: Services, clock: ManualClock) -> str:
    clock.current_time = MONDAY
    factories.create_staff(services, SAM, "adjudicator")
    return consented_check(services)


def act(services: Services, check_id: str, function: Act) -> Any:
    with services.db.writing() as session:
        return function(session, Check.find(session, check_id, lock=True))


def state(services: Services, check_id: str, key: str = "jobs") -> tuple[str, str | None]:
    with services.db.reading() as session:
        task = Check.find(session, check_id).find_task(key)
        return task.state, task.assignee


def due_on(services: Services, check_id: str, key: str = "jobs") -> date | None:
    with services.db.reading() as session:
        return Check.find(session, check_id).find_task(key).due_on


def waits_for(services: Services, check_id: str) -> str:
    with services.db.reading() as session:
        return Check.find(session, check_id).waiting_for


def event_types(services: Services, check_id: str) -> list[str]:
    with services.db.reading() as session:
        return [event.type for event in Check.find(session, check_id).events]


def question_emails(services: Services, check_id: str) -> int:
    with services.db.reading() as session:
        query = session.query(Message).filter_by(ordering_key=check_id, topic="question")
        return query.count()


def test_first_claim_wins_and_the_second_is_told(services: Services, check_id: str) -> None:
    now = services.now()
    act(services, check_id, lambda session, check: claim(session, check, "jobs", SAM, now))
    assert state(services, check_id) == ("in progress", SAM)
    with pytest.raises(Conflict, match="works on this screening"):
        act(services, check_id, lambda session, check: claim(session, check, "jobs", ANA, now))
    act(services, check_id, lambda session, check: claim(session, check, "jobs", SAM, now))
    assert event_types(services, check_id).count("screening claimed") == 1


def test_started_at_is_the_first_claim(
    services: Services, check_id: str, clock: ManualClock
) -> None:
    first = services.now()
    act(services, check_id, lambda session, check: claim(session, check, "jobs", SAM, first))
    clock.advance(timedelta(hours=1))
    act(services, check_id, lambda session, check: give_back(session, check, "jobs", SAM, first))
    assert state(services, check_id) == ("to do", None)
    later = services.now()
    act(services, check_id, lambda session, check: claim(session, check, "jobs", SAM, later))
    with services.db.reading() as session:
        assert Check.find(session, check_id).find_task("jobs").started_at == first


def test_hand_over_needs_the_assignee_that_was_shown(services: Services, check_id: str) -> None:
    factories.create_staff(services, ANA, "adjudicator")
    now = services.now()

    def pass_to(to: str, seen: str) -> Act:
        return lambda session, check: hand_over(session, check, "jobs", to, seen, SAM, now)

    act(services, check_id, pass_to(ANA, ""))
    assert state(services, check_id) == ("in progress", ANA)
    with pytest.raises(Conflict, match="has changed meanwhile"):
        act(services, check_id, pass_to(SAM, ""))
    act(services, check_id, pass_to(SAM, ANA))
    assert state(services, check_id) == ("in progress", SAM)


@pytest.mark.parametrize("role", ["reviewer", "viewer", "support"])
def test_hand_over_to_someone_who_may_not_decide_is_refused(
    services: Services, check_id: str, role: str
) -> None:
    factories.create_staff(services, ANA, role)
    with pytest.raises(Invalid, match="may not decide this check"):
        act(
            services,
            check_id,
            lambda session, check: hand_over(session, check, "jobs", ANA, "", SAM, services.now()),
        )


def test_give_back_of_a_colleagues_screening_changes_nothing(
    services: Services, check_id: str
) -> None:
    now = services.now()
    act(services, check_id, lambda session, check: claim(session, check, "jobs", SAM, now))
    act(services, check_id, lambda session, check: give_back(session, check, "jobs", ANA, now))
    assert state(services, check_id) == ("in progress", SAM)


def test_question_stops_the_clock_and_the_answer_moves_the_due_date(
    services: Services, check_id: str, clock: ManualClock
) -> None:
    before = due_on(services, check_id)
    assert before == date(2026, 11, 30)  # five working days
    request_id = ask_candidate(services, check_id)
    assert state(services, check_id)[0] == "asked"
    assert waits_for(services, check_id) == "candidate"
    assert question_emails(services, check_id) == 1
    clock.advance(timedelta(days=8))  # until Tuesday of the next week: six working days
    now = services.now()
    box = services.secret_box
    act(
        services,
        check_id,
        lambda session, check: answer(session, box, check, request_id, ANSWER, now),
    )
    assert state(services, check_id)[0] == "in progress"
    assert waits_for(services, check_id) == "staff"
    assert due_on(services, check_id) == date(2026, 12, 8)
    assert due_on(services, check_id, "record") == before  # another screening


def test_holiday_while_the_clock_stands_moves_nothing(
    services: Services, clock: ManualClock
) -> None:
    clock.current_time = datetime(2026, 12, 24, 9, 0, tzinfo=UTC)
    check_id = consented_check(services)  # in Greece: 25 and 26 December are holidays
    before = due_on(services, check_id)
    request_id = ask_candidate(services, check_id)
    clock.advance(timedelta(days=3))  # Sunday
    act(
        services,
        check_id,
        lambda session, check: withdraw(session, check, request_id, SAM, services.now()),
    )
    assert due_on(services, check_id) == before


def test_answer_is_encrypted_and_bound_to_its_row(services: Services, check_id: str) -> None:
    request_id = ask_candidate(services, check_id)
    box, now = services.secret_box, services.now()
    act(
        services,
        check_id,
        lambda session, check: answer(session, box, check, request_id, ANSWER, now),
    )
    with services.db.reading() as session:
        [question] = Check.find(session, check_id).questions
        assert question.decrypt_question(box, check_id) == QUESTION
        assert question.decrypt_answer(box, check_id) == ANSWER
        assert b"bakeri" not in question.question
        question.answer = question.question
        with pytest.raises(Unavailable, match="does not belong to its row"):
            question.decrypt_answer(box, check_id)


def test_second_answer_is_refused(services: Services, check_id: str) -> None:
    request_id = ask_candidate(services, check_id)
    box, now = services.secret_box, services.now()

    def send(session: Session, check: Check) -> None:
        answer(session, box, check, request_id, ANSWER, now)

    act(services, check_id, send)
    with pytest.raises(Conflict, match="answered already"):
        act(services, check_id, send)
    with pytest.raises(Conflict, match="answered already"):
        act(services, check_id, lambda s, check: withdraw(s, check, request_id, SAM, now))


def test_second_question_about_a_screening_is_refused(services: Services, check_id: str) -> None:
    ask_candidate(services, check_id)
    with pytest.raises(Conflict, match="withdraw the open question"):
        ask_candidate(services, check_id)
    ask_candidate(services, check_id, "identity")


@pytest.mark.parametrize("text", ["", "  ", "x" * (MAX_QUESTION_LENGTH + 1)])
def test_question_without_a_text_or_too_long_is_refused(
    services: Services, check_id: str, text: str
) -> None:
    box, now = services.secret_box, services.now()
    with pytest.raises(Invalid):
        act(services, check_id, lambda s, check: ask(s, box, check, "jobs", text, (), SAM, now))
    assert state(services, check_id)[0] == "to do"


def test_outcome_withdraws_the_open_question(services: Services, check_id: str) -> None:
    ask_candidate(services, check_id)
    check_factories.record_findings(services, check_id, {"jobs": "clear"})
    assert state(services, check_id)[0] == "done"
    assert waits_for(services, check_id) == "staff"
    with services.db.reading() as session:
        assert not Check.find(session, check_id).questions[0].is_open


def test_question_is_reminded_of_once(
    services: Services, check_id: str, clock: ManualClock
) -> None:
    ask_candidate(services, check_id)
    for expected_count in (1, 2, 2):
        run_if_due(services, REMIND_OF_QUESTIONS)
        assert question_emails(services, check_id) == expected_count
        clock.advance(timedelta(days=3))


def test_reminder_of_a_question_waits_for_the_end_of_quiet_hours(
    services: Services, check_id: str, clock: ManualClock
) -> None:
    ask_candidate(services, check_id)
    clock.advance(timedelta(days=3, hours=12))  # 23:00 in Athens
    run_if_due(services, REMIND_OF_QUESTIONS)
    assert question_emails(services, check_id) == 1
    clock.advance(timedelta(hours=10))
    run_if_due(services, REMIND_OF_QUESTIONS)
    assert question_emails(services, check_id) == 2


def test_cancelled_check_withdraws_tasks_and_questions(services: Services, check_id: str) -> None:
    request_id = ask_candidate(services, check_id)
    now, box = services.now(), services.secret_box
    act(services, check_id, lambda session, check: check.cancel(session, SAM, "Gone", now))
    assert {state(services, check_id, key)[0] for key in check_factories.OUTCOMES} == {"withdrawn"}
    with pytest.raises(Conflict):
        act(
            services,
            check_id,
            lambda session, check: answer(session, box, check, request_id, ANSWER, now),
        )
    with services.db.reading() as session:
        task = Check.find(session, check_id).find_task("jobs")
        assert describe_task(task) == "Withdrawn on 23 November 2026, without an outcome"


def test_reopened_check_has_no_records_and_questions(services: Services, check_id: str) -> None:
    ask_candidate(services, check_id)
    add_found_record(services, check_id)
    now, box = services.now(), services.secret_box
    act(services, check_id, lambda session, check: check.cancel(session, SAM, "Gone", now))
    act(services, check_id, lambda session, check: check.reopen(session, box, SAM, "Back", now))
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        assert (check.records, check.questions, check.tasks) == ([], [], [])


def test_corrected_record_keeps_the_old_one_with_the_reason(
    services: Services, check_id: str
) -> None:
    record_id = add_found_record(services, check_id)
    assert state(services, check_id, "record")[0] == "in progress"
    box, now = services.secret_box, services.now()
    form = record_form(now, severity="low", public_text="A small fine")
    act(
        services,
        check_id,
        lambda session, check: correct_record(
            session, box, check, record_id, form, "The court says so", ANA, now
        ),
    )
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        old, new = check.records
        assert (old.removed_by, old.decrypt_removal_reason(box, check_id)) == (
            ANA,
            "The court says so",
        )
        assert old.decrypt_public_text(box, check_id) == RECORD_TEXT
        assert old.decrypt_private_note(box, check_id) == RECORD_NOTE
        assert new.decrypt_facts(box, check_id).severity == "low"
        assert new.removed_at is None
        assert b"quill" not in old.public_text


def test_removed_record_is_not_in_the_report(services: Services, check_id: str) -> None:
    removed_id = add_found_record(services, check_id)
    add_found_record(services, check_id)
    box, now = services.secret_box, services.now()

    def remove(session: Session, check: Check) -> None:
        remove_record(session, box, check, removed_id, "Another person", SAM, now)

    act(services, check_id, remove)
    with pytest.raises(Conflict, match="removed or corrected this record already"):
        act(services, check_id, remove)
    check_factories.record_findings(services, check_id)
    check_factories.complete_check(services, check_id)
    with services.db.reading() as session:
        findings = Check.find(session, check_id).evidence(box).findings
        records = {finding.name: finding.records for finding in findings}
    [record] = records["Criminal record"]
    assert (record.facts, record.text) == ("Conviction, High, 4 March 2019", RECORD_TEXT)
    assert records["Identity"] == ()


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "rumour"},
        {"severity": ""},
        {"day": "2999-01-01"},
        {"day": "March"},
        {"public_text": " "},
        {"public_text": "x" * 2001},
        {"private_note": "x" * 5001},
    ],
)
def test_record_with_a_wrong_field_is_refused(services: Services, values: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        record_form(services.now(), **values)


def test_record_without_a_reason_is_not_removed(services: Services, check_id: str) -> None:
    record_id = add_found_record(services, check_id)
    box, now = services.secret_box, services.now()
    with pytest.raises(Invalid, match="Write a reason"):
        act(
            services,
            check_id,
            lambda session, check: remove_record(session, box, check, record_id, " ", SAM, now),
        )


def test_record_of_another_check_is_not_found(services: Services, check_id: str) -> None:
    record_id = add_found_record(services, check_id)
    other = check_of_another_account(services)
    box, now = services.secret_box, services.now()
    with pytest.raises(NotFound):
        act(
            services,
            other,
            lambda session, check: remove_record(session, box, check, record_id, "No", SAM, now),
        )


def test_added_screening_is_within_the_consent(services: Services, check_id: str) -> None:
    with services.db.reading() as session:
        types = list_addable_types(Check.find(session, check_id))
    # The candidate agreed to give name, date of birth and employers, and no document.
    assert set(types) == {"employment", "other"}
    now = services.now()
    with pytest.raises(Invalid, match="has not agreed to this"):
        act(
            services,
            check_id,
            lambda session, check: add_screening(session, check, "credit", "", "Hm", SAM, now),
        )


def test_added_screening_must_be_done_before_completion(services: Services, check_id: str) -> None:
    check_factories.record_findings(services, check_id)
    now, reason = services.now(), "A second employer named another end"
    act(
        services,
        check_id,
        lambda session, check: add_screening(
            session, check, "employment", "Second employer", reason, SAM, now
        ),
    )
    with pytest.raises(Conflict, match="no outcome yet for: Second employer"):
        check_factories.complete_check(services, check_id)
    check_factories.record_findings(services, check_id, {"added-1": "clear"})
    check_factories.complete_check(services, check_id)
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        assert check.result is not None
        assert {"name": "Second employer", "status": "clear"} in check.result.figures["findings"]
        assert check.find_screening("added-1").reason_text == reason


def test_added_screening_with_a_known_name_or_no_reason_is_refused(
    services: Services, check_id: str
) -> None:
    def add(name: str, reason: str) -> Act:
        return lambda session, check: add_screening(
            session, check, "other", name, reason, SAM, services.now()
        )

    with pytest.raises(Conflict, match="with this name already"):
        act(services, check_id, add("criminal record", "Hm"))
    with pytest.raises(Invalid, match="Write a reason"):
        act(services, check_id, add("Registers", ""))
    act(services, check_id, add("Registers", "The company asked"))
    act(services, check_id, add("Registers 2", "The company asked"))
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        assert [screening.key for screening in check.screenings[-2:]] == ["added-1", "added-2"]
