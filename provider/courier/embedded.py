"""The courier inside `serve`: one thread that takes turns, woken by every commit."""

import threading
import time

import structlog

from provider import kinds, outbox
from provider.courier.courier import HANDS, Courier
from provider.courier.watch import stop_with_main
from provider.house import House

SWEEP = 2.0  # seconds after which the outbox is looked at even if nobody called

log = structlog.get_logger()


class EmbeddedCourier:
    """Empties lanes as messages come, and does the clock's work; stops clean with the server."""

    def __init__(self, house: House, sweep: float = SWEEP, hands: int = HANDS) -> None:
        self._house = house
        self._sweep = sweep
        self._courier = Courier(house, hands=hands)
        self._lock = threading.Lock()
        self._stopping = False
        self._turns = threading.Thread(target=self._run, name="courier")
        house.db.on_commit.append(self._courier.call)

    def start(self, *, orphan_ends: bool = False) -> "EmbeddedCourier":
        """Begin; see `stop_with_main`."""
        self._turns.start()
        stop_with_main(self.stop, lambda: self._stopping, orphan_ends=orphan_ends)
        return self

    def stop(self) -> None:
        """Finish what is in hand and end; what is left is somebody else's or the next start's."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        self._courier.stop(after=self._turns)
        self._house.db.on_commit.remove(self._courier.call)

    def _run(self) -> None:
        looked = -self._sweep
        while not self._stopping:
            if time.monotonic() - looked >= self._sweep:
                looked = time.monotonic()
                self._look()
            self._courier.work(looked + self._sweep - time.monotonic())

    def _look(self) -> None:
        """Do the clock's work and find the lanes in which something is due."""
        now = self._house.now()
        try:
            with self._house.db.reading() as session:
                due = outbox.due_lanes(session, now)
                late = kinds.something_due(session, now)
            if late:
                with self._house.db.writing(alone=True) as session:
                    kinds.pass_time(session, self._house.vault, now)
        except Exception:
            log.exception("the courier stumbled and goes on")
        else:
            self._courier.call(set(due))
