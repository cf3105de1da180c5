"""Scheduled work: intervals, leases between processes, errors, and what /ready and pages show."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from provider.core import scheduled
from provider.core.scheduled import (
    DEFAULT_LEASE,
    IDLE_RUN_INTERVAL,
    ScheduledWork,
    ScheduledWorkState,
    WorkContext,
    run_if_due,
)
from provider.delivery import InProcessDispatcher
from provider.delivery.scheduled_works import SCHEDULED_WORKS
from provider.errors import Conflict
from provider.services import Services
from provider.storage.database import Database
from tests import factories
from tests.factories import ManualClock
from tests.wait_for import wait_for
from tests.web.console_client import ConsoleClient

pytestmark = pytest.mark.both

EVERY = timedelta(minutes=1)


@dataclass
class Runs:
    """The runs of a work; `action` may fail or wait."""

    times: list[datetime] = field(default_factory=list)
    action: Callable[[], None] = lambda: None

    def __call__(self, context: WorkContext) -> None:
        self.times.append(context.now())
        self.action()


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def work(runs: Runs) -> ScheduledWork:
    return ScheduledWork("tidy_up", every=EVERY, run=runs)


@pytest.fixture
def other_process(services: Services) -> Iterator[Services]:
    """Return services with connections of their own to the same database."""
    db = Database(services.settings.database_url)
    yield replace(services, db=db)
    db.close()


def read_state(services: Services, name: str = "tidy_up") -> ScheduledWorkState:
    with services.db.reading() as session:
        return session.get_one(ScheduledWorkState, name)


def fail(error: Exception) -> None:
    raise error


def test_work_runs_once_per_interval(
    services: Services, work: ScheduledWork, runs: Runs, clock: ManualClock
) -> None:
    first = clock.now()
    assert run_if_due(services, work)
    assert not run_if_due(services, work)
    clock.advance(EVERY - timedelta(seconds=2))
    assert not run_if_due(services, work)
    second = clock.advance(timedelta(seconds=2))
    assert run_if_due(services, work)
    assert runs.times == [first, second]
    state = read_state(services)
    assert (state.last_started_at, state.last_finished_at) == (second, second)
    assert (state.leased_until, state.last_error) == (None, "")


def test_timer_that_fires_a_little_early_runs_the_work(
    services: Services, work: ScheduledWork, clock: ManualClock
) -> None:
    assert run_if_due(services, work)
    clock.advance(EVERY - timedelta(milliseconds=900))
    assert run_if_due(services, work)


def test_work_of_two_processes_runs_in_one(
    services: Services, other_process: Services, work: ScheduledWork, runs: Runs
) -> None:
    barrier = threading.Barrier(2)

    def run(process: Services) -> bool:
        barrier.wait(10)
        return run_if_due(process, work)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(run, (services, other_process))) == [False, True]
    assert len(runs.times) == 1


def test_long_run_is_not_started_twice_within_its_lease(
    services: Services,
    other_process: Services,
    work: ScheduledWork,
    runs: Runs,
    clock: ManualClock,
) -> None:
    long_work = replace(work, lease=timedelta(hours=1))

    def run_in_other_process() -> None:
        runs.action = lambda: None
        clock.advance(timedelta(minutes=59))
        assert not run_if_due(other_process, long_work)

    runs.action = run_in_other_process
    assert run_if_due(services, long_work)
    assert len(runs.times) == 1


def test_work_of_dead_process_runs_after_its_lease(
    services: Services, other_process: Services, runs: Runs, clock: ManualClock
) -> None:
    work = ScheduledWork("tidy_up", every=timedelta(seconds=2), run=runs)
    runs.action = lambda: fail(SystemExit())  # type: ignore[arg-type]
    with pytest.raises(SystemExit):
        run_if_due(services, work)
    runs.action = lambda: None
    clock.advance(DEFAULT_LEASE - timedelta(seconds=1))
    assert not run_if_due(other_process, work)
    clock.advance(timedelta(seconds=1))
    assert run_if_due(other_process, work)


def test_late_end_of_a_run_keeps_the_lease_of_the_next(
    services: Services,
    other_process: Services,
    work: ScheduledWork,
    runs: Runs,
    clock: ManualClock,
) -> None:
    other_started, may_end = threading.Event(), threading.Event()

    def run_longer_than_lease() -> None:
        clock.advance(DEFAULT_LEASE)

        def wait() -> None:
            other_started.set()
            may_end.wait(10)

        runs.action = wait
        other_run.append(pool.submit(run_if_due, other_process, work))
        assert other_started.wait(10)

    other_run: list[object] = []
    runs.action = run_longer_than_lease
    with ThreadPoolExecutor(1) as pool:
        assert run_if_due(services, work)
        leased_until = read_state(services).leased_until
        may_end.set()
    assert leased_until == clock.now() + DEFAULT_LEASE
    assert read_state(services).leased_until is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Conflict("Check both settings"), "Check both settings"),
        (
            OSError("sam@example.com"),
            "Unexpected error (OSError); the server's log has the details",
        ),
    ],
)
def test_error_is_recorded_until_the_next_success(
    services: Services,
    work: ScheduledWork,
    runs: Runs,
    clock: ManualClock,
    error: Exception,
    text: str,
) -> None:
    runs.action = lambda: fail(error)
    with capture_logs() as events:
        assert not run_if_due(services, work)
    assert [(event["event"], event["work"]) for event in events] == [
        ("scheduled_work_failed", "tidy_up")
    ]
    state = read_state(services)
    assert (state.last_error, state.leased_until) == (text, None)
    runs.action = lambda: None
    assert not run_if_due(services, work)  # the next interval tries again
    clock.advance(EVERY)
    assert run_if_due(services, work)
    assert read_state(services).last_error == ""


def test_error_of_the_check_is_recorded(
    services: Services, work: ScheduledWork, clock: ManualClock
) -> None:
    assert run_if_due(services, work)
    started_at = clock.now()
    clock.advance(EVERY)

    def is_needed(session: Session, now: datetime) -> bool:
        raise Conflict("No check")

    with capture_logs():
        assert not run_if_due(services, replace(work, is_needed=is_needed))
    state = read_state(services)
    assert (state.last_error, state.last_started_at) == ("No check", started_at)


def test_work_without_need_is_recorded_rarely(
    services: Services, work: ScheduledWork, runs: Runs, clock: ManualClock
) -> None:
    needs = [False]

    def is_needed(session: Session, now: datetime) -> bool:
        return needs[0]

    work = replace(work, is_needed=is_needed)
    assert run_if_due(services, work)  # the first run shows that the work is alive
    clock.advance(IDLE_RUN_INTERVAL - timedelta(seconds=1))
    assert not run_if_due(services, work)
    needs[0] = True
    assert run_if_due(services, work)
    needs[0] = False
    clock.advance(IDLE_RUN_INTERVAL)
    assert run_if_due(services, work)
    assert len(runs.times) == 3


def test_idle_works_write_nothing_to_the_database(services: Services, clock: ManualClock) -> None:
    works = factories.quick_works(2)

    def read_database() -> list[object]:
        path = services.db.url.database or ""
        if services.db.is_sqlite:
            files = (Path(path), Path(f"{path}-wal"))
            return [file.read_bytes() for file in files if file.exists()]
        with services.db.reading() as session:
            return [
                (state.name, state.last_started_at, state.last_finished_at)
                for state in scheduled.list_states(session)
            ]

    assert [run_if_due(services, work) for work in works] == [True] * len(works)
    before = read_database()
    for _ in range(20):
        clock.advance(timedelta(seconds=2))
        assert [run_if_due(services, work) for work in works] == [False] * len(works)
    assert read_database() == before


def test_names_of_works_are_unique_and_fit_the_table() -> None:
    names = [work.name for work in SCHEDULED_WORKS]
    assert len(names) == len(set(names)) >= 4
    assert all(len(name) <= 60 for name in names)


# A fifth work


def test_fifth_work_is_run_and_shown_without_other_changes(
    services: Services, client: FlaskClient
) -> None:
    runs = Runs(action=lambda: fail(Conflict("Nobody is there: call again")))
    fifth = ScheduledWork("remind_candidates", every=timedelta(hours=1), run=runs)
    works = [*factories.quick_works(3600), fifth]
    dispatcher = InProcessDispatcher(services, works).start()
    try:
        wait_for(lambda: count_finished(services) == len(works))
    finally:
        dispatcher.stop()
    page = ConsoleClient.signed_in(services, client).get_text("/console/deliveries/")
    assert "Remind candidates" in page
    assert "Nobody is there: call again" in page


def count_finished(services: Services) -> int:
    with services.db.reading() as session:
        return sum(state.last_finished_at is not None for state in scheduled.list_states(session))


def test_ready_shows_scheduled_work_to_holder_of_metrics_token(
    services: Services, client: FlaskClient, work: ScheduledWork, runs: Runs
) -> None:
    services = replace(services, settings=replace(services.settings, metrics_token="token"))
    client.application.extensions["provider"] = services
    runs.action = lambda: fail(Conflict("Check both settings"))
    run_if_due(services, work)
    now = services.now().isoformat()
    response = client.get("/ready", headers={"Authorization": "Bearer token"})
    details = json.loads(response.text)
    assert details["status"] == "ready"
    assert details["scheduled_work"] == [
        {
            "name": "tidy_up",
            "last_started_at": now,
            "last_finished_at": now,
            "last_error": "Check both settings",
        }
    ]
