"""Threads that play orders side by side, whatever happens to the server."""

import threading
import time
from collections import deque

from tests.soak.play import Broken, Play

PLAYERS = 8
BREATH = 0.05  # seconds after a step that could not be done


class Crew:
    """Plays all orders that were given to it; those whose server is dead wait for the next."""

    def __init__(self, players: int = PLAYERS) -> None:
        self.plays: list[Play] = []
        self.broken: list[str] = []
        self._ready: deque[Play] = deque()
        self._left = 0
        self._changed = threading.Condition()
        self._going = True
        self._threads = [threading.Thread(target=self._play) for _ in range(players)]

    def __enter__(self) -> "Crew":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._going = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def give(self, plays: list[Play]) -> None:
        """Add plays to what is being played."""
        with self._changed:
            self.plays += plays
            self._ready += plays
            self._left += len(plays)
            self._changed.notify_all()

    @property
    def done(self) -> int:
        """How many statuses were brought about."""
        return sum(play.done for play in self.plays)

    def wait(self, timeout: float) -> bool:
        """Wait until everything is played, or cannot be; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._left == 0, timeout)

    def wait_for(self, done: int, timeout: float) -> bool:
        """Wait until so many statuses were brought about; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.done >= done or not self._left, timeout)

    def _play(self) -> None:
        while play := self._next():
            try:
                went = play.act()
            except Broken as error:
                self.broken.append(str(error))
                self._put(play, over=True)
                continue
            self._put(play, over=play.ended)
            if not went:
                time.sleep(BREATH)

    def _next(self) -> Play | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or not self._going)
            return self._ready.popleft() if self._going else None

    def _put(self, play: Play, *, over: bool) -> None:
        with self._changed:
            if over:
                self._left -= 1
            else:
                self._ready.append(play)
            self._changed.notify_all()
