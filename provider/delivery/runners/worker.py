"""`provider worker`: one of any number of processes that share the queues by Procrastinate.

The engine says which lane is whose, and nothing more. A job of it is a shift in a lane; whether a
message may be claimed is still the outbox's to say. So whatever becomes of a job, of its worker or
of the engine's tables, the sweep defers the lane again, and what was lost is time.
"""

import asyncio
import json
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import get_channel_for_queues
from procrastinate.worker import Worker

from provider import outbox
from provider.core import scheduled
from provider.delivery.runners.leased_queues import LeasedQueueDispatcher
from provider.delivery.runners.notifier import DRAIN, JobNotifier
from provider.delivery.scheduled_works import SCHEDULED_WORKS
from provider.outbox import QueueName
from provider.services import Services
from provider.storage import procrastinate_schema

TURN = 60.0  # seconds after which the courier looks up though nothing has called
POLL = 0.5  # seconds: the engine's word that there is a job gets lost now and then
HEARTBEAT, DEAD = 5.0, 20.0  # seconds between a worker's signs of life; without one it is dead
REST = 1.0  # seconds before the engine is asked again, where it did not answer
SWEEP = "* * * * * */2"  # every two seconds, by whichever worker is first
TIDY = "* * * * * */10"
NUDGE = "SELECT pg_notify(%(channel)s, %(payload)s)"

Timed = Callable[[int], Awaitable[None]]  # told the moment for which it was deferred

log = structlog.get_logger()


class DeliveryWorker:
    """Works in lanes as the engine deals them out, and does the clock's work once for all."""

    def __init__(self, services: Services, lanes: int) -> None:
        self._services = services
        self._lanes = lanes
        self._doorbell = JobNotifier(services.db)
        self._courier = LeasedQueueDispatcher(services, self._doorbell.ring)
        self._turns = threading.Thread(target=self._take_turns, name="courier")
        self._stopping = threading.Event()
        self._deaf = False
        self._unfinished: set[str] = set()
        # Few connections, for a job holds none while it lasts; the engine listens on one more.
        connector = PsycopgConnector(
            conninfo=procrastinate_schema.build_conninfo(services.db.url),
            min_size=1,
            max_size=4,
            timeout=procrastinate_schema.TIMEOUT_SECONDS,
            num_workers=1,
        )
        self._app = App(connector=connector)
        self._app.task(name=DRAIN)(self._drain)
        self._every(SWEEP, "sweep", self._sweep)
        self._every(SWEEP, "pass time", self._pass_time, lock="pass time")
        self._every(TIDY, "tidy", self._tidy)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; then finish what is in hand, and free the rest."""
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # we say ourselves what fails
        asyncio.run(self._run())

    def _every(self, cron: str, name: str, job: Timed, lock: str | None = None) -> None:
        """Have a job done at these times by one worker of all; never two of it wait."""
        task = self._app.task(name=name, queueing_lock=name, lock=lock, priority=1)(job)
        self._app.periodic(cron=cron, periodic_id=name)(task)

    async def _run(self) -> None:
        asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, asked.set)
        self._doorbell.start()
        self._turns.start()
        self._services.db.on_commit.append(self._doorbell.ring)
        engaged = asyncio.create_task(self._stay_engaged())
        await asked.wait()
        self._stopping.set()
        # Cancelled, it fetches no more and waits for its jobs, which end as the courier lets go.
        engaged.cancel()
        try:
            await asyncio.to_thread(self._courier.stop, self._turns)
        except Exception:
            log.exception("what was in hand could not be settled: it will be sent again")
        with suppress(asyncio.CancelledError):
            await engaged
        await asyncio.to_thread(self._doorbell.stop)

    def _take_turns(self) -> None:
        while not self._stopping.is_set():
            self._courier.wait_and_run(TURN)

    async def _stay_engaged(self) -> None:
        """Take jobs, and begin anew when the engine fails; it ends by being cancelled."""
        while True:
            try:
                async with self._app.open_async():
                    await self._engaged()
            except Exception as error:
                self.failed(error)
            await asyncio.sleep(REST)

    async def _engaged(self) -> None:
        worker = _Worker(
            self,
            self._app,
            concurrency=self._lanes,
            delete_jobs="always",
            fetch_job_polling_interval=POLL,
            update_heartbeat_interval=HEARTBEAT,
            stalled_worker_timeout=DEAD,
            install_signal_handlers=False,
        )
        await worker.run()  # type: ignore[no-untyped-call]

    def failed(self, error: Exception) -> None:
        """Say that the engine fails, once."""
        if not self._deaf:
            log.warning("the engine fails; its jobs wait until it works again", exc_info=error)
        self._deaf = True

    def _worked(self) -> None:
        if self._deaf:
            log.info("the engine works again")
        self._deaf = False

    # The jobs

    async def _drain(self, lane: str) -> None:
        """Have a shift in a lane."""
        loop, over = asyncio.get_running_loop(), asyncio.Future[bool]()

        def tell(more: bool) -> None:
            loop.call_soon_threadsafe(over.set_result, more)

        self._courier.lend(lane, tell)
        if await over:
            self._unfinished.add(lane)

    async def done(self, worker: "_Worker", job: Job) -> None:
        """Have the next job of a lane taken, for the engine tells nobody that a lock is free."""
        self._worked()
        if job.lock in self._unfinished:
            self._unfinished.discard(job.lock)
            await self._pass_on(job.lock)
        elif job.task_name == DRAIN:
            worker.look()

    async def _pass_on(self, lane: str) -> None:
        """Offer a lane to all workers alike: who has most hands free is the quickest."""
        if await self._defer([lane]):
            return
        (channel,) = get_channel_for_queues()
        payload = json.dumps({"type": "job_inserted", "job_id": 0})
        await self._app.connector.execute_query_async(NUDGE, channel=channel, payload=payload)

    async def _sweep(self, timestamp: int) -> None:
        """Find the lanes in which something is due and nobody works."""
        due = await asyncio.to_thread(self._due)
        jobs = await self._app.job_manager.list_jobs_async(task=DRAIN)
        await self._defer(set(due) - {str(job.lock) for job in jobs})

    async def _pass_time(self, timestamp: int) -> None:
        """Do the clock's work."""
        await asyncio.to_thread(self._do_what_is_late)

    async def _tidy(self, timestamp: int) -> None:
        """Remove the jobs of dead workers: their lanes are free then, and the sweep finds them."""
        manager = self._app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=DEAD):
            with suppress(ConnectorException):  # it has ended meanwhile
                await manager.finish_job(job, Status.FAILED, delete_job=True)
        await manager.prune_stalled_workers(DEAD)

    async def _defer(self, lanes: Iterable[str]) -> int:
        deferred = 0
        for lane in lanes:
            job = self._app.configure_task(DRAIN, lock=lane, queueing_lock=lane)
            with suppress(AlreadyEnqueued):
                deferred += bool(await job.defer_async(lane=lane))
        return deferred

    def _due(self) -> list[str]:
        now = self._services.now()
        with self._services.db.reading() as session:
            due = outbox.list_due_queues(session, now)
            holds = outbox.active_pauses(session, {one for lane in due for one in _subjects(lane)})
            held = {subject for subject, hold in holds.items() if hold.retry_at > now}
        return [lane for lane in due if not held & set(_subjects(lane))]

    def _do_what_is_late(self) -> None:
        for work in SCHEDULED_WORKS:
            scheduled.run_if_due(self._services, work)


class _Worker(Worker):
    """The engine's worker, which tells of each job that is over and of its lock that is free."""

    def __init__(self, owner: DeliveryWorker, app: App, **told: Any) -> None:
        super().__init__(app, **told)
        self._owner = owner

    def look(self) -> None:
        """Look for jobs now."""
        self._new_job_event.set()

    async def _persist_job_status(self, **told: Any) -> None:  # type: ignore[override]
        try:
            await super()._persist_job_status(**told)
            await self._owner.done(self, told["job"])
        except Exception as error:
            # To the engine it goes on, and its lock with it, as long as this worker lives.
            self._owner.failed(error)
            self.stop()  # type: ignore[no-untyped-call]


def _subjects(lane: str) -> tuple[str, ...]:
    return QueueName.parse(lane).pause_scopes


def run_worker(services: Services, concurrency: int) -> None:
    """Deliver until SIGTERM or SIGINT."""
    DeliveryWorker(services, concurrency).run()
