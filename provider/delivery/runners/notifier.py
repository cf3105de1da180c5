"""Notifying Procrastinate, after a commit, of queues that may have due messages."""

import threading
from collections.abc import Iterable
from typing import Any

import structlog
from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from psycopg import Connection

from provider.delivery.runners.shutdown import stop_when_main_thread_ends
from provider.storage import procrastinate_schema
from provider.storage.database import Database

DRAIN = "drain"  # the name of the task
REST = 1.0  # seconds before the engine is told again, where it did not hear
PATIENCE = 5.0  # seconds that a stop waits for what is still to be told

log = structlog.get_logger()


class JobNotifier:
    """Defers a job for each lane that is rung for; whoever rings never waits and never fails.

    An engine that does not answer is told later, and the sweep finds the lanes anyhow.
    """

    def __init__(self, db: Database) -> None:
        self._address = procrastinate_schema.build_conninfo(db.url)
        self._app = App(connector=SyncPsycopgConnector())  # never opened: the connection is ours
        self._line: Connection[Any] | None = None
        self._lanes: dict[str, None] = {}
        self._bell = threading.Condition()
        self._stopping = False
        self._deaf = False
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)

    def start(self) -> "JobNotifier":
        """Begin."""
        self._thread.start()
        return self

    def start_in_server(self) -> "JobNotifier":
        """Begin in a server's process, and end with it; see `stop_when_main_thread_ends`."""
        stop_when_main_thread_ends(self.stop, lambda: self._stopping, exit_when_orphaned=True)
        return self.start()

    def ring(self, lanes: Iterable[str]) -> None:
        """Say that lanes may have something due."""
        with self._bell:
            self._lanes.update(dict.fromkeys(lanes))
            self._bell.notify_all()

    def stop(self) -> None:
        """Tell what is still to be told, if the engine hears it soon, and end."""
        with self._bell:
            self._stopping = True
            self._bell.notify_all()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while lanes := self._next():
            try:
                self._tell(lanes)
            except Exception as error:
                self._failed(lanes, error)
            else:
                self._heard()
        if self._line:
            self._line.close()

    def _next(self) -> dict[str, None]:
        with self._bell:
            self._bell.wait_for(lambda: self._lanes or self._stopping)
            lanes, self._lanes = self._lanes, {}
            return lanes

    def _tell(self, lanes: Iterable[str]) -> None:
        self._line = self._line or Connection.connect(self._address, autocommit=True)
        for lane in lanes:
            job = self._app.configure_task(
                DRAIN, lock=lane, queueing_lock=lane, connection=self._line
            )
            try:
                job.defer(lane=lane)
            except AlreadyEnqueued:
                continue

    def _failed(self, lanes: dict[str, None], error: Exception) -> None:
        if not self._deaf:
            log.warning("the engine does not hear of new messages", exc_info=error)
        self._deaf = True
        if self._line:
            self._line.close()
        self._line = None
        with self._bell:
            self._lanes = lanes | self._lanes
            if self._bell.wait_for(lambda: self._stopping, REST):
                self._lanes = {}

    def _heard(self) -> None:
        if self._deaf:
            log.info("the engine hears of new messages again")
        self._deaf = False
