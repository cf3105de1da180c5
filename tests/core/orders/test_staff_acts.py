"""Acts of the staff for the candidate of an open order."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.kinds.assessment import Assessment
from provider.core.kinds.interview import Interview
from provider.core.orders import (
    Link,
    Order,
    OrderSession,
    expire_overdue_orders,
    orders_of_person,
    staff_acts,
)
from provider.errors import Conflict, Invalid
from provider.outbox import Attempt, Message
from provider.services import Services
from tests import factories
from tests.check_factories import place_check
from tests.factories import ManualClock
from tests.interview_factories import place_interview, record_answer

ACTOR = "sam@provider.test"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def order_id(services: Services) -> str:
    account_id, _ = factories.create_account(services, timezone="Europe/Athens")
    return factories.place_order(services, account_id, factories.create_test(services))


def perform(services: Services, order_id: str, act: Callable[[Session, Order], Any]) -> Any:
    with services.db.writing() as session:
        return act(session, Order.find(session, order_id, lock=True))


def resend(services: Services, order_id: str) -> None:
    perform(
        services,
        order_id,
        lambda session, order: staff_acts.resend_invitation(
            session, services.secret_box, order, ACTOR, services.now()
        ),
    )


def last_event(services: Services, order_id: str) -> tuple[str, str, str]:
    with services.db.reading() as session:
        event = Order.find(session, order_id).events[-1]
        return event.type, event.actor, event.note


def email_topics(services: Services, *states: str) -> list[str]:
    with services.db.reading() as session:
        query = select(Message.topic).where(Message.state.in_(states)).order_by(Message.id)
        return list(session.scalars(query))


@pytest.mark.both
def test_resend_sends_the_same_link_again(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    factories.deliver_emails(services)
    url = factories.invitation_url(services, order_id)
    clock.advance(MINUTE)
    resend(services, order_id)
    assert email_topics(services, outbox.WAITING) == ["invitation"]
    assert last_event(services, order_id) == ("invitation resent", ACTOR, "")
    factories.deliver_emails(services)
    assert factories.invitation_url(services, order_id) == url
    files = sorted((services.settings.instance / "mail").iterdir())
    assert [url.encode() in file.read_bytes() for file in files] == [True, True]


def test_resend_within_a_minute_is_refused(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    factories.deliver_emails(services)
    clock.advance(MINUTE - timedelta(seconds=1))
    with pytest.raises(Conflict, match="less than a minute ago"):
        resend(services, order_id)
    clock.advance(timedelta(seconds=1))
    resend(services, order_id)


def test_resend_while_an_invitation_waits_is_refused(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    clock.advance(timedelta(hours=1))
    with pytest.raises(Conflict, match="has not been sent yet"):
        resend(services, order_id)
    assert email_topics(services, outbox.WAITING) == ["invitation"]


def start(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())


def cancel(services: Services, order_id: str) -> None:
    perform(
        services,
        order_id,
        lambda session, order: order.cancel(session, ACTOR, "filled", services.now()),
    )


@pytest.mark.parametrize(
    ("prepare", "message"), [(start, "has started"), (cancel, "reopen it instead")]
)
def test_resend_for_an_order_that_is_not_waiting_is_refused(
    services: Services,
    order_id: str,
    clock: ManualClock,
    prepare: Callable[[Services, str], None],
    message: str,
) -> None:
    factories.deliver_emails(services)
    clock.advance(MINUTE)
    prepare(services, order_id)
    with pytest.raises(Conflict, match=message):
        resend(services, order_id)


def test_resend_after_the_deadline_is_refused(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    factories.deliver_emails(services)
    clock.advance(timedelta(days=7))
    with pytest.raises(Conflict, match="time to start is over"):
        resend(services, order_id)


# Correcting the candidate

NEW_EMAIL = "lakita.marrero@example.com"


def correct(
    services: Services, order_id: str, email: str = NEW_EMAIL, last_name: str = "Marrero"
) -> list[str]:
    recipient = staff_acts.Recipient.parse(email, "Lakita", last_name)
    fields: list[str] = perform(
        services,
        order_id,
        lambda session, order: staff_acts.correct_candidate(
            session, services.secret_box, order, recipient, ACTOR, services.now()
        ),
    )
    return fields


def orders_of(services: Services, email: str) -> list[str]:
    with services.db.reading() as session:
        return [
            order.public_id for order in orders_of_person(session, services.secret_box, 1, email)
        ]


@pytest.mark.both
def test_correct_moves_the_order_to_the_new_address(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, order_id).candidate.timezone = "Asia/Tokyo"
    assert correct(services, order_id, f" {NEW_EMAIL} ", "Marrero-Diaz") == ["email", "last_name"]
    with services.db.reading() as session:
        candidate = Order.find(session, order_id).candidate
        assert (candidate.email, candidate.name) == (NEW_EMAIL, "Lakita Marrero-Diaz")
        assert candidate.timezone is None
    assert orders_of(services, NEW_EMAIL) == [order_id]
    assert orders_of(services, "lakita_marrero@gmail.com") == []


def test_correct_ends_the_old_link_and_its_sessions(services: Services, order_id: str) -> None:
    token = factories.invitation_url(services, order_id).rpartition("/")[2]
    with services.db.writing() as session:
        order, cookie = Order.find(session, order_id), OrderSession.derive_cookie(token)
        OrderSession.create_or_renew(session, order, cookie, services.now())
    correct(services, order_id)
    assert not factories.invitation_url(services, order_id).endswith(token)
    with services.db.reading() as session:
        assert Link.was_revoked(session, token, "invite")
        assert session.scalars(select(OrderSession)).all() == []


def test_correct_sends_nothing_more_to_the_old_address(services: Services, order_id: str) -> None:
    correct(services, order_id)
    assert email_topics(services, outbox.SUPERSEDED) == ["invitation"]
    factories.deliver_emails(services)
    (file,) = (services.settings.instance / "mail").iterdir()
    assert f"To: {NEW_EMAIL}".encode() in file.read_bytes()


def test_correct_masks_the_old_address_in_replies(services: Services, order_id: str) -> None:
    factories.deliver_emails(services)
    with services.db.writing() as session:
        attempt = session.scalars(select(Attempt)).one()
        attempt.error = "550 <Lakita_Marrero@gmail.com>: no such user"
        attempt.message.state = outbox.PARKED
    correct(services, order_id)
    with services.db.reading() as session:
        attempt = session.scalars(select(Attempt)).one()
        assert attempt.error == "550 <l…@g…>: no such user"
        assert attempt.message.state == outbox.SUPERSEDED


def test_correct_event_names_no_address(services: Services, order_id: str) -> None:
    correct(services, order_id)
    assert last_event(services, order_id) == ("address corrected", ACTOR, "")


@pytest.mark.both
def test_correct_while_an_email_is_being_sent_is_refused(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        (message,) = session.scalars(select(Message))
        message.lease, message.leased_until = "lease", services.now() + MINUTE
    with pytest.raises(Conflict, match="is being sent"):
        correct(services, order_id)
    assert orders_of(services, NEW_EMAIL) == []


def test_correct_without_a_change_is_refused(services: Services, order_id: str) -> None:
    with pytest.raises(Conflict, match="Nothing was changed"):
        correct(services, order_id, "lakita_marrero@gmail.com")


def test_correct_of_a_started_order_is_refused(services: Services, order_id: str) -> None:
    start(services, order_id)
    with pytest.raises(Conflict, match="has started"):
        correct(services, order_id)


@pytest.mark.parametrize("email", ["", "lakita", "a b@example.com", f"l@{'x' * 250}.com"])
def test_recipient_with_no_address_is_refused(email: str) -> None:
    with pytest.raises(Invalid, match="not an e-mail address"):
        staff_acts.Recipient.parse(email, "Lakita", "")


def test_recipient_with_a_long_name_is_refused() -> None:
    with pytest.raises(Invalid, match="at most 200 characters"):
        staff_acts.Recipient.parse(NEW_EMAIL, "L" * 201, "")


# Extending the deadline


def extend(services: Services, order_id: str, days: int = 3, *, notify: bool = False) -> None:
    perform(
        services,
        order_id,
        lambda session, order: staff_acts.extend(
            session, order, days, ACTOR, services.now(), notify=notify
        ),
    )


def deadline(services: Services, order_id: str) -> datetime:
    with services.db.reading() as session:
        return Order.find(session, order_id).expires_at


def test_extend_adds_days_to_the_deadline(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    earlier = deadline(services, order_id)
    clock.advance(timedelta(days=2))
    extend(services, order_id)
    assert deadline(services, order_id) == earlier + timedelta(days=3)
    text = factories.athens_time(earlier + timedelta(days=3))
    note = f"Until {text}; the candidate was not notified by e-mail"
    assert last_event(services, order_id) == ("extended", ACTOR, note)
    assert email_topics(services, outbox.WAITING) == ["invitation"]


@pytest.mark.both
def test_extended_order_expires_at_the_new_deadline(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    extend(services, order_id)
    for days, status in ((9, "pending"), (2, "expired")):
        now = clock.advance(timedelta(days=days))
        with services.db.writing() as session:
            expire_overdue_orders(session, now)
        assert factories.order_status(services, order_id) == status


def test_extend_with_notice_sends_the_new_deadline(services: Services, order_id: str) -> None:
    factories.deliver_emails(services)
    extend(services, order_id, notify=True)
    assert email_topics(services, outbox.WAITING) == ["extension"]
    factories.deliver_emails(services)
    url = factories.invitation_url(services, order_id)
    texts = [file.read_bytes() for file in (services.settings.instance / "mail").iterdir()]
    (text,) = [text for text in texts if b"more time for your test" in text]
    assert url.encode() in text


@pytest.mark.parametrize("days", [0, 366])
def test_extend_by_a_wrong_number_of_days_is_refused(
    services: Services, order_id: str, days: int
) -> None:
    with pytest.raises(Invalid, match="1 to 365 days"):
        extend(services, order_id, days)


@pytest.mark.parametrize(
    ("prepare", "message"), [(start, "has started"), (cancel, "reopen it instead")]
)
def test_extend_of_an_order_that_is_not_waiting_is_refused(
    services: Services, order_id: str, prepare: Callable[[Services, str], None], message: str
) -> None:
    prepare(services, order_id)
    with pytest.raises(Conflict, match=message):
        extend(services, order_id)


def test_extend_after_the_deadline_is_refused(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    clock.advance(timedelta(days=7))
    with pytest.raises(Conflict, match="time to start is over"):
        extend(services, order_id)


# Ending an attempt


def end_attempt(services: Services, order_id: str) -> None:
    perform(
        services,
        order_id,
        lambda session, order: staff_acts.end_attempt(
            session, services.secret_box, order, ACTOR, "The fire alarm rang", services.now()
        ),
    )


def events(services: Services, order_id: str) -> list[tuple[str, str, str]]:
    with services.db.reading() as session:
        rows = Order.find(session, order_id).events
        return [(event.type, event.actor, event.note) for event in rows]


@pytest.mark.both
def test_end_attempt_of_a_test_scores_the_answers_so_far(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    start(services, order_id)
    with services.db.writing() as session:
        Assessment.find(session, order_id).save("sum", {"answer": "b"}, services.now())
    clock.advance(5 * MINUTE)
    end_attempt(services, order_id)
    with services.db.reading() as session:
        result = Order.find(session, order_id).result
        assert result
        assert (result.score, result.duration) == (25, 300)
    assert events(services, order_id)[-3:] == [
        ("ended by staff", ACTOR, "The fire alarm rang"),
        ("submitted", ACTOR, ""),
        ("completed", ACTOR, ""),
    ]


def test_end_attempt_of_an_interview_lets_staff_rate_it(services: Services) -> None:
    interview_id = place_interview(services)
    with pytest.raises(Conflict, match="Nothing has been recorded"):
        end_attempt(services, interview_id)
    record_answer(services, interview_id, "why")
    end_attempt(services, interview_id)
    with services.db.reading() as session:
        interview = Interview.find(session, interview_id)
        assert (interview.status, interview.progress) == ("pending", "submitted")
        assert interview.waiting_for == "staff"
    with pytest.raises(Conflict, match="has finished already"):
        end_attempt(services, interview_id)


def test_end_attempt_of_a_test_that_is_not_running_is_refused(
    services: Services, order_id: str
) -> None:
    with pytest.raises(Conflict, match="has not started"):
        end_attempt(services, order_id)
    factories.finish_test(services, order_id)
    with pytest.raises(Conflict, match="has finished already"):
        end_attempt(services, order_id)


def test_end_attempt_of_a_check_is_refused(services: Services) -> None:
    with pytest.raises(Conflict, match="has no attempt"):
        end_attempt(services, place_check(services))
