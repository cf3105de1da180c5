"""The courier inside `serve`: one thread that takes turns, woken by every commit."""

import threading
import time

import structlog

from provider import outbox
from provider.core import kinds
from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS, Dispatcher
from provider.delivery.runners.shutdown import stop_when_main_thread_ends
from provider.services import Services

SWEEP_INTERVAL_SECONDS = 2.0  # seconds after which the outbox is looked at even if nobody called

log = structlog.get_logger()


class InProcessDispatcher:
    """Empties lanes as messages come, and does the clock's work; stops clean with the server."""

    def __init__(
        self,
        services: Services,
        sweep_interval_seconds: float = SWEEP_INTERVAL_SECONDS,
        max_concurrent_sends: int = MAX_CONCURRENT_SENDS,
    ) -> None:
        self._services = services
        self._sweep_interval_seconds = sweep_interval_seconds
        self._dispatcher = Dispatcher(services, max_concurrent_sends=max_concurrent_sends)
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="courier")
        services.db.on_commit.append(self._dispatcher.wake)

    def start(self, *, exit_when_orphaned: bool = False) -> "InProcessDispatcher":
        """Begin; see `stop_with_main`."""
        self._thread.start()
        stop_when_main_thread_ends(
            self.stop, lambda: self._stopping, exit_when_orphaned=exit_when_orphaned
        )
        return self

    def stop(self) -> None:
        """Finish what is in hand and end; what is left is somebody else's or the next start's."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        self._dispatcher.stop(loop_thread=self._thread)
        self._services.db.on_commit.remove(self._dispatcher.wake)

    def _run(self) -> None:
        looked = -self._sweep_interval_seconds
        while not self._stopping:
            if time.monotonic() - looked >= self._sweep_interval_seconds:
                looked = time.monotonic()
                self._run_sweep()
            self._dispatcher.wait_and_run(looked + self._sweep_interval_seconds - time.monotonic())

    def _run_sweep(self) -> None:
        """Do the clock's work and find the lanes in which something is due."""
        now = self._services.now()
        try:
            with self._services.db.reading() as session:
                due = outbox.list_due_queues(session, now)
                late = kinds.has_overdue(session, now)
            if late:
                with self._services.db.writing(separate_commit=True) as session:
                    kinds.apply_deadlines(session, self._services.secret_box, now)
        except Exception:
            log.exception("the courier stumbled and goes on")
        else:
            self._dispatcher.wake(set(due))
