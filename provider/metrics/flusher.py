"""Writing down, now and then and at a clean stop, what this process has counted."""

import threading

import structlog

from provider.clock import Clock
from provider.metrics.store import Ledger

EVERY = 15.0  # seconds
PATIENCE = 5.0  # seconds that a stop waits for a writing that hangs

log = structlog.get_logger()


class MetricsFlusher:
    """A thread beside the work of any process that counts."""

    def __init__(self, ledger: Ledger, clock: Clock, every: float = EVERY) -> None:
        self._ledger, self._clock, self._every = ledger, clock, every
        self._stopping = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="bookkeeper", daemon=True)

    def start(self) -> "MetricsFlusher":
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Write the last, and end."""
        self._stopping.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            self._keep()
        self._keep()

    def _keep(self) -> None:
        try:
            self._ledger.keep(self._clock.now())
        except Exception as error:
            if not self._failing:
                log.warning("what is counted here cannot be written down", exc_info=error)
            self._failing = True
        else:
            self._failing = False
