"""The runner inside `serve` on SQLite: a dispatcher that commits wake, and the scheduled work."""

import threading
from collections.abc import Sequence

from provider.core import scheduled
from provider.core.scheduled import ScheduledWork
from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS, Dispatcher
from provider.delivery.runners.shutdown import stop_when_main_thread_ends
from provider.delivery.scheduled_works import SCHEDULED_WORKS
from provider.services import Services

MAX_IDLE_SECONDS = 60.0  # of the dispatcher, which a commit or the sweep wakes
MAX_TIMER_SECONDS = 60.0  # the lease of a work that failed or died may end before its interval
WORK_THREAD_PREFIX = "scheduled-"
STOP_TIMEOUT_SECONDS = 10.0  # for works that run; a work may be interrupted anywhere


class InProcessDispatcher:
    """Runs a dispatcher and the scheduled work in threads; stops cleanly with the server."""

    def __init__(
        self,
        services: Services,
        works: Sequence[ScheduledWork] = SCHEDULED_WORKS,
        max_concurrent_sends: int = MAX_CONCURRENT_SENDS,
    ) -> None:
        self._services = services
        self._dispatcher = Dispatcher(services, max_concurrent_sends=max_concurrent_sends)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_dispatcher, name="dispatcher")
        # One thread for each work: a slow work delays no other. Daemons, or it delays the exit.
        self._work_threads = [
            threading.Thread(
                target=self._run_work,
                args=(work,),
                name=WORK_THREAD_PREFIX + work.name,
                daemon=True,
            )
            for work in works
        ]
        services.db.on_commit.append(self._dispatcher.wake)

    def start(self) -> "InProcessDispatcher":
        """Start the threads; they also stop when the main thread ends."""
        for thread in (self._thread, *self._work_threads):
            thread.start()
        stop_when_main_thread_ends(self.stop, self._stopping.is_set)
        return self

    def stop(self) -> None:
        """Wait for running sends and end; other messages wait for the next dispatcher."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._stopping.set()
        self._dispatcher.stop(loop_thread=self._thread)
        for thread in self._work_threads:
            thread.join(STOP_TIMEOUT_SECONDS)
        self._services.db.on_commit.remove(self._dispatcher.wake)

    def _run_dispatcher(self) -> None:
        while not self._stopping.is_set():
            self._dispatcher.wait_and_run(MAX_IDLE_SECONDS)

    def _run_work(self, work: ScheduledWork) -> None:
        timer_seconds = min(work.every.total_seconds(), MAX_TIMER_SECONDS)
        while not self._stopping.is_set():
            scheduled.run_if_due(self._services, work)
            self._stopping.wait(timer_seconds)
