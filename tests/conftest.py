"""Fixtures: a house on a database of its own, a server on loopback, a browser, an ATS.

Tests run on SQLite, or with `--database postgresql` on PostgreSQL; those marked `both` run on both.
"""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from provider.app import create_app, openapi_servers
from provider.config import Settings
from provider.core import staff
from provider.delivery import InProcessDispatcher
from provider.maintenance import schema_version
from provider.metrics.database import DatabaseGauges
from provider.services import Services
from provider.storage.database import Database
from provider.web.metrics import GAUGES_EXTENSION
from tests.factories import ManualClock, present
from tests.fake_ats import FakeAts
from tests.postgres_server import PostgresServer, shared_server

CHROMIUM_PATH = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


DATABASES = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=DATABASES, default="sqlite", help="what tests run on")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked `both` on both, where the run is on SQLite."""
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    on_sqlite = metafunc.config.getoption("--database") == "sqlite"
    if "database" in metafunc.fixturenames and on_sqlite and {"both", "sqlite"} & marks == {"both"}:
        metafunc.parametrize("database", DATABASES, indirect=True)


@pytest.hookimpl(trylast=True)  # after they were shuffled
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the proofs, which take longest; leave out what is not for the run's database."""
    items.sort(key=lambda item: "endurance" not in item.path.parts)
    if config.getoption("--database") == "postgresql":
        for item in items:
            if item.get_closest_marker("sqlite"):
                item.add_marker(pytest.mark.skip("is about SQLite itself"))


@pytest.fixture(autouse=True)
def _fast_password_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with argon2id as always, but at the least cost: one test looks at the real."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    nobody = quick.hash("nobody's")
    monkeypatch.setattr(staff, "_hasher", lambda: quick)
    monkeypatch.setattr(staff, "_dummy_hash", lambda: nobody)


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> ManualClock:
    """The test's one clock."""
    return ManualClock(present() if request.node.get_closest_marker("machine_time") else None)


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, made once and copied for every test."""
    path = tmp_path_factory.mktemp("fresh") / "provider.db"
    db = Database(f"sqlite:///{path}")
    schema_version.upgrade(db)
    db.close()
    return path


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[PostgresServer]:
    """A PostgreSQL server, one for the whole run: it is not for stopping."""
    folder = tmp_path_factory.getbasetemp()
    server = shared_server(folder.parent if hasattr(request.config, "workerinput") else folder)
    yield server
    server.release()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty, migrated database on a PostgreSQL server."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[str]:
    """An empty, migrated database for the tests of a whole module."""
    if request.config.getoption("--database") == "postgresql":
        with request.getfixturevalue("postgres").database() as url:
            yield url
        return
    folder = tmp_path_factory.mktemp("lasting")
    shutil.copy(request.getfixturevalue("fresh_database"), folder)
    yield f"sqlite:///{folder / 'provider.db'}"


@pytest.fixture(scope="session")
def _stoppable_postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer.create()
    yield server
    server.release()


@pytest.fixture
def stoppable_postgres(_stoppable_postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A PostgreSQL server that is this test's alone, to be stopped and started."""
    yield _stoppable_postgres_server
    if not _stoppable_postgres_server.is_running():
        _stoppable_postgres_server.start()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Which database this test runs on."""
    return str(getattr(request, "param", None) or request.config.getoption("--database"))


@pytest.fixture
def database_url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """An empty, migrated database of the test's own."""
    if database == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    shutil.copy(request.getfixturevalue("fresh_database"), tmp_path / "provider.db")
    return f"sqlite:///{tmp_path / 'provider.db'}"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(
        instance=tmp_path,
        database_url=database_url,
        base_url="http://provider.test",
        media_url=f"file:{tmp_path / 'media'}",
        retry_schedule=(timedelta(seconds=5), timedelta(minutes=5), timedelta(hours=1)),
        secret_keys=(b"k" * 32,),
    )


@pytest.fixture
def services(settings: Settings, clock: ManualClock) -> Iterator[Services]:
    services = Services.build(settings, clock)
    yield services
    services.db.close()


_APP_CACHE: dict[object, Flask] = {}


def _app_for(services: Services, purpose: str) -> Flask:
    """Return an app around a house: to build one takes 100 ms, so houses move in, one by one."""
    kind = (purpose, services.settings.is_https, services.settings.secret_keys)
    app = _APP_CACHE.get(kind) or _APP_CACHE.setdefault(kind, create_app(services))
    app.extensions["provider"] = services
    app.extensions[GAUGES_EXTENSION] = DatabaseGauges()
    app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.options["servers"] = (
        openapi_servers(services)
    )
    return app


@pytest.fixture
def app(services: Services) -> Flask:
    app = _app_for(services, "asked")
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@dataclass(frozen=True)
class LiveServer:
    """A server that really listens, with its courier at work."""

    url: str
    app: Flask
    services: Services
    clock: ManualClock


class _QuietRequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def live_server(settings: Settings, clock: ManualClock) -> Iterator[LiveServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {**settings.__dict__, "base_url": f"http://127.0.0.1:{port}", "private_callbacks": True}
    services = Services.build(Settings(**told), clock)
    app = _app_for(services, "served")
    server = make_server(
        "127.0.0.1", port, app, threaded=True, request_handler=_QuietRequestHandler
    )
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    courier = InProcessDispatcher(services, sweep_interval_seconds=0.05).start()
    yield LiveServer(f"http://127.0.0.1:{port}", app, services, clock)
    courier.stop()
    server.shutdown()
    thread.join()
    server.server_close()
    services.db.close()


@pytest.fixture
def ats() -> Iterator[FakeAts]:
    with FakeAts() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM_PATH).exists():
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is missing: apt-get install chromium")
    expect.set_options(timeout=15_000)  # three browsers that film keep two cores busy
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM_PATH, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()
