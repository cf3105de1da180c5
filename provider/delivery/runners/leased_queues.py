"""A dispatcher that works only in queues that are lent to it, and returns each after a while."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS, Dispatcher
from provider.outbox import AttemptResult
from provider.services import Services

SHIFT = 5.0  # seconds after which a lane with more to send goes round, to whoever is free

Over = Callable[[bool], None]  # told whether there may be more to send


@dataclass
class Loan:
    """A lane that is lent, since when it is worked in, and who hears that it is given back."""

    since: float | None = None
    over: list[Over] = field(default_factory=list)

    @property
    def shift_over(self) -> bool:
        """Whether its time is over; it begins with the first look."""
        now = time.monotonic()
        self.since = self.since or now
        return now > self.since + SHIFT


class LeasedQueueDispatcher(Dispatcher):
    """Claims of lent lanes alone, so that a lane's pace and windows are one process's at a time.

    What it has in hand of a lane when that is given back it settles all the same; `strays` is
    called with such lanes, for what came free by it is then somebody else's.
    """

    def __init__(
        self,
        services: Services,
        strays: Callable[[Iterable[str]], None],
        hands: int = MAX_CONCURRENT_SENDS,
    ) -> None:
        super().__init__(services, max_concurrent_sends=hands)
        self._loans: dict[str, Loan] = {}
        self._over: list[tuple[Loan, bool]] = []
        self._left: dict[str, None] = {}  # strays, for after the commit
        self._strays = strays

    def lend(self, lane: str, over: Over) -> None:
        """Let it work in a lane, until nothing may go there or the shift is over."""
        with self._condition:
            loan = self._loans.setdefault(lane, Loan())
            loan.over.append(over)
            self.wake([lane])

    def run_once(self) -> int:
        """Settle and claim, then give back the lanes that are done with; return how many went."""
        tried = super().run_once()
        with self._condition:
            for lane in [lane for lane in self._loans if self._idle(lane)]:
                self._give_back(lane, more=False)
            over, self._over = self._over, []
            left, self._left = self._left, {}
        if left:
            self._strays(left)
        _tell(over)
        return tried

    def stop(self, loop_thread: threading.Thread | None = None) -> None:
        """Take nothing more in hand, settle what was sent, and give all lanes back."""
        try:
            super().stop(loop_thread)
        finally:
            with self._condition:
                for lane in list(self._loans):
                    self._give_back(lane, more=True)
                over, self._over = self._over, []
            _tell(over)

    def _take_ready_queues(self, results: Sequence[AttemptResult]) -> list[str]:
        ours = []
        for lane in super()._take_ready_queues(results):
            if lane not in self._loans:
                self._left[lane] = None
            # A pace is waited for, so that whoever goes on begins it anew without being too quick.
            elif self._loans[lane].shift_over and not self._policy.is_rate_limited(lane):
                self._give_back(lane, more=True)
            else:
                ours.append(lane)
        return ours

    def _idle(self, lane: str) -> bool:
        return not (
            self._unsettled_counts[lane]
            or lane in self._signalled_queues
            or self._policy.is_rate_limited(lane)
        )

    def _give_back(self, lane: str, *, more: bool) -> None:
        self._over.append((self._loans.pop(lane), more))


def _tell(over: Sequence[tuple[Loan, bool]]) -> None:
    for loan, more in over:
        for tell in loan.over:
            tell(more)
