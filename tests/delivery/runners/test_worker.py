"""`provider worker` as a real process on a real PostgreSQL: delivery, stops, and failures."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import text

from provider.app import _start_job_notifier
from provider.cli import main
from provider.core.orders import Order
from provider.core.orders.bulk_run import DONE, REFUSED
from provider.delivery.runners import notifier as notifier_module
from provider.delivery.runners.notifier import JobNotifier
from provider.delivery.scheduled_works import SCHEDULED_WORKS
from provider.services import Services
from tests import factories
from tests.cli.test_serve import PROGRAM, environment
from tests.core.orders.test_bulk_runs import ACTOR, create_run, outcomes, statuses
from tests.delivery.api_world import ApiWorld
from tests.factories import ManualClock
from tests.fake_ats import FakeAts, respond_with
from tests.fakes.pageup import FakePageUp
from tests.forked_program import ForkedProgram
from tests.s3_server import Bucket
from tests.s3_server import s3_bucket as s3_bucket
from tests.s3_server import s3_server as s3_server

pytestmark = pytest.mark.machine_time  # the worker processes use the machine's clock

JOBS = "provider_procrastinate.procrastinate_jobs"
WORKERS = "provider_procrastinate.procrastinate_workers"
# The end of the first job of a queue cannot be stored.
FAIL_FIRST_DELETION = f"""
CREATE SEQUENCE public.deletions;
CREATE FUNCTION public.fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.task_name = 'deliver_queue' AND nextval('public.deletions') = 1 THEN
        RAISE EXCEPTION 'this deletion fails';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER fail_once BEFORE DELETE ON {JOBS} FOR EACH ROW EXECUTE FUNCTION public.fail_once();
"""


@pytest.fixture
def database() -> str:
    return "postgresql"


@pytest.fixture
def services(services: Services) -> Services:
    execute(services, f"TRUNCATE {JOBS} CASCADE")
    execute(services, f"DELETE FROM {WORKERS}")
    return services


def execute(services: Services, statement: str) -> None:
    with services.db.engine.begin() as connection:
        connection.execute(text(statement))


def query(services: Services, statement: str) -> list[object]:
    with services.db.engine.connect() as connection:
        return list(connection.execute(text(statement)).scalars())


def wait_for_rows(services: Services, statement: str, count: int = 1) -> None:
    """Poll the database: the rows are written by another process."""
    deadline = monotonic() + 30
    while len(query(services, statement)) < count:
        assert monotonic() < deadline, statement
        threading.Event().wait(0.05)


def message_states(services: Services) -> list[object]:
    return query(services, "SELECT state FROM messages WHERE topic = 'status' ORDER BY id")


class Worker:
    """A running `provider worker`, which writes its output to a file."""

    def __init__(self, process: subprocess.Popen[bytes] | ForkedProgram, output_file: Path) -> None:
        self.process, self._output_file = process, output_file

    def read_output(self) -> str:
        return self._output_file.read_text("utf-8")

    def wait_for_output(self, *texts: str) -> None:
        """Poll the output until it contains all texts."""
        deadline = monotonic() + 30
        while not all(text in self.read_output() for text in texts):
            assert monotonic() < deadline, self.read_output()
            threading.Event().wait(0.05)

    def stop(self) -> tuple[int, str]:
        """Stop with SIGTERM; return the exit code and the output."""
        self.process.terminate()
        return self.process.wait(30), self.read_output()


@contextmanager
def working(services: Services, **settings: str) -> Iterator[Worker]:
    output_file = services.settings.instance / "worker.log"
    process = ForkedProgram(("worker",), environment(services, **settings), output_file)
    try:
        yield Worker(process, output_file)
    finally:
        process.kill()
        process.wait()


@contextmanager
def working_in_new_interpreter(services: Services) -> Iterator[Worker]:
    output_file = services.settings.instance / "worker.log"
    with output_file.open("wb") as output:
        process = subprocess.Popen(
            [*PROGRAM, "worker"],
            env=environment(services),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Worker(process, output_file)
    finally:
        process.kill()
        process.wait()


@contextmanager
def notifying(services: Services) -> Iterator[JobNotifier]:
    """Notify workers of the test's commits, as a server does."""
    notifier = JobNotifier(services.db).start()
    services.db.on_commit.append(notifier.notify)
    try:
        yield notifier
    finally:
        services.db.on_commit.remove(notifier.notify)
        notifier.stop()


@pytest.fixture
def decline(services: Services, ats: FakeAts) -> Callable[[int], str]:
    """Return a function that declines a new order, whose callback has this number."""
    account, _ = factories.create_account(services)
    test = factories.create_test(services)

    def decline(number: int) -> str:
        url = f"{ats.url}/callbacks/{number}"
        order = factories.place_order(services, account, test, callback_url=url)
        with services.db.writing() as session:
            Order.find(session, order).decline(session, "", services.now())
        return order

    return decline


def test_worker_delivers_and_settles_running_sends_when_stopped(
    services: Services, ats: FakeAts, decline: Callable[[int], str]
) -> None:
    before = decline(1)  # without a job: the sweep finds it
    with working_in_new_interpreter(services) as worker:
        ats.wait_for(1, timeout=30)

        def respond_after_sigterm(handler: BaseHTTPRequestHandler) -> None:
            worker.process.terminate()
            with pytest.raises(subprocess.TimeoutExpired):
                worker.process.wait(0.3)
            handler.send_response(200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        ats.responses.append(respond_after_sigterm)
        with notifying(services):
            after = decline(2)
            ats.wait_for(2, timeout=30)
            exit_code, output = worker.stop()
    assert exit_code == 0, output
    assert message_states(services) == ["delivered", "delivered"]
    assert output.startswith("provider ")
    assert [order in output for order in (before, after)] == [True, True]
    assert '"level": "error"' not in output
    assert query(services, f"SELECT id FROM {WORKERS}") == []


def test_worker_delivers_to_a_busy_queue_within_seconds(
    services: Services, ats: FakeAts, decline: Callable[[int], str]
) -> None:
    with working(services), notifying(services):
        decline(1)
        ats.wait_for(1, timeout=30)

        def decline_while_queue_is_locked(handler: BaseHTTPRequestHandler) -> None:
            decline(3)
            wait_for_rows(
                services, f"SELECT 1 FROM {JOBS} WHERE status = 'todo' AND lock IS NOT NULL"
            )
            sent_at.append(monotonic())
            respond_with(200)(handler)

        sent_at: list[float] = []
        ats.responses.append(decline_while_queue_is_locked)
        decline(2)
        ats.wait_for(3, timeout=30)
        # Half a second is the interval of polls; the rest is for a busy machine.
        assert monotonic() - sent_at[0] < 5


def test_worker_runs_every_scheduled_work_and_a_bulk_run(services: Services, ats: FakeAts) -> None:
    account, _ = factories.create_account(services)
    test = factories.create_test(services)
    factories.place_order(services, account, test, callback_url=f"{ats.url}/callbacks/1")
    execute(services, "UPDATE orders SET expires_at = now() - '1m'::interval")
    factories.create_staff(services, ACTOR)
    declined, *waiting = (
        factories.place_order(services, account, test, callback_url=f"{ats.url}/callbacks/{number}")
        for number in (2, 3, 4)
    )
    run_id = create_run(services, "cancel", [declined, *waiting])
    with services.db.writing() as session:  # after the preview, so the run leaves it as it is
        Order.find(session, declined).decline(session, "", services.now())
    with working(services) as worker:
        requests = ats.wait_for(4, timeout=30)
        finished = "SELECT name FROM scheduled_work WHERE last_finished_at IS NOT NULL"
        wait_for_rows(services, finished, len(SCHEDULED_WORKS))
        wait_for_rows(services, "SELECT id FROM bulk_runs WHERE finished_at IS NOT NULL")
        assert worker.stop()[0] == 0
    assert query(services, "SELECT last_error FROM scheduled_work") == [""] * len(SCHEDULED_WORKS)
    assert [state for state, _ in outcomes(services, run_id)] == [REFUSED, DONE, DONE]
    assert statuses(services, [declined, *waiting]) == ["declined", "cancelled", "cancelled"]
    # Workable has no word for a cancelled order.
    assert {request.path: request.json["status"] for request in requests} == {
        "/callbacks/1": "expired",
        "/callbacks/2": "rejected",
        "/callbacks/3": "expired",
        "/callbacks/4": "expired",
    }


def test_worker_reads_an_ats_orders_and_writes_the_result(
    services: Services, clock: ManualClock
) -> None:
    with FakePageUp(clock) as pageup:
        world = ApiWorld.create(
            services,
            clock,
            ats="pageup",
            options={"base_url": pageup.base_url, "rate": 100},
            secrets={"api_key": pageup.key, "api_secret": pageup.secret},
        )
        pageup.add(1, tags=["needs numeracy"])
        world.add_rule(match={"tag": "needs numeracy"}, backfills=True)
        with working(services) as worker:
            wait_for_rows(services, "SELECT public_id FROM orders", 1)
            factories.finish_test(services, world.order_ids()[0])
            written = "SELECT id FROM messages WHERE topic = 'tag' AND state = 'delivered'"
            wait_for_rows(services, written)
            assert worker.stop()[0] == 0
        assert "Reasoning: excelled" in pageup.candidate(1).tags.values()


def test_unusable_bucket_is_logged_and_e_mails_are_sent(
    services: Services, s3_bucket: Bucket
) -> None:
    s3_bucket.remove()
    factories.place_order(
        services, factories.create_account(services)[0], factories.create_test(services)
    )
    with working(services, PROVIDER_MEDIA_URL=s3_bucket.url) as worker:
        worker.wait_for_output(
            f"the bucket {s3_bucket.name} at {s3_bucket.endpoint} cannot be used", "invitation"
        )
        assert worker.stop()[0] == 0


def test_message_of_killed_worker_is_sent_by_another(
    services: Services, ats: FakeAts, decline: Callable[[int], str]
) -> None:
    with working(services) as first:

        def kill_worker(handler: BaseHTTPRequestHandler) -> None:
            first.process.kill()
            first.process.wait()
            handler.close_connection = True

        ats.responses.append(kill_worker)
        decline(1)
        ats.wait_for(1, timeout=30)
        first.process.wait()
    # The sweep may have deferred a second job, which waits for the lock of the first.
    jobs = query(services, f"SELECT status FROM {JOBS} WHERE lock LIKE '%/callback/%'")
    assert "doing" in jobs
    # As after a minute: the leases have ended, and the worker has sent no heartbeat.
    execute(services, "UPDATE messages SET leased_until = now()")
    execute(services, "UPDATE scheduled_work SET leased_until = now()")
    execute(services, f"UPDATE {WORKERS} SET last_heartbeat = now() - '1m'::interval")
    with working(services) as second:
        first_attempt, second_attempt = ats.wait_for(2, timeout=30)
        key = "Idempotency-Key"
        assert second_attempt.headers[key] == first_attempt.headers[key]
        assert second.stop()[0] == 0
    assert message_states(services) == ["delivered"]


def test_queue_goes_on_after_end_of_its_job_was_not_stored(
    services: Services, ats: FakeAts, decline: Callable[[int], str]
) -> None:
    execute(services, FAIL_FIRST_DELETION)
    with working(services) as worker, notifying(services):
        decline(1)
        ats.wait_for(1, timeout=30)
        wait_for_rows(services, "SELECT 1 FROM public.deletions WHERE is_called")
        decline(2)
        ats.wait_for(2, timeout=60)
        exit_code, output = worker.stop()
    assert exit_code == 0, output
    assert "procrastinate_failed" in output
    assert message_states(services) == ["delivered", "delivered"]


def test_commit_does_not_wait_for_locked_jobs_table(
    services: Services, decline: Callable[[int], str]
) -> None:
    with notifying(services), services.db.engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {JOBS}"))
        decline(1)
    (queue,) = factories.queue_names(services)
    assert query(services, f"SELECT lock FROM {JOBS} ORDER BY lock") == [
        queue,
        f"{queue.partition('/')[0]}/email",
    ]


def test_server_notifies_workers_of_every_commit(
    services: Services, decline: Callable[[int], str]
) -> None:
    stop = _start_job_notifier(services)
    decline(1)
    stop()
    (queue,) = factories.queue_names(services)
    assert queue in query(services, f"SELECT args->>'queue' FROM {JOBS} WHERE status = 'todo'")


def test_notifier_defers_again_after_an_error(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, deferred = threading.Event(), threading.Event()
    monkeypatch.setattr(notifier_module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(notifier_module.log, "warning", lambda *_, **__: failed.set())
    monkeypatch.setattr(notifier_module.log, "info", lambda *_, **__: deferred.set())
    execute(services, "ALTER SCHEMA provider_procrastinate RENAME TO elsewhere")
    notifier = JobNotifier(services.db).start()
    notifier.notify(["7/email"])
    assert failed.wait(10)
    execute(services, "ALTER SCHEMA elsewhere RENAME TO provider_procrastinate")
    assert deferred.wait(10)
    notifier.stop()
    assert query(services, f"SELECT lock FROM {JOBS}") == ["7/email"]


def test_notifier_stops_while_procrastinate_fails(services: Services) -> None:
    execute(services, "ALTER SCHEMA provider_procrastinate RENAME TO elsewhere")
    notifier = JobNotifier(services.db).start()
    notifier.notify(["7/email"])
    notifier.stop()
    notifier._thread.join(30)  # on a busy machine its error takes longer than `stop` waits
    assert not notifier._thread.is_alive()
    execute(services, "ALTER SCHEMA elsewhere RENAME TO provider_procrastinate")


def test_worker_on_sqlite_is_refused_in_one_sentence(
    tmp_path: Path,
    fresh_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(fresh_database, tmp_path / "provider.db")
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path))
    monkeypatch.setenv("PROVIDER_DATABASE_URL", f"sqlite:///{tmp_path / 'provider.db'}")
    with pytest.raises(SystemExit) as exit_info:
        main(["worker"])
    assert exit_info.value.code == 1
    assert capsys.readouterr().err.startswith("Error: On SQLite `provider serve` delivers")
