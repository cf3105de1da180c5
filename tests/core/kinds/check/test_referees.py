"""Requests to referees: whom they go to, how they end, and what the task becomes."""

import pytest
from sqlalchemy import select

from provider.core.kinds.check import Check
from provider.core.kinds.check.external_work import do_by_hand
from provider.core.kinds.check.packages.content import parse
from provider.core.kinds.check.packages.referee import Referee, parse_referee, read_referees
from provider.core.kinds.check.packages.referee_questions import GENERAL_QUESTIONS
from provider.core.kinds.check.packages.screening_types import SCREENING_TYPES
from provider.core.kinds.check.referees.referee_acts import (
    REFEREE_REMINDER,
    REMIND_REFEREES,
    IncompleteAnswers,
    answer_request,
    ask_referee,
    decline_request,
    has_due_requests,
    questions_of,
    record_referee_bounce,
    revoke_request,
)
from provider.core.kinds.check.referees.referee_email import compose_email
from provider.core.kinds.check.tables.referee_request import (
    LINK_LIFETIME,
    REMINDER_DELAY,
    RefereeRequest,
    list_requests,
)
from provider.errors import Conflict, Invalid
from provider.outbox import Message
from provider.services import Services
from tests import check_factories, check_outside_factories
from tests.check_outside_factories import (
    REFEREE_LINES,
    REFEREE_SCREENING,
    read_requests,
    task_state,
)
from tests.factories import ManualClock

ANSWERS = {
    "knows": "Since 2015, as her manager",
    "work": "She baked bread of quassia",
    "strengths": "Patience",
    "improve": "Nothing",
    "again": "yes",
}
TASK = "references"


@pytest.fixture
def check(services: Services) -> str:
    """A check whose two referees have been asked."""
    return check_outside_factories.place_consented_check(services, REFEREE_SCREENING)


def answer(services: Services, public_id: str, number: int, **values: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        request = list_requests(session, check.id)[number]
        answer_request(
            session, services.secret_box, check, request, ANSWERS | values, services.now()
        )


def decline(services: Services, public_id: str, number: int) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        request = list_requests(session, check.id)[number]
        decline_request(session, check, request, services.now())


def ask(services: Services, public_id: str, referee: Referee) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        task = check.find_task(TASK)
        ask_referee(session, services.secret_box, check, task, referee, "sam", services.now())


def bounce(services: Services, public_id: str, number: int) -> None:
    request = read_requests(services, public_id)[number]
    with services.db.writing() as session:
        message = session.scalars(
            select(Message).where(Message.ordering_key.endswith(request.public_id))
        ).first()
        assert message
        check = Check.find(session, public_id, lock=True)
        record_referee_bounce(session, check, message.public_id, services.now())


def states(services: Services, public_id: str) -> list[str]:
    return [request.state for request in read_requests(services, public_id)]


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        (
            "Jo Doe, her manager, jo@old.example",
            (Referee("Jo Doe", "her manager", "jo@old.example"),),
        ),
        ("Jo Doe <jo@old.example>", (Referee("Jo Doe", "", "jo@old.example"),)),
        ("Jo Doe, +30 210 1234", (Referee("Jo Doe", "+30 210 1234"),)),
        (
            '[{"name": "Jo", "relation": "boss", "email": " jo@old.example ", "phone": "1"}]',
            (Referee("Jo", "boss", "jo@old.example", "1"),),
        ),
        ('[{"name": 5}, "x"]', (Referee("5"), Referee(""))),
        ("", ()),
    ],
)
def test_read_referees_takes_lines_and_json(detail: str, expected: tuple[Referee, ...]) -> None:
    assert read_referees(detail) == expected


@pytest.mark.parametrize("email", ["", "jo", "jo@", "jo doe@old.example"])
def test_parse_referee_without_address_is_refused(email: str) -> None:
    with pytest.raises(Invalid, match="address"):
        parse_referee("Jo", "boss", email)


@pytest.mark.parametrize("name", SCREENING_TYPES)
def test_usual_questions_of_every_type_are_complete(name: str) -> None:
    questions = SCREENING_TYPES[name].referee_questions
    assert questions
    assert len({question.key for question in questions}) == len(questions)
    assert all(str(question.text).endswith("?") for question in questions)
    assert (questions == GENERAL_QUESTIONS) == (name not in ("references", "employment"))


def test_questions_of_screening_replace_usual_ones() -> None:
    entry = REFEREE_SCREENING | {
        "questions": [
            {"key": "how", "text": "How?", "kind": "choice", "options": ["Well", "Badly"]},
            {"key": "why", "text": "Why?", "required": False},
        ]
    }
    content = parse(check_factories.PACKAGE_CONTENT | {"name": "One", "screenings": [entry]})
    first, second = questions_of(content.screenings[0])
    assert (first.options, first.required, second.kind) == (("Well", "Badly"), True, "text")


@pytest.mark.parametrize(
    "questions",
    [
        [{"key": "how", "text": "How?", "kind": "choice", "options": ["Well"]}],
        [{"key": "how", "text": "How?", "options": ["Well", "Badly"]}],
        [{"key": "how", "text": "How?"}, {"key": "how", "text": "Why?"}],
    ],
)
def test_questions_that_cannot_be_asked_are_refused(questions: list[dict[str, object]]) -> None:
    entry = REFEREE_SCREENING | {"questions": questions}
    with pytest.raises(Invalid, match=r"screenings\[0\].questions"):
        parse(check_factories.PACKAGE_CONTENT | {"name": "One", "screenings": [entry]})


def test_consent_asks_referees_with_addresses_at_once(services: Services, check: str) -> None:
    assert states(services, check) == ["sent", "sent"]
    assert task_state(services, check, TASK) == "submitted"
    with services.db.reading() as session:
        order = Check.find(session, check)
        assert (order.progress, order.waiting_for) == ("outside", "vendor")
        assert order.find_task(TASK).started_at == services.now()
        messages = session.scalars(select(Message).where(Message.topic == "referee request")).all()
        assert len(messages) == 2


def test_consent_waits_for_staff_if_an_address_is_missing(services: Services) -> None:
    lines = f"{REFEREE_LINES}\r\nNobody, her uncle, +30 210 1234"
    check = check_outside_factories.place_consented_check(
        services, REFEREE_SCREENING, referees=lines
    )
    assert states(services, check) == []
    assert task_state(services, check, TASK) == "to do"
    ask(services, check, Referee("Rosa", "manager", "rosa@former.example"))
    assert task_state(services, check, TASK) == "submitted"


def test_tables_have_no_word_of_referee_in_clear(services: Services, check: str) -> None:
    answer(services, check, 0)
    with services.db.reading() as session:
        rows = session.execute(select(RefereeRequest.__table__)).all()
        stored = repr(rows)
    for word in ("Rosa", "Vinter", "former.example", "quassia"):
        assert word not in stored


def test_all_answers_give_task_to_staff(services: Services, check: str) -> None:
    answer(services, check, 0)
    assert task_state(services, check, TASK) == "submitted"
    decline(services, check, 1)
    assert states(services, check) == ["answered", "declined"]
    assert task_state(services, check, TASK) == "in progress"
    with services.db.reading() as session:
        order = Check.find(session, check)
        assert (order.progress, order.waiting_for) == ("submitted", "staff")
        request = list_requests(session, order.id)[0]
        given = {entry.question: entry.answer for entry in request.get_answers(services.secret_box)}
        assert given["What did this person do well?"] == "Patience"


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"knows": " "}, {"knows"}),
        ({"again": "perhaps"}, {"again"}),
        ({"work": "x" * 4001}, {"work"}),
        ({"work": "", "again": ""}, {"work", "again"}),
    ],
)
def test_incomplete_answers_are_not_stored(
    services: Services, check: str, values: dict[str, str], wrong: set[str]
) -> None:
    with pytest.raises(IncompleteAnswers) as caught:
        answer(services, check, 0, **values)
    assert set(caught.value.fields) == wrong
    assert states(services, check) == ["sent", "sent"]


def test_second_answer_is_refused(services: Services, check: str) -> None:
    answer(services, check, 0)
    with pytest.raises(Conflict):
        answer(services, check, 0, knows="Another")


def test_reminder_comes_once_and_link_expires(
    services: Services, check: str, clock: ManualClock
) -> None:
    def run() -> int:
        REMIND_REFEREES.run(services)
        with services.db.reading() as session:
            query = select(Message).where(Message.topic == "referee reminder")
            return len(session.scalars(query).all())

    answer(services, check, 0)
    assert run() == 0
    clock.advance(REMINDER_DELAY)
    with services.db.reading() as session:
        assert REMIND_REFEREES.is_needed
        assert REMIND_REFEREES.is_needed(session, services.now())
    assert (run(), run()) == (1, 1)
    clock.advance(LINK_LIFETIME - REMINDER_DELAY)
    assert run() == 1
    assert states(services, check) == ["answered", "expired"]
    assert task_state(services, check, TASK) == "in progress"
    with pytest.raises(Conflict):
        answer(services, check, 1)


def test_bounced_request_is_a_failure_until_corrected(services: Services, check: str) -> None:
    bounce(services, check, 1)
    assert task_state(services, check, TASK) == "error"
    with services.db.reading() as session:
        assert Check.find(session, check).waiting_for == "staff"
    answer(services, check, 0)
    assert task_state(services, check, TASK) == "error"
    ask(services, check, Referee("Omar", "colleague", "OMAR.quill@former.example"))
    assert states(services, check) == ["answered", "revoked", "sent"]
    assert task_state(services, check, TASK) == "submitted"


def test_revoked_request_cannot_be_answered(services: Services, check: str) -> None:
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        request = list_requests(session, order.id)[0]
        revoke_request(session, order, request.public_id, "sam", services.now())
    with pytest.raises(Conflict):
        answer(services, check, 0)
    answer(services, check, 1)
    assert task_state(services, check, TASK) == "in progress"


def test_by_hand_ends_links_and_keeps_answers(services: Services, check: str) -> None:
    answer(services, check, 0)
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        do_by_hand(session, order, order.find_task(TASK), "sam", services.now())
    assert states(services, check) == ["answered", "revoked"]
    with services.db.reading() as session:
        task = Check.find(session, check).find_task(TASK)
        assert (task.performer, task.state) == ("staff", "in progress")


def test_outcome_of_staff_is_not_undone_by_answer(services: Services, check: str) -> None:
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        order.record_finding(session, services.secret_box, TASK, "clear", "", "sam", services.now())
    with pytest.raises(Conflict):
        answer(services, check, 0)
    assert task_state(services, check, TASK) == "done"


def test_finished_screening_reminds_no_referee(
    services: Services, check: str, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        order, now = Check.find(session, check, lock=True), services.now()
        order.record_finding(session, services.secret_box, TASK, "clear", "", "sam", now)
    with services.db.reading() as session:
        order = Check.find(session, check)
        request = list_requests(session, order.id)[0]
        # A reminder that was enqueued before the outcome is not sent.
        arguments = (order, REFEREE_REMINDER, request.public_id, services.urls)
        assert compose_email(session, services.secret_box, *arguments) is None
    clock.advance(REMINDER_DELAY)
    REMIND_REFEREES.run(services)
    assert states(services, check) == ["revoked", "revoked"]
    with services.db.reading() as session:
        query = select(Message).where(Message.topic == REFEREE_REMINDER)
        assert session.scalars(query).all() == []
        assert not has_due_requests(session, services.now())


@pytest.mark.both
def test_cancelled_and_reopened_check_ends_requests(services: Services, check: str) -> None:
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        order.cancel(session, "sam", "no longer needed", services.now())
    assert states(services, check) == ["revoked", "revoked"]
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        order.reopen(session, services.secret_box, "sam", "again", services.now())
    assert states(services, check) == []
    check_factories.give_consent(services, check, referees=REFEREE_LINES)
    assert states(services, check) == ["sent", "sent"]
