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

from provider.app import _tell_workers
from provider.cli import main
from provider.courier import doorbell as doorbell_room
from provider.courier.doorbell import Doorbell
from provider.hosts import host_of
from provider.house import House
from provider.orders import Order
from tests import cast
from tests.bucket import Held
from tests.bucket import films as films
from tests.bucket import s3 as s3
from tests.fake_ats import FakeAts
from tests.test_serve import PROGRAM, environment

pytestmark = pytest.mark.machine_time  # the other processes go by it


@pytest.fixture
def database() -> str:
    return "postgresql"


@pytest.fixture
def house(house: House) -> House:
    tell(house, "TRUNCATE provider_engine.procrastinate_jobs CASCADE")
    tell(house, "DELETE FROM provider_engine.procrastinate_workers")
    return house


def tell(house: House, statement: str) -> None:
    with house.db.engine.begin() as connection:
        connection.execute(text(statement))


def ask(house: House, query: str) -> list[object]:
    with house.db.engine.connect() as connection:
        return list(connection.execute(text(query)).scalars())


class Worker:
    """A running `provider worker`."""

    def __init__(self, house: House, **told: str) -> None:
        told = environment(house, PROVIDER_DATABASE_URL=house.settings.database_url, **told)
        self.process = subprocess.Popen(
            [*PROGRAM, "worker"], env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    def stop(self) -> tuple[int, str]:
        self.process.terminate()
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said


@contextmanager
def working(house: House, **told: str) -> Iterator[Worker]:
    worker = Worker(house, **told)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()
        assert worker.process.stdout
        worker.process.stdout.close()


@pytest.fixture
def decline(house: House, ats: FakeAts) -> Callable[[int], str]:
    """Return what brings a status about whose callback has this number."""
    account, _ = cast.account(house)
    test = cast.test(house)

    def decline(number: int) -> str:
        url = f"{ats.url}/callbacks/{number}"
        order = cast.order(house, account, test, callback_url=url)
        with house.db.writing() as session:
            Order.find(session, order).decline(session, "", house.now())
        return order

    return decline


def states(house: House) -> list[object]:
    return ask(house, "SELECT state FROM messages WHERE topic = 'status' ORDER BY id")


def test_a_worker_delivers_what_a_server_commits_and_finishes_what_it_has_in_hand_when_stopped(
    house: House, ats: FakeAts, decline: Callable[[int], str]
) -> None:
    before = decline(1)  # nobody rings for it: the sweep finds it
    with working(house) as worker:
        ats.wait_for(1, timeout=30)
        doorbell = Doorbell(house.db).start()
        house.db.on_commit.append(doorbell.ring)

        def slowly(handler: BaseHTTPRequestHandler) -> None:
            worker.process.terminate()
            with pytest.raises(subprocess.TimeoutExpired):
                worker.process.wait(0.3)
            handler.send_response(200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        ats.answers.append(slowly)
        after = decline(2)
        ats.wait_for(2, timeout=30)
        code, said = worker.stop()
        doorbell.stop()
    assert code == 0, said
    assert states(house) == ["delivered", "delivered"]
    assert said.startswith("provider ")
    assert [order in said for order in (before, after)] == [True, True]
    assert '"level": "error"' not in said
    assert ask(house, "SELECT id FROM provider_engine.procrastinate_workers") == []
    labels = (("to", "callback"), ("host", host_of(ats.url)), ("outcome", "done"))
    counted = house.ledger.all(house.now())
    assert counted["provider_attempts_total", labels] == 2  # written down at the end


def test_a_bucket_that_cannot_be_used_is_told_at_the_start_and_keeps_back_no_letter(
    house: House, films: Held
) -> None:
    films.remove()
    cast.order(house, cast.account(house)[0], cast.test(house))
    with working(house, PROVIDER_MEDIA_URL=films.url) as worker:
        assert worker.process.stdout
        missing = {f"the bucket {films.name} at {films.endpoint} cannot be used", "invitation"}
        for line in worker.process.stdout:
            missing = {words for words in missing if words not in line}
            if not missing:
                break
        assert worker.stop()[0] == 0
    assert not missing


def test_what_a_killed_worker_had_in_hand_another_one_sends(
    house: House, ats: FakeAts, decline: Callable[[int], str]
) -> None:
    with working(house) as first:

        def die(handler: BaseHTTPRequestHandler) -> None:
            first.process.kill()
            first.process.wait()
            handler.close_connection = True

        ats.answers.append(die)
        decline(1)
        ats.wait_for(1, timeout=30)
        first.process.wait()
    assert ask(house, "SELECT status FROM provider_engine.procrastinate_jobs WHERE lock LIKE '%/%'")
    # As if a minute had passed: its lease is over, and it has given no sign of life.
    tell(house, "UPDATE messages SET leased_until = now()")
    tell(
        house,
        "UPDATE provider_engine.procrastinate_workers SET last_heartbeat = now() - '1m'::interval",
    )
    with working(house) as second:
        first_try, second_try = ats.wait_for(2, timeout=30)
        assert second_try.headers["Idempotency-Key"] == first_try.headers["Idempotency-Key"]
        assert second.stop()[0] == 0
    assert states(house) == ["delivered"]


def test_a_doorbell_keeps_nobody_waiting_while_the_engine_is_locked(
    house: House, decline: Callable[[int], str]
) -> None:
    doorbell = Doorbell(house.db).start()
    house.db.on_commit.append(doorbell.ring)
    with house.db.engine.begin() as connection:
        connection.execute(text("LOCK TABLE provider_engine.procrastinate_jobs"))
        decline(1)
    doorbell.stop()
    (lane,) = cast.lanes(house)
    assert ask(house, "SELECT lock FROM provider_engine.procrastinate_jobs ORDER BY lock") == [
        lane,
        f"{lane.partition('/')[0]}/mail",
    ]


def test_a_server_rings_for_every_commit(house: House, decline: Callable[[int], str]) -> None:
    stop = _tell_workers(house)
    decline(1)
    stop()
    (lane,) = cast.lanes(house)
    waiting = "SELECT args->>'lane' FROM provider_engine.procrastinate_jobs WHERE status = 'todo'"
    assert lane in ask(house, waiting)


def test_what_the_engine_does_not_hear_it_is_told_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, heard = threading.Event(), threading.Event()
    monkeypatch.setattr(doorbell_room, "REST", 0.01)
    monkeypatch.setattr(doorbell_room.log, "warning", lambda *_, **__: failed.set())
    monkeypatch.setattr(doorbell_room.log, "info", lambda *_, **__: heard.set())
    tell(house, "ALTER SCHEMA provider_engine RENAME TO elsewhere")
    doorbell = Doorbell(house.db).start()
    doorbell.ring(["7/mail"])
    assert failed.wait(10)
    tell(house, "ALTER SCHEMA elsewhere RENAME TO provider_engine")
    assert heard.wait(10)
    doorbell.stop()
    assert ask(house, "SELECT lock FROM provider_engine.procrastinate_jobs") == ["7/mail"]


def test_a_stop_waits_for_no_engine_that_fails(house: House) -> None:
    tell(house, "ALTER SCHEMA provider_engine RENAME TO elsewhere")
    doorbell = Doorbell(house.db).start()
    doorbell.ring(["7/mail"])
    doorbell.stop()
    assert not doorbell._thread.is_alive()
    tell(house, "ALTER SCHEMA elsewhere RENAME TO provider_engine")


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
    assert capsys.readouterr().err.startswith(
        "Error: On SQLite `provider serve` delivers by itself"
    )
