"""The courier inside `serve`: one watching thread, woken by every commit, and a few hands."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import structlog

from provider import kinds, outbox
from provider.courier.courier import Courier
from provider.house import House

LANES = 8  # lanes that are drained at once
SWEEP = 2.0  # seconds after which the outbox is looked at even if nobody called

log = structlog.get_logger()


class EmbeddedCourier:
    """Drains lanes as messages come, and does the clock's work; stops clean with the server."""

    def __init__(self, house: House, sweep: float = SWEEP) -> None:
        self._house = house
        self._sweep = sweep
        self._courier = Courier(house)
        self._hands = ThreadPoolExecutor(LANES, thread_name_prefix="lane")
        self._called = threading.Condition()
        self._lanes: set[str] = set()  # called, not yet begun
        self._busy: set[str] = set()  # being drained
        self._stopping = False
        self._watch = threading.Thread(target=self._run, name="courier")
        house.db.on_commit.append(self.call)

    def start(self, *, orphan_ends: bool = False) -> "EmbeddedCourier":
        """Begin. A worker process never says goodbye, so its main thread's end is watched.

        With `orphan_ends` a worker whose server was killed ends too, or it would go on for ever.
        """
        self._watch.start()
        threading.Thread(
            target=self._stop_with_main, args=(orphan_ends,), name="courier-stop"
        ).start()
        return self

    def stop(self) -> None:
        """Finish what is in hand and end; what is left is somebody else's or the next start's."""
        with self._called:
            if self._stopping:
                return
            self._stopping = True
            self._called.notify_all()
        self._watch.join()
        self._courier.stop()
        self._hands.shutdown(wait=True)
        self._house.db.on_commit.remove(self.call)

    def call(self, lanes: set[str]) -> None:
        """Say that lanes have something new."""
        with self._called:
            self._lanes |= lanes
            self._called.notify_all()

    def _stop_with_main(self, orphan_ends: bool) -> None:
        main, parent = threading.main_thread(), os.getppid()
        while main.is_alive() and not self._stopping:
            main.join(timeout=1.0)
            if orphan_ends and os.getppid() != parent:
                log.error("the server process is gone; its worker ends")
                os._exit(1)
        self.stop()

    def _run(self) -> None:
        looked = -self._sweep
        while not self._stopping:
            if time.monotonic() - looked >= self._sweep:
                looked = time.monotonic()
                self._look()
            with self._called:
                if not self._startable() and not self._stopping:
                    self._called.wait(max(0.0, looked + self._sweep - time.monotonic()))
                for lane in self._startable():
                    self._lanes.discard(lane)
                    self._busy.add(lane)
                    self._hands.submit(self._drain, lane)

    def _look(self) -> None:
        """Do the clock's work and find the lanes in which something is due."""
        now = self._house.now()
        try:
            with self._house.db.reading() as session:
                due = outbox.due_lanes(session, now)
                late = kinds.something_due(session, now)
            if late:
                with self._house.db.writing() as session:
                    kinds.pass_time(session, self._house.vault, now)
        except Exception:
            log.exception("the courier stumbled and goes on")
        else:
            self.call(set(due))

    def _startable(self) -> set[str]:
        return self._lanes - self._busy

    def _drain(self, lane: str) -> None:
        try:
            self._courier.drain(lane)
        except Exception:
            log.exception("a lane could not be drained", lane=lane)
        finally:
            with self._called:
                self._busy.discard(lane)
                self._called.notify_all()
