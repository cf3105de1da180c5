"""PostgreSQL that goes away in the middle of things: one clean error, nothing half done."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update
from structlog.testing import capture_logs

from provider import outbox, schema
from provider import postgres as postgres_module
from provider.accounts import Account
from provider.app import create_app
from provider.ats.workable import routes
from provider.config import Settings
from provider.courier import Courier
from provider.db import Database
from provider.errors import Unready
from provider.house import House
from provider.kinds.interview import Interview
from provider.orders import Order, expire_due
from provider.outbox import DELIVERED, Message
from tests import cast
from tests.ats.side import SIDES, Asker
from tests.cast import HandClock
from tests.postgres import Postgres

ASSESSMENTS = SIDES[0]
UNAVAILABLE = {"status": 503, "message": "Service Unavailable"}


def opened(settings: Settings, clock: HandClock, url: str) -> House:
    return House.build(replace(settings, database_url=url), clock)


@pytest.fixture
def house(settings: Settings, clock: HandClock, postgres_url: str) -> Iterator[House]:
    house = opened(settings, clock, postgres_url)
    yield house
    house.db.close()


@pytest.fixture
def mortal(settings: Settings, clock: HandClock, own_postgres: Postgres) -> Iterator[House]:
    """A house on a server that may be stopped."""
    with own_postgres.database() as url:
        house = opened(settings, clock, url)
        yield house
        house.db.close()
        if not own_postgres.runs():
            own_postgres.start()


def after(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[[], Any]) -> None:
    """Let something happen once, right after a function of a module has done its work."""
    does, once = getattr(module, name), iter([act])

    def wrapped(*args: Any, **told: Any) -> Any:
        done = does(*args, **told)
        next(once, lambda: None)()
        return done

    monkeypatch.setattr(module, name, wrapped)


def cut(postgres: Postgres, house: House) -> None:
    """End all the connections of a house."""
    postgres.tell(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE datname = '{house.db.url.database}'"
    )


def asking(house: House) -> tuple[Asker, dict[str, Any]]:
    app = create_app(house)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    asker = Asker(app.test_client(), cast.account(house)[1])
    return asker, ASSESSMENTS.wish(ASSESSMENTS.product(house))


def orders(house: House) -> int:
    with house.db.reading() as session:
        return len(session.scalars(select(Order.id)).all())


# Connections that break


def test_an_order_whose_connection_breaks_is_put_off_and_kept_once_when_it_comes_again(
    house: House, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker, wish = asking(house)
    after(monkeypatch, routes, "place", lambda: cut(postgres, house))
    with capture_logs():
        refused = asker.post("/assessments", wish)
    assert (refused.status_code, refused.json) == (503, UNAVAILABLE)
    assert orders(house) == 0
    assert asker.post("/assessments", wish).status_code == 201
    assert orders(house) == 1


def test_the_first_request_after_every_connection_broke_works(
    house: House, postgres: Postgres
) -> None:
    asker, wish = asking(house)
    cut(postgres, house)
    assert asker.get("/tests").status_code == 200
    cut(postgres, house)
    assert asker.post("/assessments", wish).status_code == 201


def test_a_connection_is_asked_whether_it_lives_only_after_a_pause(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ping(connection: Any) -> bool:
        asked.append(connection)
        return True

    monkeypatch.setattr(house.db.engine.dialect, "do_ping", ping)
    for _ in range(3):
        orders(house)
    assert asked == []
    monkeypatch.setattr(postgres_module, "FRESH", -1.0)
    orders(house)
    assert len(asked) == 1


@pytest.mark.parametrize("door", ["reading", "writing"])
def test_whoever_is_in_the_middle_of_something_is_told_to_try_again(
    house: House, postgres: Postgres, door: str
) -> None:
    def broken() -> None:
        with getattr(house.db, door)() as session:
            session.execute(text("SELECT 1"))
            cut(postgres, house)
            session.execute(text("SELECT 1"))

    with pytest.raises(Unready, match=r"does not answer.*try again"):
        broken()
    with getattr(house.db, door)() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_turn_that_loses_its_connection_is_taken_again_and_nothing_sent_twice(
    house: House, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.order(house, cast.account(house)[0], cast.test(house))
    sender = Courier(house)
    sender.call(cast.lanes(house, sink=outbox.MAIL))
    assert sender.turn() == 1
    sender.wait()
    after(monkeypatch, outbox, "settle", lambda: cut(postgres, house))
    with pytest.raises(Unready, match="does not answer"):
        sender.turn()
    sender.turn()
    sender.stop()
    with house.db.reading() as session:
        assert session.execute(select(Message.state, Message.attempts)).all() == [(DELIVERED, 1)]


# A server that goes away and comes back


def test_a_server_that_stops_in_the_middle_of_an_order_costs_a_503_and_nothing_else(
    mortal: House, own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker, wish = asking(mortal)
    after(monkeypatch, routes, "place", own_postgres.stop)
    with capture_logs():
        for _ in range(2):  # in the middle of it, and while it is away
            refused = asker.post("/assessments", wish)
            assert (refused.status_code, refused.json) == (503, UNAVAILABLE)
        assert asker.client.get("/ready").status_code == 503
        assert asker.client.get("/health").status_code == 200
        page = asker.client.get("/s/unknown")
        assert (page.status_code, page.mimetype) == (503, "text/html")
    own_postgres.start()
    assert asker.post("/assessments", wish).status_code == 201
    assert orders(mortal) == 1
    assert asker.client.get("/ready").status_code == 200


# What the server says


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("53100", "disk fails or is full"), ("58030", "disk fails or is full"),
        ("40001", "kept busy"), ("40P01", "kept busy"), ("55P03", "kept busy"),
        ("57P01", "does not answer"), ("25006", "does not answer"),
    ],
)  # fmt: skip
def test_what_the_server_cannot_do_is_said_plainly(house: House, code: str, sentence: str) -> None:
    fails = text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")
    with pytest.raises(Unready, match=rf"{sentence}.*try again"), house.db.writing() as session:
        session.execute(fails)


def test_two_who_wait_for_each_other_are_parted_and_one_is_told_to_try_again(
    house: House,
) -> None:
    for name in ("a", "b"):
        cast.account(house, name)
    both = threading.Barrier(2)

    def touch(first: str, then: str) -> bool:
        try:
            with house.db.writing() as session:
                session.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
                session.execute(update(Account).where(Account.name == first).values(sandbox=True))
                both.wait(10)
                session.execute(update(Account).where(Account.name == then).values(sandbox=True))
        except Unready:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(touch, "ab", "ba")) == [False, True]


# Side by side


def test_two_who_set_the_database_up_at_once_both_succeed(postgres: Postgres) -> None:
    with postgres.nothing() as url:
        both = [Database(url), Database(url)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(schema.upgrade, both))
        for db in both:
            schema.require_current(db)
            db.close()


def test_of_two_first_ratings_of_an_answer_the_later_one_stands(house: House) -> None:
    order_id = cast.order(house, cast.account(house)[0], cast.interview(house), "interview")
    with house.db.writing() as session:
        session.execute(update(Order).values(progress="submitted", started_at=house.now()))
        question = Interview.find(session, order_id).content.questions[0].key
    together = threading.Barrier(2)

    def rate(value: int) -> None:
        together.wait(10)
        with house.db.writing() as session:
            rated = Interview.find(session, order_id, lock=True)
            rated.rate(question, value, "", "sam@example.com", house.now())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(rate, (1, 2)))
    with house.db.reading() as session:
        assert len(Interview.find(session, order_id).ratings) == 1


def test_what_another_process_is_at_is_left_to_it_when_orders_expire(
    house: House, clock: HandClock
) -> None:
    cast.order(house, cast.account(house)[0], cast.test(house))
    clock.pass_(timedelta(days=30))
    with house.db.writing() as session, ThreadPoolExecutor(1) as pool:

        def other() -> int:
            with house.db.writing() as own:
                return expire_due(own, house.now())

        assert expire_due(session, house.now()) == 1
        assert pool.submit(other).result(10) == 0
