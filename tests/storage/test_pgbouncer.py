"""A server works behind PgBouncer in transaction mode; a worker asks for a way past it."""

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, make_url, text

from provider import maintenance
from provider.app import create_app
from provider.cli.workers import worker
from provider.config import Settings
from provider.delivery.runners.notifier import JobNotifier
from provider.errors import Unavailable
from provider.services import Services
from provider.storage.database import Database
from tests import factories
from tests.ats.workable_client import KIND_CONTRACTS, WorkableClient
from tests.factories import ManualClock
from tests.pgbouncer import PROGRAM, pgbouncer
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")
ASSESSMENTS = KIND_CONTRACTS[0]
ORDERS, THREADS = 60, 8
JOBS_QUERY = "SELECT lock FROM provider_procrastinate.procrastinate_jobs"


@pytest.fixture
def pooled_url(postgres: PostgresServer, postgres_url: str) -> Iterator[str]:
    with pgbouncer(postgres, postgres_url) as url:
        yield url


@pytest.fixture
def services(settings: Settings, clock: ManualClock, pooled_url: str) -> Iterator[Services]:
    services = factories.build_services(replace(settings, database_url=pooled_url), clock)
    yield services
    services.db.close()


@contextmanager
def direct_connection(url: str) -> Iterator[Connection]:
    with closing(Database(url)) as db, db.engine.connect() as connection:
        yield connection


def test_server_behind_pooler_takes_orders_and_polls_at_once(
    services: Services, postgres_url: str
) -> None:
    _, token = factories.create_account(services)
    product = ASSESSMENTS.create_product(services)
    app = create_app(services)

    def order_and_poll(number: int) -> list[int]:
        client = WorkableClient(app.test_client(), token)
        body = ASSESSMENTS.order_body(product, callback_url=f"https://a.workable.com/{number}")
        placed = client.post("/assessments", body)
        order_id = placed.get_json()["assessment_id"]
        polled = client.get(f"/assessments/{order_id}")
        return [placed.status_code, client.get("/tests").status_code, polled.status_code]

    with ThreadPoolExecutor(THREADS) as threads:
        codes = list(threads.map(order_and_poll, range(ORDERS)))
    assert codes == [[201, 200, 200]] * ORDERS

    # Nothing was left on the sessions of the server, which other clients use next.
    with services.db.reading() as session:
        assert session.scalar(text("SHOW lock_timeout")) == "10s"
        assert session.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
    with direct_connection(postgres_url) as direct:
        assert direct.scalar(text("SELECT count(*) FROM orders")) == ORDERS


def test_transaction_behind_pooler_leaves_nothing_on_the_session(services: Services) -> None:
    with services.db.writing() as session:
        assert session.scalar(text("SHOW lock_timeout")) == "10s"
        assert session.scalar(text("SHOW transaction_read_only")) == "off"
    with services.db.engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        connection.rollback()
        driver.autocommit = True
        for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
            assert driver.execute(f"SHOW {name}").fetchone() == ("0",)
        assert driver.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
        driver.autocommit = False


def test_notifier_behind_pooler_defers_jobs(services: Services, postgres_url: str) -> None:
    notifier = JobNotifier(services.db).start()
    for _ in range(2):
        notifier.notify(["1/email", "2/email"])
    notifier.stop()  # after the jobs are deferred
    with direct_connection(postgres_url) as direct:
        assert sorted(direct.scalars(text(JOBS_QUERY))) == ["1/email", "2/email"]


def test_upgrade_and_worker_behind_pooler_name_the_setting(
    settings: Settings, pooled_url: str, postgres_url: str
) -> None:
    pooled = replace(settings, database_url=pooled_url)
    with pytest.raises(Unavailable, match="set PROVIDER_DATABASE_DIRECT_URL"):
        maintenance.initialise(pooled)
    maintenance.initialise(replace(pooled, database_direct_url=postgres_url))
    direct = replace(pooled, database_direct_url=postgres_url).with_direct_database()
    assert make_url(direct.database_url) == make_url(postgres_url)
    environment = {
        "PROVIDER_INSTANCE": str(settings.instance),
        "PROVIDER_DATABASE_URL": pooled_url,
        "PROVIDER_SECRET_KEY": urlsafe_b64encode(b"k" * 32).decode(),
    }
    result = CliRunner().invoke(worker, env=environment)
    assert "set PROVIDER_DATABASE_DIRECT_URL" in str(result.exception)
