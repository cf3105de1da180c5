"""Reminders before the deadline: by the account's policy, outside quiet hours, never twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from provider import outbox
from provider.config import Settings
from provider.core.orders import SEND_REMINDERS, Order
from provider.core.orders.reminders import (
    _is_due,
    has_due_reminders,
    remind,
    send_due_reminders,
)
from provider.core.scheduled import run_if_due
from provider.delivery import Dispatcher
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.core.emails.test_emails import smtp_server as smtp_server
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES
from tests.smtp_server import SmtpServer

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MORNING = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MORNING)


@pytest.fixture
def services(settings: Settings, clock: ManualClock, smtp_server: SmtpServer) -> Iterator[Services]:
    services = factories.build_services(replace(settings, mail_url=smtp_server.url), clock)
    yield services
    services.db.close()


def place_order(
    services: Services,
    reminders: list[int] | None = None,
    kind: str = "assessment",
    **columns: Any,
) -> str:
    """Place an order with a week to start, and the policy `reminders` in days."""
    options = {} if reminders is None else {"reminders": [days * 86_400 for days in reminders]}
    account_id, _ = factories.create_account(services, options=options, **columns)
    product = KIND_FACTORIES[kind].create_product(services)
    return factories.place_order(services, account_id, product, kind)


def run(services: Services) -> int:
    """Run the scheduled work; return the number of reminders that were ever enqueued."""
    with services.db.writing() as session:
        while send_due_reminders(session, services.now()):
            pass
    return count_reminders(services)


def count_reminders(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count()).where(Message.topic == "reminder")) or 0


def reminder_times(services: Services, clock: ManualClock) -> list[float]:
    """Run the work every four hours for a week; return the hours before the deadline."""
    deadline = MORNING + 7 * DAY
    times, count = [], count_reminders(services)
    while clock.now() < deadline:
        clock.advance(4 * HOUR)
        if run(services) > count:
            count += 1
            times.append((deadline - clock.now()) / HOUR)
    return times


@pytest.mark.parametrize(
    ("reminders", "expected"),
    [(None, [24]), ([3, 1], [72, 24]), ([], []), ([7, 2], [48])],
)
def test_reminders_are_sent_as_the_policy_says(
    services: Services, clock: ManualClock, reminders: list[int] | None, expected: list[float]
) -> None:
    place_order(services, reminders)
    assert reminder_times(services, clock) == expected


@pytest.mark.both
@pytest.mark.parametrize("kind", [*KIND_FACTORIES])
def test_reminder_is_sent_once_with_the_link_of_the_invitation(
    services: Services, clock: ManualClock, smtp_server: SmtpServer, kind: str
) -> None:
    order_id = place_order(services, kind=kind)
    clock.advance(6 * DAY)
    assert run_if_due(services, SEND_REMINDERS)
    clock.advance(timedelta(minutes=1))
    run_if_due(services, SEND_REMINDERS)
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/email")
    dispatcher.drain("1/email")
    dispatcher.stop()
    _, reminder = smtp_server.emails
    assert "reminder" in reminder["Subject"]
    url = factories.invitation_url(services, order_id)
    text_part = reminder.get_body(("plain",))
    assert text_part
    assert url in text_part.get_content()


@pytest.mark.parametrize("act", ["start", "decline", "cancel"])
def test_candidate_who_has_acted_gets_no_reminder(
    services: Services, clock: ManualClock, act: str
) -> None:
    order_id = place_order(services)
    act_on(services, order_id, act)
    clock.advance(6 * DAY + HOUR)
    assert run(services) == 0
    with services.db.reading() as session:
        assert not has_due_reminders(session, clock.now())


def test_candidate_who_has_only_opened_gets_a_reminder(
    services: Services, clock: ManualClock
) -> None:
    order_id = place_order(services)
    act_on(services, order_id, "open")
    clock.advance(6 * DAY)
    assert run(services) == 1


def act_on(services: Services, order_id: str, act: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        if act == "start":
            order.start(session, services.now())  # type: ignore[attr-defined]
        elif act == "open":
            order.mark_opened(session, services.now())
        elif act == "decline":
            order.decline(session, "", services.now())
        else:
            order.cancel(session, "sam", "", services.now())


@pytest.mark.parametrize("act", ["start", "decline", "cancel"])
def test_reminder_that_waits_is_not_sent_after_the_candidates_act(
    services: Services, clock: ManualClock, smtp_server: SmtpServer, act: str
) -> None:
    order_id = place_order(services)
    clock.advance(6 * DAY)
    assert run(services) == 1
    act_on(services, order_id, act)
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/email")
    dispatcher.stop()
    assert not any("reminder" in email["Subject"] for email in smtp_server.emails)
    with services.db.reading() as session:
        (message,) = session.scalars(select(Message).where(Message.topic == "reminder"))
        assert message.state == outbox.SUPERSEDED


def test_reminder_in_quiet_hours_is_sent_at_eight(services: Services, clock: ManualClock) -> None:
    place_order(services, timezone="America/New_York")  # the reminder is due at four there
    clock.advance(6 * DAY)
    assert run(services) == 0
    clock.advance(4 * HOUR - timedelta(seconds=1))
    assert run(services) == 0
    clock.advance(timedelta(seconds=1))
    assert run(services) == 1
    clock.advance(HOUR)
    assert run(services) == 1


@pytest.mark.both
def test_quiet_hours_are_those_of_the_candidates_own_zone(
    services: Services, clock: ManualClock, smtp_server: SmtpServer
) -> None:
    # The reminder is due at four in the morning in the account's zone, and at 18:00 in hers.
    order_id = place_order(services, timezone="America/New_York")
    with services.db.writing() as session:
        Order.find(session, order_id).candidate.timezone = "Asia/Tokyo"
    clock.advance(6 * DAY)
    assert run(services) == 1
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/email")
    dispatcher.drain("1/email")
    dispatcher.stop()
    text_part = smtp_server.emails[-1].get_body(("plain",))
    assert text_part
    assert "30 November 2026, 18:00 Tokyo time" in text_part.get_content()


def test_reminder_whose_quiet_hours_outlast_the_deadline_is_dropped(
    services: Services, clock: ManualClock
) -> None:
    place_order(services, timezone="America/New_York", expire_after_seconds=2 * 86_400)
    with services.db.writing() as session:
        session.scalars(select(Order)).one().account.options = {"reminders": [3600]}
        session.scalars(select(Order)).one().schedule_reminder(clock.now())
    clock.advance(2 * DAY - HOUR)
    assert run(services) == 0
    clock.advance(6 * HOUR)
    assert run(services) == 0


def test_reminder_of_a_slow_mail_server_waits_for_the_morning(
    services: Services, clock: ManualClock, smtp_server: SmtpServer
) -> None:
    place_order(services, timezone="Asia/Tokyo")  # the reminder is due at 18:00 there
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/email")
    clock.advance(6 * DAY)
    assert run(services) == 1
    clock.advance(3 * HOUR)
    dispatcher.drain("1/email")
    assert len(smtp_server.emails) == 1
    clock.advance(11 * HOUR)
    dispatcher.drain("1/email")
    dispatcher.stop()
    assert len(smtp_server.emails) == 2


def test_moved_deadline_moves_the_reminder(services: Services, clock: ManualClock) -> None:
    order_id = place_order(services)
    with services.db.writing() as session:
        Order.find(session, order_id).expires_at += 2 * DAY
    clock.advance(6 * DAY)
    assert run(services) == 0
    clock.advance(2 * DAY)
    assert run(services) == 1


@pytest.mark.both
def test_policy_that_was_changed_decides_about_orders_before(
    services: Services, clock: ManualClock
) -> None:
    order_id = place_order(services)
    with services.db.writing() as session:
        Order.find(session, order_id).account.options = {"reminders": []}
    clock.advance(6 * DAY)
    assert run(services) == 0


def test_missed_reminders_are_sent_once(services: Services, clock: ManualClock) -> None:
    place_order(services, [3, 2, 1])
    clock.advance(6 * DAY + HOUR)  # the server was off
    assert run(services) == 1
    assert reminder_times(services, clock) == []


def test_reopened_order_is_reminded_before_its_new_deadline(
    services: Services, clock: ManualClock
) -> None:
    order_id = place_order(services)
    clock.advance(6 * DAY)
    assert run(services) == 1
    act_on(services, order_id, "cancel")
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        order.reopen(session, services.secret_box, "sam", "", services.now())
    clock.advance(5 * DAY)
    assert run(services) == 1
    clock.advance(DAY)
    assert run(services) == 2


@pytest.mark.both
def test_reminder_that_another_process_has_sent_is_left_alone(
    services: Services, clock: ManualClock
) -> None:
    order_id = place_order(services)
    clock.advance(6 * DAY)
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        _ = order.reminder_at  # as this process has read it
        session.execute(
            update(Order).values(reminder_at=None).execution_options(synchronize_session=False)
        )
        assert not remind(session, order, services.now())
    assert count_reminders(services) == 0


@pytest.mark.both
def test_two_processes_send_each_reminder_once(
    services: Services, settings: Settings, clock: ManualClock
) -> None:
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services)
    for number in range(20):
        url = f"https://groove-tech.workable.com/assessments/{number}"
        factories.place_order(services, account_id, product, callback_url=url)
    clock.advance(6 * DAY)
    other_process = factories.build_services(settings, clock)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, (services, other_process)))
    other_process.db.close()
    assert count_reminders(services) == 20


@pytest.mark.both
def test_run_that_is_rolled_back_sends_the_reminder_later(
    services: Services, clock: ManualClock
) -> None:
    place_order(services)
    clock.advance(6 * DAY)
    with pytest.raises(ZeroDivisionError), services.db.writing() as session:  # noqa: PT012
        assert send_due_reminders(session, clock.now()) == 1
        raise ZeroDivisionError
    assert count_reminders(services) == 0
    assert run(services) == 1


@pytest.mark.both
def test_search_for_due_reminders_uses_its_index(services: Services, clock: ManualClock) -> None:
    place_order(services)
    query = select(Order.id).where(_is_due(clock.now())).order_by(Order.reminder_at)
    with services.db.reading() as session:
        sql = query.limit(1).compile(session.connection(), compile_kwargs={"literal_binds": True})
        if services.db.is_sqlite:
            explain = "EXPLAIN QUERY PLAN"
        else:
            session.execute(text("SET LOCAL enable_seqscan = off"))
            explain = "EXPLAIN"
        plan = str(session.connection().exec_driver_sql(f"{explain} {sql}").all())
    assert "ix_orders_reminder" in plan
