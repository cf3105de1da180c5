"""Who waits for whom on PostgreSQL, and who must not wait: seen in the server, not left to luck."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from structlog.testing import capture_logs

from provider import outbox
from provider.config import Settings
from provider.core.accounts import Account
from provider.core.orders import Link, Order
from provider.core.pauses import probe_now
from provider.delivery.policy import FAILURE_THRESHOLD, DeliveryPolicy
from provider.outbox import SUPERSEDED, WAITING, AttemptResult, Claim, Message, Outcome, Pause
from provider.outbox.claims import _claim_query
from provider.services import Services
from provider.storage.database import acquire_advisory_lock
from tests import factories
from tests.ats.workable_client import WorkableClient
from tests.factories import ManualClock
from tests.outbox.test_messages import claim, put, settle, state
from tests.postgres_server import PostgresServer

LANE = "1/callback/a.test"
ROUTE = "destination/a.test"
WHY = "It answers 500"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def services(settings: Settings, clock: ManualClock, postgres_url: str) -> Iterator[Services]:
    services = Services.build(replace(settings, database_url=postgres_url), clock)
    yield services
    services.db.close()


@pytest.fixture
def second() -> Iterator[ThreadPoolExecutor]:
    """Whoever comes second."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


Waits = Callable[[Future[Any]], None]


@pytest.fixture
def waits(services: Services, postgres: PostgresServer) -> Waits:
    """Return when the server says that the second waits for a lock; fail when it does not."""
    name = str(services.db.url.database)

    def seen(doing: Future[Any]) -> None:
        until = time.monotonic() + 10
        while not postgres.has_lock_waiter(name):
            assert not doing.done(), "it did not wait"
            assert time.monotonic() < until

    return seen


def hold(services: Services, lasts: timedelta = timedelta(0)) -> int:
    """Begin or prolong a hold; return how many tries have failed."""
    with services.db.writing() as session:
        return outbox.pause(
            session, ROUTE, WHY, services.now() + lasts, services.now()
        ).failed_probes


def accounts(services: Services) -> int:
    with services.db.writing() as session:
        acquire_advisory_lock(session, "accounts")
        return len(session.scalars(select(Account.id)).all())


def send_again(services: Services, message: int) -> bool:
    with services.db.writing() as session:
        return outbox.requeue(session, session.get_one(Message, message), services.now())


def parked(services: Services) -> tuple[int, int]:
    """Return a message that is parked and its successor, which is due."""
    first, later = (put(services, sequence=n, queue=LANE, supersedes_earlier=True) for n in (1, 2))
    settle(services, claim(services, LANE)[0], Outcome("rejected"))
    return first, later


# Turns


def test_who_takes_turns_waits_for_the_one_before(
    services: Services, second: ThreadPoolExecutor, waits: Waits
) -> None:
    with services.db.writing() as session:
        acquire_advisory_lock(session, "accounts")
        seen = second.submit(accounts, services)
        waits(seen)
        session.add(Account(name="first", ats="workable", created_at=services.now()))
    assert seen.result(10) == 1


def test_of_two_couriers_that_begin_a_hold_at_once_the_later_one_prolongs_it(
    services: Services, second: ThreadPoolExecutor, waits: Waits
) -> None:
    with services.db.writing() as session:
        outbox.pause(session, ROUTE, WHY, services.now(), services.now())
        probes = second.submit(hold, services)
        waits(probes)
    assert probes.result(10) == 1


# Sending again beside a courier


def test_who_sends_again_waits_for_a_courier_that_takes_a_later_one(
    services: Services, second: ThreadPoolExecutor, waits: Waits
) -> None:
    first, _ = parked(services)
    with services.db.writing() as session:
        assert len(outbox.claim(session, LANE, services.now(), 10)) == 1
        goes = second.submit(send_again, services, first)
        waits(goes)
    assert not goes.result(10)
    assert state(services, first) == SUPERSEDED


def test_a_courier_leaves_a_later_one_to_who_sends_again(
    services: Services, second: ThreadPoolExecutor
) -> None:
    first, _ = parked(services)
    with services.db.writing() as session:
        assert outbox.requeue(session, session.get_one(Message, first), services.now())
        assert second.submit(claim, services, LANE).result(10) == []
    assert [taken.message_id for taken in claim(services, LANE)] == [first]


def test_a_courier_gives_a_later_one_back_whose_earlier_came_again_while_it_looked(
    services: Services, second: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = parked(services)
    claiming = _claim_query(1)
    looks = claiming.fetch_all

    def come_again() -> None:
        with services.db.writing() as session:
            again = {"state": WAITING, "due_at": services.now(), "settled_at": None}
            session.execute(update(Message).where(Message.id == first).values(again))

    def looking(*told: Any) -> list[tuple[Any, ...]]:
        found = looks(*told)
        second.submit(come_again).result(10)  # what this statement saw is older
        return found

    with monkeypatch.context() as patched:
        patched.setattr(claiming, "fetch_all", looking)
        assert claim(services, LANE, limit=1) == []
    (taken,) = claim(services, LANE)
    assert taken.message_id == first
    settle(services, taken, Outcome("delivered"))
    assert [taken.message_id for taken in claim(services, LANE)] == [later]


def test_a_courier_settles_without_waiting_for_who_sends_again(
    services: Services, second: ThreadPoolExecutor
) -> None:
    first, later = parked(services)
    (taken,) = claim(services, LANE)
    with services.db.writing() as session:
        assert not outbox.requeue(session, session.get_one(Message, first), services.now())
        assert second.submit(settle, services, taken, Outcome("retry")).result(10)
    assert state(services, later) == WAITING


def test_what_many_send_again_and_a_courier_supersedes_is_taken_in_one_order(
    services: Services, second: ThreadPoolExecutor, waits: Waits
) -> None:
    older, newer = (put(services, key, queue=LANE, supersedes_earlier=True) for key in "ba")
    for taken in claim(services, LANE):
        settle(services, taken, Outcome("rejected"))
    for key in "ab":
        put(services, key, 2, queue=LANE, supersedes_earlier=True)
    in_hand = claim(services, LANE)

    def deliver() -> set[str]:
        with services.db.writing() as session:
            for scan in ("seqscan", "bitmapscan"):  # which would find them in this order anyway
                session.execute(text(f"SET LOCAL enable_{scan} = off"))
            ended = [
                AttemptResult(one, Outcome("delivered"), services.now(), services.now())
                for one in in_hand
            ]
            return outbox.settle(session, ended, services.now())

    with services.db.writing() as session:
        outbox.requeue(session, session.get_one(Message, older), services.now())
        done = second.submit(deliver)
        waits(done)
        session.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
        outbox.requeue(session, session.get_one(Message, newer), services.now())
    assert len(done.result(10)) == 2


# Couriers beside each other


def test_a_courier_takes_what_another_leaves(
    services: Services, second: ThreadPoolExecutor
) -> None:
    for key in "ab":
        put(services, key, queue=LANE)
    with services.db.writing() as session:
        (taken,) = outbox.claim(session, LANE, services.now(), 1)
        (left,) = second.submit(claim, services, LANE).result(10)
    assert {taken.ordering_key, left.ordering_key} == {"a", "b"}


def test_a_courier_does_not_wait_for_another_that_tries_what_is_held(
    services: Services, second: ThreadPoolExecutor
) -> None:
    hold(services)

    def probe() -> bool:
        at = services.now()
        with services.db.writing() as session:
            return outbox.probe(session, session.get_one(Pause, ROUTE), retry_at=at, now=at)

    with services.db.writing() as session:
        until = services.now() + MINUTE
        assert outbox.probe(
            session, session.get_one(Pause, ROUTE), retry_at=until, now=services.now()
        )
        assert not second.submit(probe).result(10)


def test_a_hold_that_another_has_ended_meanwhile_begins_anew(
    services: Services, second: ThreadPoolExecutor
) -> None:
    hold(services)
    hold(services)

    def lift() -> None:
        with services.db.writing() as session:
            outbox.resume(session, ROUTE)

    with services.db.writing() as session:
        known = outbox.active_pauses(session, [ROUTE])  # kept, as a gate does
        assert known[ROUTE].failed_probes == 1
        second.submit(lift).result(10)
        assert outbox.pause(session, ROUTE, WHY, services.now(), services.now()).failed_probes == 0


def test_a_hold_that_another_has_begun_anew_meanwhile_is_told_as_it_is(
    services: Services, clock: ManualClock, second: ThreadPoolExecutor
) -> None:
    hold(services)
    hold(services)
    began = services.now()

    def begin_anew() -> None:
        clock.advance(MINUTE)
        with services.db.writing() as session:
            outbox.resume(session, ROUTE)
        hold(services)

    with services.db.writing() as session:
        known = outbox.active_pauses(session, [ROUTE])
        assert known[ROUTE].paused_at == began
        second.submit(begin_anew).result(10)
        told = outbox.pause(session, ROUTE, WHY, services.now(), services.now())
        assert (told.paused_at, told.failed_probes) == (began + MINUTE, 1)


def test_holds_are_taken_in_one_order_whatever_ended_first(services: Services) -> None:
    def ended(host: str, account: int, blame: str) -> AttemptResult:
        lane = f"{account}/callback/{host}"
        taken = Claim(0, "", lane, "a", 1, "status", {}, None, 0, services.now(), "x")
        return AttemptResult(
            taken, Outcome("retry", failure_scope=blame), services.now(), services.now()
        )

    refused = [ended("c.test", account, "account") for account in (2, 1)]
    away = [
        ended(host, 3, "destination")
        for host in ("b.test", "a.test")
        for _ in range(FAILURE_THRESHOLD)
    ]
    with services.db.writing() as session, capture_logs() as logs:
        DeliveryPolicy().queue_allowances(session, [], away + refused, services.now())
    subjects = [said["scope"] for said in logs if said["event"] == "deliveries_paused"]
    assert len(subjects) == 4
    assert subjects == sorted(subjects)


def test_who_has_a_hold_tried_now_takes_the_message_first_as_couriers_do(
    services: Services, second: ThreadPoolExecutor, waits: Waits
) -> None:
    factories.create_account(services)
    put(services, queue=LANE)
    settle(services, claim(services, LANE)[0], Outcome("retry", retry_after=timedelta(minutes=5)))
    hold(services, timedelta(hours=1))

    def press() -> None:
        with services.db.writing() as session:
            probe_now(session, ROUTE, services.now())

    with services.db.writing() as session:
        session.execute(update(Message).values(attempts=2))
        pressed = second.submit(press)
        waits(pressed)
        session.execute(text("SELECT FROM delivery_pauses FOR UPDATE NOWAIT"))
    pressed.result(10)


def test_of_two_who_share_a_report_at_once_the_later_one_gets_the_link_of_the_first(
    services: Services, client: FlaskClient, second: ThreadPoolExecutor, waits: Waits
) -> None:
    account, token = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    factories.finish_test(services, order)
    asker = WorkableClient(client, token)
    with services.db.writing() as session:
        found = Order.find(session, order, account, lock=True)
        link = Link.get_or_create_shared(
            session, services.secret_box, found, None, None, services.now()
        )
        url = services.urls.shared(link.get_token(services.secret_box))
        doing = second.submit(asker.get, f"/assessments/{order}/shared-link")
        waits(doing)
    assert doing.result(10).get_json() == {"url": url}
