"""What is counted: of all processes together, kept in the database, and never falling."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.app import create_app
from provider.metrics import Ledger, Meter, Tally, samples, store
from provider.metrics.flusher import MetricsFlusher
from provider.services import Services
from provider.storage.database import Database
from tests.factories import ManualClock
from tests.wait_for import wait_for

pytestmark = pytest.mark.both
AGES = store.ENDED + timedelta(seconds=1)


class Process:
    """One of several that count on one database, each with a connection of its own."""

    def __init__(self, url: str, clock: ManualClock) -> None:
        self.db, self.meter, self.clock = Database(url), Meter(), clock
        self.ledger = Ledger(self.db, self.meter)

    def answer(self, times: int) -> "Process":
        for _ in range(times):
            self.meter.answered("home", 200)
        return self

    def keep(self) -> None:
        self.ledger.keep(self.clock.now())

    def told(self) -> float:
        """Return how many answers all processes gave, as this one tells it."""
        return figure(self.ledger.all(self.clock.now()))


def figure(told: samples.Counts) -> float:
    labels = (("endpoint", "home"), ("code", "200"))
    return told.get(("provider_requests_total", labels), 0)


@pytest.fixture
def process(database_url: str, clock: ManualClock) -> Iterator[Callable[[], Process]]:
    made: list[Process] = []

    def start() -> Process:
        made.append(Process(database_url, clock))
        return made[-1]

    yield start
    for one in made:
        one.db.close()


@pytest.fixture
def rows(process: Callable[[], Process]) -> Callable[[], list[Tally]]:
    looker = process()

    def read() -> list[Tally]:
        with looker.db.reading() as session:
            return list(session.scalars(select(Tally).order_by(Tally.machine, Tally.process)))

    return read


def test_each_tells_what_all_counted(process: Callable[[], Process]) -> None:
    one, two = process().answer(3), process().answer(4)
    one.keep()
    two.keep()
    assert (one.told(), two.told()) == (7, 7)
    one.answer(1)
    assert one.told() == 8  # its own is told as it is now


def test_histograms_add_up_bucket_by_bucket(process: Callable[[], Process]) -> None:
    one, two = process(), process()
    for each, took in ((one, 0.02), (two, 0.02), (two, 4000)):
        each.meter._arrival.labels("status").observe(took)
    two.keep()
    lines = one.meter.written(one.ledger.all(one.clock.now())).decode().splitlines()
    told = [line for line in lines if line.startswith("provider_delivery_latency_seconds_bucket")]
    assert 'le="0.025",topic="status"} 2.0' in told[1]
    assert 'le="1800.0",topic="status"} 2.0' in told[-6]
    assert 'le="7200.0",topic="status"} 3.0' in told[-5]
    bounds = [line.split('le="')[1].split('"')[0] for line in told]
    assert bounds == sorted(bounds, key=float)
    assert 'provider_delivery_latency_seconds_count{topic="status"} 3.0' in lines


def test_a_restart_loses_nothing(process: Callable[[], Process], rows: Any) -> None:
    process().answer(3).keep()
    again = process().answer(2)
    assert again.told() == 5
    again.keep()
    assert again.told() == 5
    assert len(rows()) == 2


def test_what_is_asked_of_one_and_then_of_another_never_falls(
    process: Callable[[], Process], database: str
) -> None:
    one, two = process(), process()
    told = []
    for _ in range(3):
        told.append(one.answer(2).told())
        told.append(two.answer(1).told() if database == "postgresql" else told[-1])
    assert told == sorted(told)
    if database == "postgresql":  # where there are several, a scrape writes down what it tells
        assert told == [2, 3, 5, 6, 8, 9]


def test_nothing_new_writes_nothing(
    process: Callable[[], Process], rows: Any, clock: ManualClock
) -> None:
    one = process().answer(1)
    one.keep()
    (before,) = rows()
    clock.advance(timedelta(seconds=15))
    one.keep()
    assert rows()[0].at == before.at
    one.answer(1).keep()
    assert rows()[0].at == clock.now()
    assert len(rows()) == 1


def test_those_that_ended_are_put_together_and_still_count(
    process: Callable[[], Process], rows: Any, clock: ManualClock
) -> None:
    for times in (1, 10, 100):
        process().answer(times).keep()
    clock.advance(store.ENDED)
    process().answer(1).keep()
    assert len(rows()) == 4  # not yet
    clock.advance(timedelta(seconds=1))
    alive = process().answer(1000)
    alive.keep()
    assert [row.machine == "" for row in rows()] == [True, False, False]
    assert alive.told() == 1112
    clock.advance(AGES)
    process().answer(1).keep()
    assert [row.machine == "" for row in rows()] == [True, False]
    assert process().told() == 1113


def test_a_process_that_stood_still_goes_on_without_counting_twice(
    process: Callable[[], Process], rows: Any, clock: ManualClock
) -> None:
    frozen, dead, other = process().answer(5), process().answer(3), process()
    frozen.keep()
    dead.keep()
    clock.advance(AGES)
    other.answer(1).keep()
    assert len(rows()) == 2  # frozen and dead are one
    frozen.answer(2)
    assert frozen.told() == 11  # asked before it has written anything
    frozen.keep()
    assert (frozen.told(), process().told()) == (11, 11)
    frozen.answer(1).keep()
    assert process().told() == 12


def test_two_that_put_together_at_once_count_nobody_twice(
    process: Callable[[], Process], clock: ManualClock
) -> None:
    for _ in range(6):
        process().answer(7).keep()
    clock.advance(AGES)
    together = [process().answer(1) for _ in range(4)]
    start = threading.Barrier(len(together))

    def keep(one: Process) -> None:
        start.wait(10)
        one.keep()

    with ThreadPoolExecutor(len(together)) as pool:
        list(pool.map(keep, together))
    assert process().told() == 6 * 7 + 4


def test_of_a_commit_that_was_not_heard_of_nothing_counts_twice(
    process: Callable[[], Process], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = process().answer(1), process()
    one.keep()
    process().answer(1).keep()
    heard = one.db.writing

    class Lost:
        """A transaction whose commit reaches the database, and its answer nobody."""

        def __init__(self) -> None:
            self.inner = heard()

        def __enter__(self) -> Session:
            return self.inner.__enter__()

        def __exit__(self, *error: Any) -> None:
            self.inner.__exit__(*error)
            raise ConnectionError("the line is cut")

    monkeypatch.setattr(one.db, "writing", Lost)
    with pytest.raises(ConnectionError):
        one.answer(4).keep()
    monkeypatch.undo()
    clock.advance(AGES)
    other.answer(1).keep()  # it puts the row together that one knows nothing of
    one.answer(1).keep()
    assert process().told() == 5 + 1 + 1 + 1


def test_hosts_of_those_that_ended_are_few(
    process: Callable[[], Process], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_HOSTS", 2)
    for host in ("a.test", "b.test", "c.test", "d.test"):
        one = process()
        one.meter._attempts.labels("callback", host, "delivered").inc()
        one.keep()
    clock.advance(AGES)
    alive = process().answer(1)
    alive.keep()
    told = {
        dict(labels)["host"]: value
        for (name, labels), value in alive.ledger.all(clock.now()).items()
        if name == "provider_delivery_attempts_total"
    }
    assert len(told) == 3
    assert told["others"] == 2


def test_metrics_tells_of_all_processes(
    process: Callable[[], Process], services: Services, clock: ManualClock
) -> None:
    process().answer(5).keep()
    client = create_app(replace(services, settings=replace(services.settings, metrics_token="t")))
    answer = client.test_client().get("/metrics", headers={"Authorization": "Bearer t"})
    assert 'provider_requests_total{code="200",endpoint="home"} 5.0' in answer.text


def test_a_bookkeeper_writes_now_and_then_and_at_the_end(services: Services, rows: Any) -> None:
    services.metrics.answered("home", 200)
    often = MetricsFlusher(services.ledger, services.clock, every=0.01).start()
    wait_for(lambda: len(rows()) == 1)
    often.stop()
    services.metrics.answered("home", 200)
    MetricsFlusher(services.ledger, services.clock).start().stop()
    assert figure(samples.load(rows()[0].counted)) == 2


def test_a_bookkeeper_goes_on_after_a_fault_and_says_once_that_there_is_one(
    services: Services,
    rows: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret_box = MetricsFlusher(services.ledger, services.clock, every=0.01).start()
    _fail_thrice(services, monkeypatch)
    wait_for(lambda: _kept(rows) == 1)
    _fail_thrice(services, monkeypatch)
    wait_for(lambda: _kept(rows) == 2)
    secret_box.stop()
    assert capsys.readouterr().out.count("cannot be written down") == 2


def _fail_thrice(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something be counted that cannot be written down three times."""
    tries, thrice = itertools.count(1), threading.Event()

    def failing(*_: object) -> None:
        if next(tries) == 3:
            thrice.set()
        raise OSError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(services.db, "_transaction_guard", failing)
        services.metrics.answered("home", 200)
        assert thrice.wait(20)


def _kept(rows: Callable[[], list[Tally]]) -> float:
    return sum(figure(samples.load(row.counted)) for row in rows())
