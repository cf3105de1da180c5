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
from provider.accounts import Account
from provider.config import Settings
from provider.courier.gate import PATIENCE, Gate
from provider.db import in_turn
from provider.house import House
from provider.orders import Link, Order
from provider.outbox import SUPERSEDED, WAITING, Claim, Ended, Hold, Message, Outcome
from provider.outbox.claim import _claiming
from provider.outbox.held import try_now
from tests import cast
from tests.ats.side import Asker
from tests.cast import HandClock
from tests.postgres import Postgres
from tests.test_outbox import claim, put, settle, state

LANE = "1/callback/a.test"
ROUTE = "route/a.test"
WHY = "It answers 500"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def house(settings: Settings, clock: HandClock, postgres_url: str) -> Iterator[House]:
    house = House.build(replace(settings, database_url=postgres_url), clock)
    yield house
    house.db.close()


@pytest.fixture
def second() -> Iterator[ThreadPoolExecutor]:
    """Whoever comes second."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


Waits = Callable[[Future[Any]], None]


@pytest.fixture
def waits(house: House, postgres: Postgres) -> Waits:
    """Return when the server says that the second waits for a lock; fail when it does not."""
    name = str(house.db.url.database)

    def seen(doing: Future[Any]) -> None:
        until = time.monotonic() + 10
        while not postgres.somebody_waits(name):
            assert not doing.done(), "it did not wait"
            assert time.monotonic() < until

    return seen


def hold(house: House, lasts: timedelta = timedelta(0)) -> int:
    """Begin or prolong a hold; return how many tries have failed."""
    with house.db.writing() as session:
        return outbox.hold(session, ROUTE, WHY, house.now() + lasts, house.now()).probes


def accounts(house: House) -> int:
    with house.db.writing() as session:
        in_turn(session, "accounts")
        return len(session.scalars(select(Account.id)).all())


def send_again(house: House, message: int) -> bool:
    with house.db.writing() as session:
        return outbox.send_again(session, session.get_one(Message, message), house.now())


def parked(house: House) -> tuple[int, int]:
    """Return a message that is parked and its successor, which is due."""
    first, later = (put(house, sequence=n, lane=LANE, absolute=True) for n in (1, 2))
    settle(house, claim(house, LANE)[0], Outcome("never"))
    return first, later


# Turns


def test_who_takes_turns_waits_for_the_one_before(
    house: House, second: ThreadPoolExecutor, waits: Waits
) -> None:
    with house.db.writing() as session:
        in_turn(session, "accounts")
        seen = second.submit(accounts, house)
        waits(seen)
        session.add(Account(name="first", ats="workable", created_at=house.now()))
    assert seen.result(10) == 1


def test_of_two_couriers_that_begin_a_hold_at_once_the_later_one_prolongs_it(
    house: House, second: ThreadPoolExecutor, waits: Waits
) -> None:
    with house.db.writing() as session:
        outbox.hold(session, ROUTE, WHY, house.now(), house.now())
        probes = second.submit(hold, house)
        waits(probes)
    assert probes.result(10) == 1


# Sending again beside a courier


def test_who_sends_again_waits_for_a_courier_that_takes_a_later_one(
    house: House, second: ThreadPoolExecutor, waits: Waits
) -> None:
    first, _ = parked(house)
    with house.db.writing() as session:
        assert len(outbox.claim(session, LANE, house.now(), 10)) == 1
        goes = second.submit(send_again, house, first)
        waits(goes)
    assert not goes.result(10)
    assert state(house, first) == SUPERSEDED


def test_a_courier_leaves_a_later_one_to_who_sends_again(
    house: House, second: ThreadPoolExecutor
) -> None:
    first, _ = parked(house)
    with house.db.writing() as session:
        assert outbox.send_again(session, session.get_one(Message, first), house.now())
        assert second.submit(claim, house, LANE).result(10) == []
    assert [taken.message_id for taken in claim(house, LANE)] == [first]


def test_a_courier_gives_a_later_one_back_whose_earlier_came_again_while_it_looked(
    house: House, second: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = parked(house)
    claiming = _claiming(1)
    looks = claiming.rows

    def come_again() -> None:
        with house.db.writing() as session:
            again = {"state": WAITING, "due_at": house.now(), "settled_at": None}
            session.execute(update(Message).where(Message.id == first).values(again))

    def looking(*told: Any) -> list[tuple[Any, ...]]:
        found = looks(*told)
        second.submit(come_again).result(10)  # what this statement saw is older
        return found

    with monkeypatch.context() as patched:
        patched.setattr(claiming, "rows", looking)
        assert claim(house, LANE, most=1) == []
    (taken,) = claim(house, LANE)
    assert taken.message_id == first
    settle(house, taken, Outcome("done"))
    assert [taken.message_id for taken in claim(house, LANE)] == [later]


def test_a_courier_settles_without_waiting_for_who_sends_again(
    house: House, second: ThreadPoolExecutor
) -> None:
    first, later = parked(house)
    (taken,) = claim(house, LANE)
    with house.db.writing() as session:
        assert not outbox.send_again(session, session.get_one(Message, first), house.now())
        assert second.submit(settle, house, taken, Outcome("again")).result(10)
    assert state(house, later) == WAITING


def test_what_many_send_again_and_a_courier_supersedes_is_taken_in_one_order(
    house: House, second: ThreadPoolExecutor, waits: Waits
) -> None:
    older, newer = (put(house, key, lane=LANE, absolute=True) for key in "ba")
    for taken in claim(house, LANE):
        settle(house, taken, Outcome("never"))
    for key in "ab":
        put(house, key, 2, lane=LANE, absolute=True)
    in_hand = claim(house, LANE)

    def deliver() -> set[str]:
        with house.db.writing() as session:
            for scan in ("seqscan", "bitmapscan"):  # which would find them in this order anyway
                session.execute(text(f"SET LOCAL enable_{scan} = off"))
            ended = [Ended(one, Outcome("done"), house.now(), house.now()) for one in in_hand]
            return outbox.settle(session, ended, house.now())

    with house.db.writing() as session:
        outbox.send_again(session, session.get_one(Message, older), house.now())
        done = second.submit(deliver)
        waits(done)
        session.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
        outbox.send_again(session, session.get_one(Message, newer), house.now())
    assert len(done.result(10)) == 2


# Couriers beside each other


def test_a_courier_takes_what_another_leaves(house: House, second: ThreadPoolExecutor) -> None:
    for key in "ab":
        put(house, key, lane=LANE)
    with house.db.writing() as session:
        (taken,) = outbox.claim(session, LANE, house.now(), 1)
        (left,) = second.submit(claim, house, LANE).result(10)
    assert {taken.key, left.key} == {"a", "b"}


def test_a_courier_does_not_wait_for_another_that_tries_what_is_held(
    house: House, second: ThreadPoolExecutor
) -> None:
    hold(house)

    def probe() -> bool:
        at = house.now()
        with house.db.writing() as session:
            return outbox.probe(session, session.get_one(Hold, ROUTE), until=at, at=at)

    with house.db.writing() as session:
        until = house.now() + MINUTE
        assert outbox.probe(session, session.get_one(Hold, ROUTE), until=until, at=house.now())
        assert not second.submit(probe).result(10)


def test_a_hold_that_another_has_ended_meanwhile_begins_anew(
    house: House, second: ThreadPoolExecutor
) -> None:
    hold(house)
    hold(house)

    def lift() -> None:
        with house.db.writing() as session:
            outbox.lift(session, ROUTE)

    with house.db.writing() as session:
        known = outbox.holding(session, [ROUTE])  # kept, as a gate does
        assert known[ROUTE].probes == 1
        second.submit(lift).result(10)
        assert outbox.hold(session, ROUTE, WHY, house.now(), house.now()).probes == 0


def test_a_hold_that_another_has_begun_anew_meanwhile_is_told_as_it_is(
    house: House, clock: HandClock, second: ThreadPoolExecutor
) -> None:
    hold(house)
    hold(house)
    began = house.now()

    def begin_anew() -> None:
        clock.pass_(MINUTE)
        with house.db.writing() as session:
            outbox.lift(session, ROUTE)
        hold(house)

    with house.db.writing() as session:
        known = outbox.holding(session, [ROUTE])
        assert known[ROUTE].since == began
        second.submit(begin_anew).result(10)
        told = outbox.hold(session, ROUTE, WHY, house.now(), house.now())
        assert (told.since, told.probes) == (began + MINUTE, 1)


def test_holds_are_taken_in_one_order_whatever_ended_first(house: House) -> None:
    def ended(host: str, account: int, blame: str) -> Ended:
        lane = f"{account}/callback/{host}"
        taken = Claim(0, "", lane, "a", 1, "status", {}, None, 0, house.now(), "x")
        return Ended(taken, Outcome("again", blame=blame), house.now(), house.now())

    refused = [ended("c.test", account, "account") for account in (2, 1)]
    away = [ended(host, 3, "route") for host in ("b.test", "a.test") for _ in range(PATIENCE)]
    with house.db.writing() as session, capture_logs() as logs:
        Gate().openings(session, [], away + refused, house.now())
    subjects = [said["subject"] for said in logs if said["event"] == "deliveries wait"]
    assert len(subjects) == 4
    assert subjects == sorted(subjects)


def test_who_has_a_hold_tried_now_takes_the_message_first_as_couriers_do(
    house: House, second: ThreadPoolExecutor, waits: Waits
) -> None:
    cast.account(house)
    put(house, lane=LANE)
    settle(house, claim(house, LANE)[0], Outcome("again", after=timedelta(minutes=5)))
    hold(house, timedelta(hours=1))

    def press() -> None:
        with house.db.writing() as session:
            try_now(session, ROUTE, house.now())

    with house.db.writing() as session:
        session.execute(update(Message).values(attempts=2))
        pressed = second.submit(press)
        waits(pressed)
        session.execute(text("SELECT FROM holds FOR UPDATE NOWAIT"))
    pressed.result(10)


def test_of_two_who_share_a_report_at_once_the_later_one_gets_the_link_of_the_first(
    house: House, client: FlaskClient, second: ThreadPoolExecutor, waits: Waits
) -> None:
    account, token = cast.account(house)
    order = cast.order(house, account, cast.test(house))
    cast.finish(house, order)
    asker = Asker(client, token)
    with house.db.writing() as session:
        found = Order.find(session, order, account, lock=True)
        link = Link.share(session, house.vault, found, None, None, house.now())
        url = house.links.shared(link.token(house.vault))
        doing = second.submit(asker.get, f"/assessments/{order}/shared-link")
        waits(doing)
    assert doing.result(10).get_json() == {"url": url}
