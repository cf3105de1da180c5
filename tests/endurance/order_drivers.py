"""Threads that run order scripts side by side and survive the server's death."""

import threading
import time
from collections import deque

from tests.endurance.order_script import OrderScript, ScriptFailed

DRIVER_THREADS = 8
RETRY_DELAY_SECONDS = 0.05  # after a step that was not possible


class OrderDrivers:
    """Runs scripts; a script whose server is dead waits for the next server."""

    def __init__(self, thread_count: int = DRIVER_THREADS) -> None:
        self.scripts: list[OrderScript] = []
        self.errors: list[str] = []
        self._ready_scripts: deque[OrderScript] = deque()
        self._remaining = 0
        self._changed = threading.Condition()
        self._is_running = True
        self._threads = [threading.Thread(target=self._drive) for _ in range(thread_count)]

    def __enter__(self) -> "OrderDrivers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_running = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def add(self, scripts: list[OrderScript]) -> None:
        with self._changed:
            self.scripts += scripts
            self._ready_scripts += scripts
            self._remaining += len(scripts)
            self._changed.notify_all()

    @property
    def completed_steps(self) -> int:
        """The number of statuses that were acknowledged."""
        return sum(script.completed_steps for script in self.scripts)

    def wait_until_finished(self, timeout: float) -> bool:
        """Wait until each script has finished or failed. Return False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._remaining == 0, timeout)

    def wait_for_steps(self, count: int, timeout: float) -> bool:
        """Wait for `count` completed steps. Return False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self.completed_steps >= count or not self._remaining, timeout
            )

    def _drive(self) -> None:
        while script := self._next_script():
            try:
                completed = script.perform_next()
            except ScriptFailed as error:
                self.errors.append(str(error))
                self._put_back(script, is_finished=True)
                continue
            self._put_back(script, is_finished=script.is_finished)
            if not completed:
                time.sleep(RETRY_DELAY_SECONDS)

    def _next_script(self) -> OrderScript | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ready_scripts or not self._is_running)
            return self._ready_scripts.popleft() if self._is_running else None

    def _put_back(self, script: OrderScript, *, is_finished: bool) -> None:
        with self._changed:
            if is_finished:
                self._remaining -= 1
            else:
                self._ready_scripts.append(script)
            self._changed.notify_all()
