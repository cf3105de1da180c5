"""`provider worker`: any number of processes share the queues through Procrastinate.

A job says "work in this queue until nothing is due or a few seconds passed". Its lock lets one
worker at a time work in a queue. The outbox alone decides which message may be sent: if a job, its
worker or Procrastinate's tables are lost, the sweep defers the queue again and no message is lost.

Procrastinate tells nobody that a lock is free, so a waiting job starts at the next poll. A queue
therefore goes to another worker within `POLLING_INTERVAL_SECONDS`.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status

from provider.core import scheduled
from provider.core.scheduled import ScheduledWork
from provider.delivery.runners.leased_queues import LeasedQueueDispatcher
from provider.delivery.runners.notifier import TASK_NAME, JobNotifier
from provider.delivery.scheduled_works import SCHEDULED_WORKS
from provider.services import Services
from provider.storage import procrastinate_schema

MAX_IDLE_SECONDS = 60.0  # of the dispatcher, which jobs wake
POLLING_INTERVAL_SECONDS = 0.5
HEARTBEAT_INTERVAL_SECONDS = 5.0
STALLED_AFTER_SECONDS = 20.0  # without a heartbeat a worker counts as dead
RESTART_DELAY_SECONDS = (
    1.0  # after Procrastinate failed, for example because PostgreSQL is unavailable
)
SCHEDULED_PRIORITY = 1  # before the jobs of queues
EVERY_MINUTE_CRON = "* * * * *"
RECOVERY_CRON = "* * * * * */10"  # the last field is seconds

log = structlog.get_logger()


class DeliveryWorker:
    """Runs a dispatcher for the queues of its jobs, and the scheduled work as periodic tasks."""

    def __init__(
        self,
        services: Services,
        concurrency: int,
        works: Sequence[ScheduledWork] = SCHEDULED_WORKS,
    ) -> None:
        self._services = services
        self._concurrency = concurrency
        self._notifier = JobNotifier(services.db)
        self._dispatcher = LeasedQueueDispatcher(services, self._notifier.notify)
        self._dispatcher_thread = threading.Thread(target=self._run_dispatcher, name="dispatcher")
        self._stopping = threading.Event()
        self._is_failing = False
        # A running job holds no connection, so a few are enough. Procrastinate listens on one more.
        connector = PsycopgConnector(
            conninfo=procrastinate_schema.build_conninfo(services.db.url),
            min_size=1,
            max_size=4,
            timeout=procrastinate_schema.TIMEOUT_SECONDS,
            num_workers=1,
        )
        self._app = App(connector=connector)
        self._app.task(name=TASK_NAME)(self._deliver_queue)
        self._add_periodic_task("recover_stalled_jobs", RECOVERY_CRON, self._recover_stalled_jobs)
        for work in works:
            function = partial(self._run_scheduled_work, work)
            self._add_periodic_task(work.name, _cron(work), function)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; then finish the running sends, and end all leases."""
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # `_handle_failure` logs it
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop, is_stop_requested = asyncio.get_running_loop(), asyncio.Event()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, is_stop_requested.set)
        self._notifier.start()
        self._dispatcher_thread.start()
        self._services.db.on_commit.append(self._notifier.notify)
        procrastinate_task = asyncio.create_task(self._keep_procrastinate_running())
        await is_stop_requested.wait()
        self._stopping.set()
        # A cancelled worker fetches no more jobs, and waits for its jobs: the dispatcher's stop
        # ends their leases.
        procrastinate_task.cancel()
        await asyncio.to_thread(self._dispatcher.stop, self._dispatcher_thread)
        with suppress(asyncio.CancelledError):
            await procrastinate_task
        await asyncio.to_thread(self._notifier.stop)

    def _run_dispatcher(self) -> None:
        while not self._stopping.is_set():
            self._dispatcher.wait_and_run(MAX_IDLE_SECONDS)

    async def _keep_procrastinate_running(self) -> None:
        """Run Procrastinate's worker, and start it again after an error, until cancelled."""
        while True:
            try:
                await self._run_procrastinate()
            except Exception as error:
                self._handle_failure(error)
            await asyncio.sleep(RESTART_DELAY_SECONDS)

    async def _run_procrastinate(self) -> None:
        """Run Procrastinate's worker until it ends, fails or cannot store the end of a job.

        A job whose end is not stored keeps the lock of its queue as long as its worker is
        registered. Procrastinate leaves this error to the event loop, so the loop's handler stops
        the worker. The next one recovers the job.
        """
        async with self._app.open_async():
            worker = asyncio.create_task(
                self._app.run_worker_async(
                    concurrency=self._concurrency,
                    delete_jobs="always",
                    fetch_job_polling_interval=POLLING_INTERVAL_SECONDS,
                    update_heartbeat_interval=HEARTBEAT_INTERVAL_SECONDS,
                    stalled_worker_timeout=STALLED_AFTER_SECONDS,
                    install_signal_handlers=False,
                )
            )

            def handle_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
                error = context.get("exception")
                if isinstance(error, ConnectorException):
                    self._handle_failure(error)
                    _cancel_once(worker)
                else:
                    loop.default_exception_handler(context)

            asyncio.get_running_loop().set_exception_handler(handle_error)
            try:
                await asyncio.wait([worker])
            except asyncio.CancelledError:
                _cancel_once(worker)
                await asyncio.wait([worker])
                raise
            if not worker.cancelled() and (error := worker.exception()):
                raise error

    def _handle_failure(self, error: BaseException) -> None:
        if not self._is_failing:
            log.warning("procrastinate_failed", exc_info=error)
        self._is_failing = True

    # Tasks

    async def _deliver_queue(self, queue: str) -> None:
        if await asyncio.wrap_future(self._dispatcher.lease(queue)):
            self._notifier.notify([queue])  # for the next free worker

    async def _recover_stalled_jobs(self, timestamp: int) -> None:
        """Remove the jobs of dead workers, which free their locks, and defer their queues again."""
        if self._is_failing:
            log.info("procrastinate_recovered")
        self._is_failing = False
        manager = self._app.job_manager
        stalled_jobs = await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_SECONDS)
        for job in stalled_jobs:
            with suppress(ConnectorException):  # the job has ended meanwhile
                await manager.finish_job(job, Status.FAILED, delete_job=True)
            if job.task_name == TASK_NAME and job.lock:
                self._notifier.notify([job.lock])

    async def _run_scheduled_work(self, work: ScheduledWork, timestamp: int) -> None:
        await asyncio.to_thread(scheduled.run_if_due, self._services, work)

    def _add_periodic_task(self, name: str, cron: str, function: Any) -> None:
        """Have one of all workers run a function at these times; at most one of its jobs waits."""
        task = self._app.task(name=name, queueing_lock=name, priority=SCHEDULED_PRIORITY)(function)
        self._app.periodic(cron=cron, periodic_id=name)(task)


def _cancel_once(worker: asyncio.Task[None]) -> None:
    """Stop Procrastinate's worker, which then waits for its jobs; a second cancel ends the wait."""
    if not worker.cancelling():
        worker.cancel()


def _cron(work: ScheduledWork) -> str:
    """Return when to ask whether a work is due; its state says when it ran."""
    seconds = int(work.every.total_seconds())
    return f"* * * * * */{max(1, seconds)}" if seconds < 60 else EVERY_MINUTE_CRON


def run_worker(services: Services, concurrency: int) -> None:
    """Deliver until SIGTERM or SIGINT."""
    DeliveryWorker(services, concurrency).run()
