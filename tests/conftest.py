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

from provider import schema
from provider.accounts import staff
from provider.app import create_app, servers
from provider.config import Settings
from provider.courier import EmbeddedCourier
from provider.db import Database
from provider.house import House
from provider.pages.metrics import CENSUS, Census
from tests.cast import HandClock, present
from tests.fake_ats import FakeAts
from tests.postgres import Postgres, shared

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
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
    items.sort(key=lambda item: "soak" not in item.path.parts)
    if config.getoption("--database") == "postgresql":
        for item in items:
            if item.get_closest_marker("sqlite"):
                item.add_marker(pytest.mark.skip("is about SQLite itself"))


@pytest.fixture(autouse=True)
def _quick_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with argon2id as always, but at the least cost: one test looks at the real."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    nobody = quick.hash("nobody's")
    monkeypatch.setattr(staff, "_hasher", lambda: quick)
    monkeypatch.setattr(staff, "_nobody", lambda: nobody)


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> HandClock:
    """The test's one clock."""
    return HandClock(present() if request.node.get_closest_marker("machine_time") else None)


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, made once and copied for every test."""
    path = tmp_path_factory.mktemp("fresh") / "provider.db"
    db = Database(f"sqlite:///{path}")
    schema.upgrade(db)
    db.close()
    return path


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Postgres]:
    """A PostgreSQL server, one for the whole run: it is not for stopping."""
    folder = tmp_path_factory.getbasetemp()
    server = shared(folder.parent if hasattr(request.config, "workerinput") else folder)
    yield server
    server.let_go()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty, migrated database on a PostgreSQL server."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def lasting_url(
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
def _mortal_postgres() -> Iterator[Postgres]:
    server = Postgres.make()
    yield server
    server.let_go()


@pytest.fixture
def own_postgres(_mortal_postgres: Postgres) -> Iterator[Postgres]:
    """A PostgreSQL server that is this test's alone, to be stopped and started."""
    yield _mortal_postgres
    if not _mortal_postgres.runs():
        _mortal_postgres.start()


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
def house(settings: Settings, clock: HandClock) -> Iterator[House]:
    house = House.build(settings, clock)
    yield house
    house.db.close()


_BUILDINGS: dict[object, Flask] = {}


def _moved_in(house: House, use: str) -> Flask:
    """Return an app around a house: to build one takes 100 ms, so houses move in, one by one."""
    kind = (use, house.settings.https, house.settings.secret_keys)
    app = _BUILDINGS.get(kind) or _BUILDINGS.setdefault(kind, create_app(house))
    app.extensions["provider"] = house
    app.extensions[CENSUS] = Census()
    app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.options["servers"] = servers(house)
    return app


@pytest.fixture
def app(house: House) -> Flask:
    app = _moved_in(house, "asked")
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@dataclass(frozen=True)
class Served:
    """A server that really listens, with its courier at work."""

    url: str
    app: Flask
    house: House
    clock: HandClock


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(settings: Settings, clock: HandClock) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {**settings.__dict__, "base_url": f"http://127.0.0.1:{port}", "private_callbacks": True}
    house = House.build(Settings(**told), clock)
    app = _moved_in(house, "served")
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    courier = EmbeddedCourier(house, sweep=0.05).start()
    yield Served(f"http://127.0.0.1:{port}", app, house, clock)
    courier.stop()
    server.shutdown()
    thread.join()
    server.server_close()
    house.db.close()


@pytest.fixture
def ats() -> Iterator[FakeAts]:
    with FakeAts() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is missing: apt-get install chromium")
    expect.set_options(timeout=15_000)  # three browsers that film keep two cores busy
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()
