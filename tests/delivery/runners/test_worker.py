"""`provider worker` as a real process on a real PostgreSQL: it delivers, stops clean, and dies."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from sqlalchemy import text

from provider.app import _start_job_notifier
from provider.cli import main
from provider.core.orders import Order
from provider.delivery.runners import notifier as doorbell_room
from provider.delivery.runners.notifier import JobNotifier
from provider.services import Services
from tests import factories
from tests.cli.test_serve import PROGRAM, environment
from tests.fake_ats import FakeAts
from tests.s3_server import Bucket
from tests.s3_server import s3_bucket as s3_bucket
from tests.s3_server import s3_server as s3_server

pytestmark = pytest.mark.machine_time  # the other processes go by it


@pytest.fixture
def database() -> str:
    return "postgresql"


@pytest.fixture
def services(services: Services) -> Services:
    tell(services, "TRUNCATE provider_procrastinate.procrastinate_jobs CASCADE")
    tell(services, "DELETE FROM provider_procrastinate.procrastinate_workers")
    return services


def tell(services: Services, statement: str) -> None:
    with services.db.engine.begin() as connection:
        connection.execute(text(statement))


def ask(services: Services, query: str) -> list[object]:
    with services.db.engine.connect() as connection:
        return list(connection.execute(text(query)).scalars())


class Worker:
    """A running `provider worker`."""

    def __init__(self, services: Services, **told: str) -> None:
        told = environment(services, PROVIDER_DATABASE_URL=services.settings.database_url, **told)
        self.process = subprocess.Popen(
            [*PROGRAM, "worker"],
            env=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stop(self) -> tuple[int, str]:
        self.process.terminate()
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said


@contextmanager
def working(services: Services, **told: str) -> Iterator[Worker]:
    worker = Worker(services, **told)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()
        assert worker.process.stdout
        worker.process.stdout.close()


@pytest.fixture
def decline(services: Services, ats: FakeAts) -> Callable[[int], str]:
    """Return what brings a status about whose callback has this number."""
    account, _ = factories.create_account(services)
    test = factories.create_test(services)

    def decline(number: int) -> str:
        url = f"{ats.url}/callbacks/{number}"
        order = factories.place_order(services, account, test, callback_url=url)
        with services.db.writing() as session:
            Order.find(session, order).decline(session, "", services.now())
        return order

    return decline


def states(services: Services) -> list[object]:
    return ask(services, "SELECT state FROM messages WHERE topic = 'status' ORDER BY id")


def test_a_worker_delivers_what_a_server_commits_and_finishes_what_it_has_in_hand_when_stopped(
    services: Services, ats: FakeAts, decline: Callable[[int], str]
) -> None:
    before = decline(1)  # nobody rings for it: the sweep finds it
    with working(services) as worker:
        ats.wait_for(1, timeout=30)
        doorbell = JobNotifier(services.db).start()
        services.db.on_commit.append(doorbell.ring)

        def slowly(handler: BaseHTTPRequestHandler) -> None:
            worker.process.terminate()
            with pytest.raises(subprocess.TimeoutExpired):
                worker.process.wait(0.3)
            handler.send_response(200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        ats.responses.append(slowly)
        after = decline(2)
        ats.wait_for(2, timeout=30)
        code, said = worker.stop()
        doorbell.stop()
    assert code == 0, said
    assert states(services) == ["delivered", "delivered"]
    assert said.startswith("provider ")
    assert [order in said for order in (before, after)] == [True, True]
    assert '"level": "error"' not in said
    assert ask(services, "SELECT id FROM provider_procrastinate.procrastinate_workers") == []


def test_a_bucket_that_cannot_be_used_is_told_at_the_start_and_keeps_back_no_letter(
    services: Services, s3_bucket: Bucket
) -> None:
    s3_bucket.remove()
    factories.place_order(
        services, factories.create_account(services)[0], factories.create_test(services)
    )
    with working(services, PROVIDER_MEDIA_URL=s3_bucket.url) as worker:
        assert worker.process.stdout
        missing = {
            f"the bucket {s3_bucket.name} at {s3_bucket.endpoint} cannot be used",
            "invitation",
        }
        for line in worker.process.stdout:
            missing = {words for words in missing if words not in line}
            if not missing:
                break
        assert worker.stop()[0] == 0
    assert not missing


def test_what_a_killed_worker_had_in_hand_another_one_sends(
    services: Services, ats: FakeAts, decline: Callable[[int], str]
) -> None:
    with working(services) as first:

        def die(handler: BaseHTTPRequestHandler) -> None:
            first.process.kill()
            first.process.wait()
            handler.close_connection = True

        ats.responses.append(die)
        decline(1)
        ats.wait_for(1, timeout=30)
        first.process.wait()
    assert ask(
        services,
        "SELECT status FROM provider_procrastinate.procrastinate_jobs WHERE lock LIKE '%/%'",
    )
    # As if a minute had passed: its lease is over, and it has given no sign of life.
    tell(services, "UPDATE messages SET leased_until = now()")
    tell(
        services,
        "UPDATE provider_procrastinate.procrastinate_workers "
        "SET last_heartbeat = now() - '1m'::interval",
    )
    with working(services) as second:
        first_try, second_try = ats.wait_for(2, timeout=30)
        assert second_try.headers["Idempotency-Key"] == first_try.headers["Idempotency-Key"]
        assert second.stop()[0] == 0
    assert states(services) == ["delivered"]


def test_a_doorbell_keeps_nobody_waiting_while_the_engine_is_locked(
    services: Services, decline: Callable[[int], str]
) -> None:
    doorbell = JobNotifier(services.db).start()
    services.db.on_commit.append(doorbell.ring)
    with services.db.engine.begin() as connection:
        connection.execute(text("LOCK TABLE provider_procrastinate.procrastinate_jobs"))
        decline(1)
    doorbell.stop()
    (lane,) = factories.queue_names(services)
    assert ask(
        services, "SELECT lock FROM provider_procrastinate.procrastinate_jobs ORDER BY lock"
    ) == [
        lane,
        f"{lane.partition('/')[0]}/email",
    ]


def test_a_server_rings_for_every_commit(services: Services, decline: Callable[[int], str]) -> None:
    stop = _start_job_notifier(services)
    decline(1)
    stop()
    (lane,) = factories.queue_names(services)
    waiting = (
        "SELECT args->>'lane' FROM provider_procrastinate.procrastinate_jobs WHERE status = 'todo'"
    )
    assert lane in ask(services, waiting)


def test_what_the_engine_does_not_hear_it_is_told_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, heard = threading.Event(), threading.Event()
    monkeypatch.setattr(doorbell_room, "REST", 0.01)
    monkeypatch.setattr(doorbell_room.log, "warning", lambda *_, **__: failed.set())
    monkeypatch.setattr(doorbell_room.log, "info", lambda *_, **__: heard.set())
    tell(services, "ALTER SCHEMA provider_procrastinate RENAME TO elsewhere")
    doorbell = JobNotifier(services.db).start()
    doorbell.ring(["7/email"])
    assert failed.wait(10)
    tell(services, "ALTER SCHEMA elsewhere RENAME TO provider_procrastinate")
    assert heard.wait(10)
    doorbell.stop()
    assert ask(services, "SELECT lock FROM provider_procrastinate.procrastinate_jobs") == [
        "7/email"
    ]


def test_a_stop_waits_for_no_engine_that_fails(services: Services) -> None:
    tell(services, "ALTER SCHEMA provider_procrastinate RENAME TO elsewhere")
    doorbell = JobNotifier(services.db).start()
    doorbell.ring(["7/email"])
    doorbell.stop()
    assert not doorbell._thread.is_alive()
    tell(services, "ALTER SCHEMA elsewhere RENAME TO provider_procrastinate")


def test_on_sqlite_one_sentence_says_who_delivers(
    tmp_path: Path,
    fresh_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(fresh_database, tmp_path / "provider.db")
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path))
    monkeypatch.setenv("PROVIDER_DATABASE_URL", f"sqlite:///{tmp_path / 'provider.db'}")
    with pytest.raises(SystemExit) as ended:
        main(["worker"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("Error: On SQLite `provider serve` delivers")
