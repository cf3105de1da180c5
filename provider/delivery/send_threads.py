"""The threads that make a dispatcher's attempts."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

import structlog

log = structlog.get_logger()


class SendThreads:
    """Runs functions in threads, in the order of `submit`; threads start when they are needed.

    A ThreadPoolExecutor makes a future with a condition for each function, and asks a semaphore
    for an idle thread. That takes a tenth of a dispatcher's CPU time.
    """

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._functions: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.unfinished_count = 0  # functions that wait or run

    def submit(self, function: Callable[[], None]) -> None:
        """Run a function in a thread; an error is logged. Called by one thread at a time."""
        with self._lock:
            self.unfinished_count += 1
            is_thread_missing = self.unfinished_count > len(self._threads)
        self._functions.put(function)
        if is_thread_missing and len(self._threads) < self._max_threads:
            name = f"send-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Wait until every submitted function has returned, and end the threads."""
        for _ in self._threads:
            self._functions.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while function := self._functions.get():
            try:
                function()
            except Exception:
                log.exception("send_thread_failed")
            finally:
                with self._lock:
                    self.unfinished_count -= 1
