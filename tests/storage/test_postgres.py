"""PostgreSQL failures: a clean error, no partial change, and recovery."""

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
from provider.delivery.channels.email import EmailChannel
from provider.errors import Unavailable
from provider.maintenance import schema_version
from provider.outbox import DELIVERED, Message
from provider.services import Services
from provider.storage.database import Database
from tests import factories, interview_factories
from tests.ats.workable_client import KIND_CONTRACTS, WorkableClient
from tests.factories import ManualClock
from tests.postgres_server import PostgresServer

ASSESSMENTS = KIND_CONTRACTS[0]
UNAVAILABLE = {"status": 503, "message": "Service Unavailable"}


def build_services(settings: Settings, clock: ManualClock, url: str) -> Services:
    return factories.build_services(replace(settings, database_url=url), clock)


@pytest.fixture
def services(settings: Settings, clock: ManualClock, postgres_url: str) -> Iterator[Services]:
    services = build_services(settings, clock, postgres_url)
    yield services
    services.db.close()


@pytest.fixture
def stoppable_services(
    settings: Settings, clock: ManualClock, stoppable_postgres: PostgresServer
) -> Iterator[Services]:
    """Services on a server that a test may stop."""
    with stoppable_postgres.database() as url:
        services = build_services(settings, clock, url)
        yield services
        services.db.close()
        if not stoppable_postgres.is_running():
            stoppable_postgres.start()


def run_after(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, action: Callable[[], Any]
) -> None:
    """Run an action once, right after the next call of a module's function."""
    function, once = getattr(module, name), iter([action])

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        next(once, lambda: None)()
        return result

    monkeypatch.setattr(module, name, wrapped)


def end_connections(postgres: PostgresServer, services: Services) -> None:
    postgres.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE datname = '{services.db.url.database}'"
    )


def create_client(services: Services) -> tuple[WorkableClient, dict[str, Any]]:
    """Return an ATS and the body of an order."""
    app = create_app(services)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    ats = WorkableClient(app.test_client(), factories.create_account(services)[1])
    return ats, ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))


def count_orders(services: Services) -> int:
    with services.db.reading() as session:
        return len(session.scalars(select(Order.id)).all())


# Broken connections


def test_order_on_broken_connection_is_503_and_stored_once_on_repeat(
    services: Services, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ats, body = create_client(services)
    run_after(monkeypatch, routes, "place", lambda: end_connections(postgres, services))
    with capture_logs():
        refused = ats.post("/assessments", body)
    assert (refused.status_code, refused.json) == (503, UNAVAILABLE)
    assert count_orders(services) == 0
    assert ats.post("/assessments", body).status_code == 201
    assert count_orders(services) == 1


def test_first_request_after_broken_connections_works(
    services: Services, postgres: PostgresServer
) -> None:
    ats, body = create_client(services)
    end_connections(postgres, services)
    assert ats.get("/tests").status_code == 200
    end_connections(postgres, services)
    assert ats.post("/assessments", body).status_code == 201


@pytest.mark.parametrize("method", ["reading", "writing"])
def test_broken_connection_within_transaction_is_unavailable(
    services: Services, postgres: PostgresServer, method: str
) -> None:
    def broken() -> None:
        with getattr(services.db, method)() as session:
            session.execute(text("SELECT 1"))
            end_connections(postgres, services)
            session.execute(text("SELECT 1"))

    with pytest.raises(Unavailable, match=r"does not answer.*try again"):
        broken()
    with getattr(services.db, method)() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_dispatcher_settles_after_broken_connection_without_resending(
    services: Services, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.place_order(
        services, factories.create_account(services)[0], factories.create_test(services)
    )
    monkeypatch.setattr(EmailChannel, "max_claims", None)  # no cycle looks for a second e-mail
    dispatcher = Dispatcher(services)
    dispatcher.wake(factories.queue_names(services, channel=outbox.EMAIL))
    assert dispatcher.run_once() == 1
    dispatcher.wait()
    run_after(monkeypatch, outbox, "settle", lambda: end_connections(postgres, services))
    with pytest.raises(Unavailable, match="does not answer"):
        dispatcher.run_once()
    dispatcher.run_once()
    dispatcher.stop()
    with services.db.reading() as session:
        assert session.execute(select(Message.state, Message.attempts)).all() == [(DELIVERED, 1)]


# A server that stops and starts again


def test_stopped_server_is_503_until_it_runs_again(
    stoppable_services: Services,
    stoppable_postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ats, body = create_client(stoppable_services)
    run_after(monkeypatch, routes, "place", stoppable_postgres.stop)
    with capture_logs():
        for _ in range(2):  # during the request, and while the server is stopped
            refused = ats.post("/assessments", body)
            assert (refused.status_code, refused.json) == (503, UNAVAILABLE)
        assert ats.client.get("/ready").status_code == 503
        assert ats.client.get("/health").status_code == 200
        page = ats.client.get("/s/unknown")
        assert (page.status_code, page.mimetype) == (503, "text/html")
    stoppable_postgres.start()
    assert ats.post("/assessments", body).status_code == 201
    assert count_orders(stoppable_services) == 1
    assert ats.client.get("/ready").status_code == 200


# Error codes


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("53100", "disk fails or is full"),
        ("58030", "disk fails or is full"),
        ("40001", "is busy"),
        ("40P01", "is busy"),
        ("55P03", "is busy"),
        ("57P01", "does not answer"),
        ("25006", "does not answer"),
    ],
)
def test_server_error_code_is_translated(services: Services, code: str, message: str) -> None:
    statement = text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")
    with (
        pytest.raises(Unavailable, match=rf"{message}.*try again"),
        services.db.writing() as session,
    ):
        session.execute(statement)


def test_deadlock_ends_with_one_unavailable(
    services: Services,
) -> None:
    for name in ("a", "b"):
        factories.create_account(services, name)
    barrier = threading.Barrier(2)

    def update_both(first: str, second: str) -> bool:
        try:
            with services.db.writing() as session:
                session.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
                session.execute(update(Account).where(Account.name == first).values(sandbox=True))
                barrier.wait(10)
                session.execute(update(Account).where(Account.name == second).values(sandbox=True))
        except Unavailable:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(update_both, "ab", "ba")) == [False, True]


# Concurrent processes


def test_concurrent_upgrades_both_succeed(postgres: PostgresServer) -> None:
    with postgres.empty_database() as url:
        databases = [Database(url), Database(url)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(schema_version.upgrade, databases))
        for db in databases:
            schema_version.require_current(db)
            db.close()


def test_concurrent_first_ratings_leave_one_row(services: Services) -> None:
    order_id, _ = interview_factories.submitted_interview(services)
    with services.db.reading() as session:
        question = Interview.find(session, order_id).content.questions[0].key
    barrier = threading.Barrier(2)

    def rate(value: int) -> None:
        barrier.wait(10)
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            interview.rate(question, value, "", "sam@example.com", services.now())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(rate, (1, 2)))
    with services.db.reading() as session:
        assert len(Interview.find(session, order_id).ratings) == 1


def test_expiry_skips_orders_locked_by_another_transaction(
    services: Services, clock: ManualClock
) -> None:
    factories.place_order(
        services, factories.create_account(services)[0], factories.create_test(services)
    )
    clock.advance(timedelta(days=30))
    with services.db.writing() as session, ThreadPoolExecutor(1) as pool:

        def expire_in_other_transaction() -> int:
            with services.db.writing() as other_session:
                return expire_overdue_orders(other_session, services.now())

        assert expire_overdue_orders(session, services.now()) == 1
        assert pool.submit(expire_in_other_transaction).result(10) == 0
