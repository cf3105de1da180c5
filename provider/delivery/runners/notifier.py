"""Defers a job of Procrastinate, after a commit, for each queue that may have due messages."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from psycopg import Connection

from provider.delivery.runners.shutdown import stop_when_main_thread_ends
from provider.storage import procrastinate_schema
from provider.storage.database import Database

TASK_NAME = "deliver_queue"
RETRY_SECONDS = 1.0  # before jobs are deferred again, after an error
STOP_TIMEOUT_SECONDS = 5.0  # for jobs that are not deferred yet

log = structlog.get_logger()


class JobNotifier:
    """Defers jobs in a thread of its own, so that no commit waits for Procrastinate or fails.

    After an error the thread tries again. A job that is lost with the process is no loss of
    messages: the sweep finds their queue.
    """

    def __init__(self, db: Database) -> None:
        self._url = db.url
        self._is_pooled = False
        # Jobs are deferred on a connection of this thread, so the connector is never opened.
        self._app = App(connector=SyncPsycopgConnector())
        self._connection: Connection[Any] | None = None
        self._queues: dict[str, None] = {}  # without a job yet
        self._condition = threading.Condition()
        self._stopping = False
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="job-notifier", daemon=True)

    def start(self) -> "JobNotifier":
        self._thread.start()
        return self

    def start_in_server(self) -> "JobNotifier":
        """Start in a server's process, and stop with it; see `stop_when_main_thread_ends`."""
        stop_when_main_thread_ends(self.stop, lambda: self._stopping)
        return self.start()

    def notify(self, queues: Iterable[str]) -> None:
        """Signal that queues may have due messages; this returns at once."""
        with self._condition:
            self._queues.update(dict.fromkeys(queues))
            self._condition.notify_all()

    def stop(self) -> None:
        """Defer the remaining jobs, if PostgreSQL answers soon, and end the thread."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        self._thread.join(STOP_TIMEOUT_SECONDS)

    def _run(self) -> None:
        while queues := self._wait_for_queues():
            try:
                self._defer_jobs(queues)
            except Exception as error:
                self._handle_failure(queues, error)
            else:
                self._handle_success()
        self._close_connection()

    def _wait_for_queues(self) -> dict[str, None]:
        with self._condition:
            self._condition.wait_for(lambda: self._queues or self._stopping)
            queues, self._queues = self._queues, {}
            return queues

    def _defer_jobs(self, queues: Iterable[str]) -> None:
        if self._connection is None:
            self._connection, self._is_pooled = procrastinate_schema.connect(self._url)
        for queue in queues:
            # The lock lets one worker at a time work in a queue. The queueing lock lets only one
            # job of a queue wait.
            job = self._app.configure_task(
                TASK_NAME, lock=queue, queueing_lock=queue, connection=self._connection
            )
            with suppress(AlreadyEnqueued), self._transaction(self._connection):
                job.defer(queue=queue)

    @contextmanager
    def _transaction(self, connection: Connection[Any]) -> Iterator[None]:
        """Defer in a transaction with our settings behind a pooler, else in autocommit mode."""
        if not self._is_pooled:
            yield
            return
        with connection.transaction():
            procrastinate_schema.set_up_transaction(connection)
            yield

    def _handle_failure(self, queues: dict[str, None], error: Exception) -> None:
        if not self._is_failing:
            log.warning("jobs_not_deferred", exc_info=error)
        self._is_failing = True
        self._close_connection()
        with self._condition:
            self._queues = queues | self._queues
            if self._condition.wait_for(lambda: self._stopping, RETRY_SECONDS):
                self._queues = {}

    def _handle_success(self) -> None:
        if self._is_failing:
            log.info("jobs_deferred_again")
        self._is_failing = False

    def _close_connection(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None
