"""Requests to the ATSes' own APIs: a long round, accounts with nothing new, and written results.

Fakes of the ATSes count the requests. Their clock is manual, so that a window takes no time.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from provider import config
from provider.core.connections import resume_sources
from provider.delivery import Dispatcher
from provider.maintenance import schema_version
from provider.outbox import WAITING, WRITER, Message
from tests import factories
from tests.bench.table import Figure
from tests.delivery.api_world import ApiWorld
from tests.factories import ManualClock
from tests.fakes.harvest import FakeHarvest
from tests.fakes.jobtrain import FakeJobtrain
from tests.fakes.pageup import FakePageUp
from tests.fakes.vendor import FakeVendor, VendorRequest
from tests.fakes.workable_api import FakeWorkableApi

FIVE_MINUTES = timedelta(minutes=5)  # the interval of three of the four ATSes
PAGE_SIZE = 100  # records, of PageUp and Workable
PAGEUP_RULE = {"tag": "needs numeracy"}
WORKABLE_RULE = {"job": "GROOV005", "stage": "assessment"}
WORKABLE_LIMIT, WORKABLE_WINDOW_SECONDS = 50, 10  # of a partner's requests
MAX_MEMORY_RATIO = 1.2
MAX_REQUESTS_PER_RESULT = 4
# The clock moves with each request, so that some are on their way when a window ends.
REQUEST_TIME = timedelta(milliseconds=50)
POLL_INTERVAL = timedelta(seconds=1)  # between two looks for what is due
MAX_POLLS = 10_000


def measure_rounds(
    folder: Path, record_count: int, interval_count: int, result_count: int
) -> Iterator[Figure]:
    """Measure a round over many records, accounts with nothing new, and written results."""
    yield from _measure_long_round(folder / "long", record_count)
    yield _measure_quiet_accounts(folder / "quiet", interval_count)
    yield from _measure_results(folder / "results", result_count)


def _measure_long_round(folder: Path, record_count: int) -> Iterator[Figure]:
    """Read candidates of PageUp that have changed and match no rule."""
    page_count = record_count // PAGE_SIZE + 1  # the last page has fewer records, or none
    tenth = page_count // 10
    peaks_mb: list[float] = []
    with _pageup_world(folder) as (world, pageup):
        world.add_known_rule(match=PAGEUP_RULE)
        pageup.backlog(record_count, tags=["globetrotter"])
        pageup.before_page = {
            1: _reset_peak_memory,
            tenth + 1: lambda: peaks_mb.append(_peak_memory_mb()),
            page_count - tenth + 1: _reset_peak_memory,
        }
        pageup.request_log.clear()
        world.clock.advance(world.interval)
        _read_round(world, "changed_candidates")
        peaks_mb.append(_peak_memory_mb())
        record_total = world.cursor("changed_candidates").records
        request_count = len(pageup.request_log)
    if record_total != record_count:
        raise RuntimeError(f"{record_total} records were read instead of {record_count}")
    name = f"a round over {record_count:,} records"
    note = f"{request_count:,} requests; the last of {page_count:,} pages tells the end"
    yield Figure(
        f"{name}: requests ÷ pages", request_count / page_count, 1, is_upper_limit=True, note=note
    )
    yield Figure(
        f"{name}: peak memory, the first → the last tenth of its pages",
        peaks_mb[1] / peaks_mb[0],
        MAX_MEMORY_RATIO,
        is_upper_limit=True,
        note=f"{peaks_mb[0]:.0f} MB and {peaks_mb[1]:.0f} MB, the fake of PageUp included",
    )


def _measure_quiet_accounts(folder: Path, interval_count: int) -> Figure:
    """Read accounts in which nothing changes, one for each ATS.

    A hundred intervals end before the next daily sweep. Requests for tokens are not counted.
    """
    counts = {
        "PageUp": _count_pageup_requests(folder / "pageup", interval_count),
        "Workable": _count_workable_requests(folder / "workable", interval_count),
        "Greenhouse": _count_harvest_requests(folder / "harvest", interval_count),
        "Jobtrain": _count_jobtrain_requests(folder / "jobtrain", interval_count),
    }
    return Figure(
        "an account with nothing new: requests ÷ intervals, the most of an ATS",
        max(counts.values()) / interval_count,
        1,
        is_upper_limit=True,
        note=f"in {interval_count} intervals: "
        + ", ".join(f"{name} {count}" for name, count in counts.items()),
    )


def _count_pageup_requests(folder: Path, interval_count: int) -> int:
    with _pageup_world(folder) as (world, pageup):
        pageup.backlog(PAGE_SIZE, tags=["globetrotter"])
        world.clock.advance(timedelta(days=1))
        world.add_known_rule(match=PAGEUP_RULE)
        return _count_requests(world, pageup, "/candidates", interval_count)


def _count_workable_requests(folder: Path, interval_count: int) -> int:
    with _workable_world(folder) as (world, workable):
        yesterday = world.clock.now() - timedelta(days=1)
        workable.backlog(PAGE_SIZE, stage="applied", updated_at=yesterday)
        world.add_known_rule(match=WORKABLE_RULE)
        return _count_requests(world, workable, "/candidates", interval_count)


def _count_harvest_requests(folder: Path, interval_count: int) -> int:
    clock = ManualClock()
    with FakeHarvest(clock) as harvest:
        harvest.add("jobs", id=5, name="Accountant")
        harvest.add("job_interview_stages", id=88, job_id=5, name="Assessment")
        options = {
            "api_base": f"{harvest.url}/v3",
            "token_url": harvest.token_url,
            "authorize_url": harvest.authorize_url,
        }
        secrets = {
            "harvest_client_id": harvest.client_id,
            "harvest_client_secret": harvest.client_secret,
        }
        with _world(folder, clock, "greenhouse", options, secrets) as world:
            world.add_known_rule(match={"stage": "88", "job": "5"})
            return _count_requests(world, harvest, "/v3/", interval_count)


def _count_jobtrain_requests(folder: Path, interval_count: int) -> int:
    clock = ManualClock()
    with FakeJobtrain(clock) as jobtrain:
        secrets = {
            "client_id": jobtrain.client_id,
            "api_key": jobtrain.api_key,
            "api_password": jobtrain.api_password,
        }
        options = {"base_url": jobtrain.base_url}
        with _world(folder, clock, "jobtrain", options, secrets) as world:
            world.interval = timedelta(minutes=10)
            world.product = factories.create_package(world.services)
            world.add_known_rule(match={"check": "enhanced"})
            return _count_requests(world, jobtrain, "/", interval_count)


def _count_requests(
    world: ApiWorld, fake: FakeVendor, target_part: str, interval_count: int
) -> int:
    """Return the number of requests in these intervals; RuntimeError if one is refused."""
    fake.request_log.clear()
    for _ in range(interval_count):
        world.read_next()
    status_codes = {entry.status_code for entry in fake.request_log}
    if status_codes != {200}:
        raise RuntimeError(f"{fake.url} answered {status_codes}")
    return len(fake.requests("GET", target_part))


def _measure_results(folder: Path, result_count: int) -> Iterator[Figure]:
    """Write the results of tests into Workable: an evaluation, a comment and a tag.

    A PDF takes no request of its own, and a row of `waits` measures it: none is attached.
    """
    with _workable_world(folder) as (world, workable):
        world.add_known_rule(match=WORKABLE_RULE)
        workable.backlog(result_count, stage="assessment")
        world.clock.advance(world.interval)
        _read_round(world, "changed_candidates")
        order_ids = world.order_ids()
        if len(order_ids) != result_count:
            raise RuntimeError(f"{len(order_ids)} orders were placed instead of {result_count}")
        for order_id in order_ids:
            factories.finish_test(world.services, order_id, {})
        workable.request_log.clear()
        workable.before_request.append(_advance_by_request(world.clock))
        _write_all(world)
        written = Counter(action for _, action, _ in workable.writes)
    entries = workable.request_log
    expected = dict.fromkeys(("ratings", "comments", "tags"), result_count)
    if written != expected:
        raise RuntimeError(f"Workable got {dict(written)} instead of {expected}")
    of_results = Counter(entry.request.path.split("/")[4] for entry in entries)
    of_windows = Counter(int(entry.at.timestamp()) // WORKABLE_WINDOW_SECONDS for entry in entries)
    refused_count = sum(entry.status_code == 429 for entry in entries)
    over_limit_count = sum(count > MAX_REQUESTS_PER_RESULT for count in of_results.values())
    name = f"{result_count:,} results written to Workable"
    yield Figure(
        f"{name}: requests ÷ results",
        len(entries) / result_count,
        MAX_REQUESTS_PER_RESULT,
        is_upper_limit=True,
        note=f"{len(entries):,} requests; more than {MAX_REQUESTS_PER_RESULT} for "
        f"{over_limit_count} of the results, at most {max(of_results.values())}; without PDFs",
    )
    yield Figure(
        f"{name}: requests in the fullest {WORKABLE_WINDOW_SECONDS} s",
        max(of_windows.values()),
        WORKABLE_LIMIT,
        unit="requests",
        is_upper_limit=True,
        note=f"of {len(of_windows)} windows; {refused_count} answers 429",
    )


def _write_all(world: ApiWorld) -> None:
    """Send the writers' messages until none waits, as fast as the budget allows."""
    dispatcher = Dispatcher(world.services)
    try:
        for _ in range(MAX_POLLS):
            world.deliver(dispatcher)
            if not _count_waiting(world):
                return
            world.clock.advance(POLL_INTERVAL)
    finally:
        dispatcher.stop()
    raise RuntimeError("The results were not written")


def _count_waiting(world: ApiWorld) -> int:
    """Return the number of the writers' messages that wait."""
    query = select(func.count()).where(
        Message.state == WAITING, Message.queue.startswith(f"{world.account_id}/{WRITER}/")
    )
    with world.services.db.reading() as session:
        return session.scalars(query).one()


def _read_round(world: ApiWorld, source: str) -> None:
    """Read a due source to the end of its round, as fast as the budget allows.

    The brake is released whenever it stops the round.
    """
    started_at = world.clock.now()
    for _ in range(MAX_POLLS):
        world.read()
        cursor = world.cursor(source)
        if cursor.finished_at and cursor.finished_at >= started_at:
            return
        if cursor.stopped_reason:
            with world.services.db.writing() as session:
                resume_sources(session, world.account_id, world.clock.now())
        world.clock.advance(POLL_INTERVAL)
    raise RuntimeError(f"The round has not ended: {world.cursor(source).last_error}")


def _advance_by_request(clock: ManualClock) -> Callable[[VendorRequest], None]:
    def advance(_request: VendorRequest) -> None:
        clock.advance(REQUEST_TIME)

    return advance


@contextmanager
def _pageup_world(folder: Path) -> Iterator[tuple[ApiWorld, FakePageUp]]:
    clock = ManualClock()
    with FakePageUp(clock) as pageup:
        options = {"base_url": pageup.base_url, "page_size": PAGE_SIZE, "rate": 100}
        secrets = {"api_key": pageup.key, "api_secret": pageup.secret}
        with _world(folder, clock, "pageup", options, secrets) as world:
            yield world, pageup


@contextmanager
def _workable_world(folder: Path) -> Iterator[tuple[ApiWorld, FakeWorkableApi]]:
    """Yield an account with a partner's token, whose client may send 50 requests in 10 s."""
    clock = ManualClock()
    with FakeWorkableApi(clock) as workable:
        options = {
            "subdomain": "groove-tech",
            "api_base": workable.api_url,
            "accounts_base": workable.api_url,
            "auth": "partner_token",
            "client_id_header": workable.partner_id,
            "member_id": "13e0eb0e",
            "tags": True,
            "attach_pdf": False,
        }
        secrets = {"api_token": workable.partner_token}
        with _world(folder, clock, "workable", options, secrets) as world:
            yield world, workable


@contextmanager
def _world(
    folder: Path, clock: ManualClock, ats: str, options: dict[str, Any], secrets: dict[str, str]
) -> Iterator[ApiWorld]:
    settings = config.load_settings({"PROVIDER_INSTANCE": str(folder)})
    services = factories.build_services(settings, clock)
    schema_version.upgrade(services.db)
    try:
        yield ApiWorld.create(
            services, clock, ats=ats, options=options, secrets=secrets, interval=FIVE_MINUTES
        )
    finally:
        services.db.close()


def _reset_peak_memory() -> None:
    """Let the kernel measure this process's peak of resident memory anew."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def _peak_memory_mb() -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
