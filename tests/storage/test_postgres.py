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

from provider import outbox
from provider.app import create_app
from provider.ats.workable import routes
from provider.config import Settings
from provider.core.accounts import Account
from provider.core.kinds.interview import Interview
from provider.core.orders import Order, expire_overdue_orders
from provider.delivery import Dispatcher
from provider.errors import Unavailable
from provider.maintenance import schema_version
from provider.outbox import DELIVERED, Message
from provider.services import Services
from provider.storage import postgres as postgres_module
from provider.storage.database import Database
from tests import factories
from tests.ats.workable_client import KIND_CONTRACTS, WorkableClient
from tests.factories import ManualClock
from tests.postgres_server import PostgresServer

ASSESSMENTS = KIND_CONTRACTS[0]
UNAVAILABLE = {"status": 503, "message": "Service Unavailable"}


def opened(settings: Settings, clock: ManualClock, url: str) -> Services:
    return Services.build(replace(settings, database_url=url), clock)


@pytest.fixture
def services(settings: Settings, clock: ManualClock, postgres_url: str) -> Iterator[Services]:
    services = opened(settings, clock, postgres_url)
    yield services
    services.db.close()


@pytest.fixture
def stoppable_services(
    settings: Settings, clock: ManualClock, stoppable_postgres: PostgresServer
) -> Iterator[Services]:
    """A house on a server that may be stopped."""
    with stoppable_postgres.database() as url:
        services = opened(settings, clock, url)
        yield services
        services.db.close()
        if not stoppable_postgres.is_running():
            stoppable_postgres.start()


def after(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[[], Any]) -> None:
    """Let something happen once, right after a function of a module has done its work."""
    does, once = getattr(module, name), iter([act])

    def wrapped(*args: Any, **told: Any) -> Any:
        done = does(*args, **told)
        next(once, lambda: None)()
        return done

    monkeypatch.setattr(module, name, wrapped)


def cut(postgres: PostgresServer, services: Services) -> None:
    """End all the connections of a house."""
    postgres.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE datname = '{services.db.url.database}'"
    )


def asking(services: Services) -> tuple[WorkableClient, dict[str, Any]]:
    app = create_app(services)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    asker = WorkableClient(app.test_client(), factories.create_account(services)[1])
    return asker, ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))


def orders(services: Services) -> int:
    with services.db.reading() as session:
        return len(session.scalars(select(Order.id)).all())


# Connections that break


def test_an_order_whose_connection_breaks_is_put_off_and_kept_once_when_it_comes_again(
    services: Services, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker, wish = asking(services)
    after(monkeypatch, routes, "place", lambda: cut(postgres, services))
    with capture_logs():
        refused = asker.post("/assessments", wish)
    assert (refused.status_code, refused.json) == (503, UNAVAILABLE)
    assert orders(services) == 0
    assert asker.post("/assessments", wish).status_code == 201
    assert orders(services) == 1


def test_the_first_request_after_every_connection_broke_works(
    services: Services, postgres: PostgresServer
) -> None:
    asker, wish = asking(services)
    cut(postgres, services)
    assert asker.get("/tests").status_code == 200
    cut(postgres, services)
    assert asker.post("/assessments", wish).status_code == 201


def test_a_connection_is_asked_whether_it_lives_only_after_a_pause(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ping(connection: Any) -> bool:
        asked.append(connection)
        return True

    monkeypatch.setattr(services.db.engine.dialect, "do_ping", ping)
    for _ in range(3):
        orders(services)
    assert asked == []
    monkeypatch.setattr(postgres_module, "PING_AFTER_IDLE_SECONDS", -1.0)
    orders(services)
    assert len(asked) == 1


@pytest.mark.parametrize("door", ["reading", "writing"])
def test_whoever_is_in_the_middle_of_something_is_told_to_try_again(
    services: Services, postgres: PostgresServer, door: str
) -> None:
    def broken() -> None:
        with getattr(services.db, door)() as session:
            session.execute(text("SELECT 1"))
            cut(postgres, services)
            session.execute(text("SELECT 1"))

    with pytest.raises(Unavailable, match=r"does not answer.*try again"):
        broken()
    with getattr(services.db, door)() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_turn_that_loses_its_connection_is_taken_again_and_nothing_sent_twice(
    services: Services, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.place_order(
        services, factories.create_account(services)[0], factories.create_test(services)
    )
    sender = Dispatcher(services)
    sender.wake(factories.queue_names(services, channel=outbox.EMAIL))
    assert sender.run_once() == 1
    sender.wait()
    after(monkeypatch, outbox, "settle", lambda: cut(postgres, services))
    with pytest.raises(Unavailable, match="does not answer"):
        sender.run_once()
    sender.run_once()
    sender.stop()
    with services.db.reading() as session:
        assert session.execute(select(Message.state, Message.attempts)).all() == [(DELIVERED, 1)]


# A server that goes away and comes back


def test_a_server_that_stops_in_the_middle_of_an_order_costs_a_503_and_nothing_else(
    stoppable_services: Services,
    stoppable_postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asker, wish = asking(stoppable_services)
    after(monkeypatch, routes, "place", stoppable_postgres.stop)
    with capture_logs():
        for _ in range(2):  # in the middle of it, and while it is away
            refused = asker.post("/assessments", wish)
            assert (refused.status_code, refused.json) == (503, UNAVAILABLE)
        assert asker.client.get("/ready").status_code == 503
        assert asker.client.get("/health").status_code == 200
        page = asker.client.get("/s/unknown")
        assert (page.status_code, page.mimetype) == (503, "text/html")
    stoppable_postgres.start()
    assert asker.post("/assessments", wish).status_code == 201
    assert orders(stoppable_services) == 1
    assert asker.client.get("/ready").status_code == 200


# What the server says


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("53100", "disk fails or is full"),
        ("58030", "disk fails or is full"),
        ("40001", "kept busy"),
        ("40P01", "kept busy"),
        ("55P03", "kept busy"),
        ("57P01", "does not answer"),
        ("25006", "does not answer"),
    ],
)
def test_what_the_server_cannot_do_is_said_plainly(
    services: Services, code: str, sentence: str
) -> None:
    fails = text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")
    with (
        pytest.raises(Unavailable, match=rf"{sentence}.*try again"),
        services.db.writing() as session,
    ):
        session.execute(fails)


def test_two_who_wait_for_each_other_are_parted_and_one_is_told_to_try_again(
    services: Services,
) -> None:
    for name in ("a", "b"):
        factories.create_account(services, name)
    both = threading.Barrier(2)

    def touch(first: str, then: str) -> bool:
        try:
            with services.db.writing() as session:
                session.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
                session.execute(update(Account).where(Account.name == first).values(sandbox=True))
                both.wait(10)
                session.execute(update(Account).where(Account.name == then).values(sandbox=True))
        except Unavailable:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(touch, "ab", "ba")) == [False, True]


# Side by side


def test_two_who_set_the_database_up_at_once_both_succeed(postgres: PostgresServer) -> None:
    with postgres.empty_database() as url:
        both = [Database(url), Database(url)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(schema_version.upgrade, both))
        for db in both:
            schema_version.require_current(db)
            db.close()


def test_of_two_first_ratings_of_an_answer_the_later_one_stands(services: Services) -> None:
    order_id = factories.place_order(
        services,
        factories.create_account(services)[0],
        factories.create_interview(services),
        "interview",
    )
    with services.db.writing() as session:
        session.execute(update(Order).values(progress="submitted", started_at=services.now()))
        question = Interview.find(session, order_id).content.questions[0].key
    together = threading.Barrier(2)

    def rate(value: int) -> None:
        together.wait(10)
        with services.db.writing() as session:
            rated = Interview.find(session, order_id, lock=True)
            rated.rate(question, value, "", "sam@example.com", services.now())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(rate, (1, 2)))
    with services.db.reading() as session:
        assert len(Interview.find(session, order_id).ratings) == 1


def test_what_another_process_is_at_is_left_to_it_when_orders_expire(
    services: Services, clock: ManualClock
) -> None:
    factories.place_order(
        services, factories.create_account(services)[0], factories.create_test(services)
    )
    clock.advance(timedelta(days=30))
    with services.db.writing() as session, ThreadPoolExecutor(1) as pool:

        def other() -> int:
            with services.db.writing() as own:
                return expire_overdue_orders(own, services.now())

        assert expire_overdue_orders(session, services.now()) == 1
        assert pool.submit(other).result(10) == 0
