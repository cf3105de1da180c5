"""Fixtures: services on a database of their own, an app, a listening server, a browser, an ATS.

Tests run on SQLite, or with `--database postgresql` on PostgreSQL. Tests marked `both` run on both.
"""

import array
import gc
import math
import os
import shutil
import socket
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import hypothesis
import pytest
import structlog
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import Environment, FileSystemBytecodeCache
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from provider.app import ContractFlask, create_app, openapi_servers
from provider.config import Settings
from provider.core.staff import passwords
from provider.delivery import InProcessDispatcher
from provider.maintenance import schema_version
from provider.services import Services
from provider.storage.database import Database
from tests import line_coverage
from tests.factories import ManualClock, build_services, make_settings, present, quick_works
from tests.fake_ats import FakeAts
from tests.postgres_server import PostgresServer, shared_server
from tests.shared_statements import shared_statements

# The shell without windows takes a third of the CPU time of the whole browser.
CHROMIUM_PATHS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
CHROMIUM_PATH = next(filter(os.path.exists, CHROMIUM_PATHS), "")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream=fps=5",
    "--use-fake-ui-for-media-stream",
]


DATABASES = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database", choices=DATABASES, default="sqlite", help="the database of the tests"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests marked `both` on both databases, unless the run is on PostgreSQL.

    Tests marked `postgresql` run on PostgreSQL in each run.
    """
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    on_sqlite = metafunc.config.getoption("--database") == "sqlite"
    if "database" not in metafunc.fixturenames or not on_sqlite:
        return
    if "postgresql" in marks:
        metafunc.parametrize("database", ["postgresql"], indirect=True)
    elif {"both", "sqlite"} & marks == {"both"}:
        metafunc.parametrize("database", DATABASES, indirect=True)


# The suite has many properties: the usual 100 examples of each would take too long.
hypothesis.settings.register_profile("suite", max_examples=30)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Print tracebacks as the program does; the usual form would take 3 % of the suite's time."""
    structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback


def pytest_unconfigure() -> None:
    line_coverage.write()


def pytest_collection_finish() -> None:
    """Exclude the modules and test items from garbage collection: they live until the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)  # after pytest-randomly has shuffled the items
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the endurance tests first, for they take longest. Skip SQLite tests on PostgreSQL."""
    items.sort(key=lambda item: "endurance" not in item.path.parts)
    if config.getoption("--database") == "postgresql":
        for item in items:
            if item.get_closest_marker("sqlite"):
                item.add_marker(pytest.mark.skip("tests SQLite itself"))


@pytest.fixture(scope="session", autouse=True)
def _shared_statements() -> Iterator[None]:
    with shared_statements():
        yield


@pytest.fixture(autouse=True)
def _fast_password_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with the cheapest argon2id parameters. One test checks the real ones."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    dummy_hash = hasher.hash("no account")
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)
    monkeypatch.setattr(passwords, "dummy_hash", lambda: dummy_hash)


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> ManualClock:
    """Return the test's clock. With the mark `machine_time` it starts at the present."""
    return ManualClock(present() if request.node.get_closest_marker("machine_time") else None)


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated SQLite database. Tests copy the file."""
    path = tmp_path_factory.mktemp("fresh") / "provider.db"
    db = Database(f"sqlite:///{path}")
    schema_version.upgrade(db)
    db.close()
    return path


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[PostgresServer]:
    """Return the PostgreSQL server of the run. Tests that stop one use `stoppable_postgres`."""
    folder = tmp_path_factory.getbasetemp()
    server = shared_server(folder.parent if hasattr(request.config, "workerinput") else folder)
    yield server
    server.release()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Return an empty, migrated PostgreSQL database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Return an empty, migrated database for all tests of a module."""
    if request.config.getoption("--database") == "postgresql":
        with request.getfixturevalue("postgres").database() as url:
            yield url
        return
    folder = tmp_path_factory.mktemp("module")
    shutil.copy(request.getfixturevalue("fresh_database"), folder)
    yield f"sqlite:///{folder / 'provider.db'}"


@pytest.fixture(scope="session")
def _stoppable_postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer.create()
    yield server
    server.release()


@pytest.fixture
def stoppable_postgres(_stoppable_postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """Return a PostgreSQL server that the test may stop and start."""
    yield _stoppable_postgres_server
    if not _stoppable_postgres_server.is_running():
        _stoppable_postgres_server.start()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Return the test's database: `sqlite` or `postgresql`."""
    return str(getattr(request, "param", None) or request.config.getoption("--database"))


@pytest.fixture
def database_url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Return an empty, migrated database for one test."""
    if database == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    shutil.copy(request.getfixturevalue("fresh_database"), tmp_path / "provider.db")
    return f"sqlite:///{tmp_path / 'provider.db'}"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return make_settings(
        tmp_path,
        PROVIDER_DATABASE_URL=database_url,
        PROVIDER_BASE_URL="http://provider.test",
        PROVIDER_RETRY_SCHEDULE="5s,5m,1h",
    )


@pytest.fixture
def services(settings: Settings, clock: ManualClock) -> Iterator[Services]:
    services = build_services(settings, clock)
    yield services
    services.db.close()


_APP_CACHE: dict[object, ContractFlask] = {}


@pytest.fixture(scope="session")
def compiled_templates(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> FileSystemBytecodeCache:
    """Return a cache that all processes of a run share: to compile every template takes seconds."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if hasattr(request.config, "workerinput") else folder
    (folder / "templates").mkdir(exist_ok=True)
    return FileSystemBytecodeCache(str(folder / "templates"))


@pytest.fixture(scope="session", autouse=True)
def _shared_templates(compiled_templates: FileSystemBytecodeCache) -> Iterator[None]:
    """Give every app of the run the shared cache of compiled templates."""
    create_environment = Flask.create_jinja_environment

    def create_with_cache(app: Flask) -> Environment:
        environment = create_environment(app)
        environment.bytecode_cache = compiled_templates
        return environment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "create_jinja_environment", create_with_cache)
        yield


def app_for(services: Services, purpose: str) -> ContractFlask:
    """Return an app that serves `services`.

    To build an app takes 100 ms, so tests share a few and swap the services.
    """
    cache_key = (purpose, services.settings.is_https, services.settings.secret_keys)
    app = _APP_CACHE.get(cache_key) or _APP_CACHE.setdefault(cache_key, create_app(services))
    app.extensions["provider"] = app.pages.extensions["provider"] = services
    app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.options["servers"] = (
        openapi_servers(services)
    )
    return app


@pytest.fixture
def app(services: Services) -> ContractFlask:
    app = app_for(services, "test client")
    for flask_app in (app, app.pages):
        flask_app.testing = True
        flask_app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


@pytest.fixture
def pages_app(app: ContractFlask) -> Flask:
    """Return the app of the pages alone, for their templates and addresses."""
    return app.pages


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@dataclass(frozen=True)
class LiveServer:
    """A listening server with a running in-process dispatcher."""

    url: str
    app: Flask
    services: Services
    clock: ManualClock


class _QuietRequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Write no access log."""


@contextmanager
def listen(settings: Settings, clock: ManualClock, host: str = "127.0.0.1") -> Iterator[LiveServer]:
    """Run a server that people reach under a name of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://{host}:{port}"
    services = build_services(replace(settings, base_url=url, private_callbacks=True), clock)
    app = app_for(services, "live server")
    server = make_server(
        "127.0.0.1", port, app, threaded=True, request_handler=_QuietRequestHandler
    )
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield LiveServer(url, app, services, clock)
    server.shutdown()
    thread.join()
    server.server_close()
    services.db.close()


@pytest.fixture
def app_server(settings: Settings, clock: ManualClock) -> Iterator[LiveServer]:
    """A listening server without a dispatcher: a test sends and reads by itself."""
    with listen(settings, clock) as server:
        yield server


@pytest.fixture
def live_server(app_server: LiveServer) -> Iterator[LiveServer]:
    """A listening server with a running in-process dispatcher."""
    dispatcher = InProcessDispatcher(app_server.services, quick_works(0.5)).start()
    yield app_server
    dispatcher.stop()


@pytest.fixture
def ats() -> Iterator[FakeAts]:
    with FakeAts() as receiver:
        yield receiver


def _write_tone(path: Path) -> Path:
    """Write one second of a tone for the fake microphone, which repeats it.

    The browser's own sound is a short beep twice a second. A slow machine measures it so seldom
    that the page takes the recording for silence.
    """
    samples = (round(8000 * math.sin(math.tau * 440 * n / 48_000)) for n in range(48_000))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(array.array("h", samples).tobytes())
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not CHROMIUM_PATH:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: apt-get install chromium-headless-shell")
        pytest.skip("Chromium is missing: apt-get install chromium-headless-shell")
    # Three browsers that record keep two cores busy.
    expect.set_options(timeout=15_000)
    tone = _write_tone(tmp_path_factory.mktemp("microphone") / "tone.wav")
    flags = [*CHROMIUM_FLAGS, f"--use-file-for-fake-audio-capture={tone}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM_PATH, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()
