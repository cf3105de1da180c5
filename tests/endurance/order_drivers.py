"""Threads that play orders side by side, whatever happens to the server."""

import threading
import time
from collections import deque

from tests.endurance.order_script import OrderScript, ScriptFailed

DRIVER_THREADS = 8
RETRY_DELAY_SECONDS = 0.05  # seconds after a step that could not be done


class OrderDrivers:
    """Plays all orders that were given to it; those whose server is dead wait for the next."""

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
        """Add plays to what is being played."""
        with self._changed:
            self.scripts += scripts
            self._ready_scripts += scripts
            self._remaining += len(scripts)
            self._changed.notify_all()

    @property
    def completed_steps(self) -> int:
        """How many statuses were brought about."""
        return sum(play.completed_steps for play in self.scripts)

    def wait_until_finished(self, timeout: float) -> bool:
        """Wait until everything is played, or cannot be; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._remaining == 0, timeout)

    def wait_for_steps(self, count: int, timeout: float) -> bool:
        """Wait until so many statuses were brought about; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self.completed_steps >= count or not self._remaining, timeout
            )

    def _drive(self) -> None:
        while play := self._next_script():
            try:
                went = play.perform_next()
            except ScriptFailed as error:
                self.errors.append(str(error))
                self._put_back(play, is_finished=True)
                continue
            self._put_back(play, is_finished=play.is_finished)
            if not went:
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
