"""The dispatcher inside `serve`: one thread runs its cycles, and every commit wakes it."""

import threading
import time

import structlog

from provider import outbox
from provider.core import kinds
from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS, Dispatcher
from provider.delivery.runners.shutdown import stop_when_main_thread_ends
from provider.services import Services

SWEEP_INTERVAL_SECONDS = 2.0  # between searches for due queues that nothing signalled

log = structlog.get_logger()


class InProcessDispatcher:
    """Runs a dispatcher and the scheduled work in a thread; stops cleanly with the server."""

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
        self._thread = threading.Thread(target=self._run, name="dispatcher")
        services.db.on_commit.append(self._dispatcher.wake)

    def start(self, *, exit_when_orphaned: bool = False) -> "InProcessDispatcher":
        """Start the thread; see `stop_when_main_thread_ends`."""
        self._thread.start()
        stop_when_main_thread_ends(
            self.stop, lambda: self._stopping, exit_when_orphaned=exit_when_orphaned
        )
        return self

    def stop(self) -> None:
        """Wait for running sends and end; other messages wait for the next dispatcher."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        self._dispatcher.stop(loop_thread=self._thread)
        self._services.db.on_commit.remove(self._dispatcher.wake)

    def _run(self) -> None:
        swept_at = -self._sweep_interval_seconds
        while not self._stopping:
            if time.monotonic() - swept_at >= self._sweep_interval_seconds:
                swept_at = time.monotonic()
                self._run_sweep()
            next_sweep_at = swept_at + self._sweep_interval_seconds
            self._dispatcher.wait_and_run(next_sweep_at - time.monotonic())

    def _run_sweep(self) -> None:
        """Do the scheduled work and wake the dispatcher for the due queues."""
        now = self._services.now()
        try:
            with self._services.db.reading() as session:
                due_queues = outbox.list_due_queues(session, now)
                has_overdue = kinds.has_overdue(session, now)
            if has_overdue:
                with self._services.db.writing(separate_commit=True) as session:
                    kinds.apply_deadlines(session, self._services.secret_box, now)
        except Exception:
            log.exception("dispatcher_cycle_failed")
        else:
            self._dispatcher.wake(set(due_queues))
