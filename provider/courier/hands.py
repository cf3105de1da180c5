"""Who may send how much at once: bounded hands per route, and a pace per lane."""

from collections import Counter
from datetime import datetime, timedelta
from math import ceil, floor

from provider.outbox import MAIL, MEDIA

FIXED = {MEDIA: 2, MAIL: 8}  # a remux takes a core; mail servers count connections
BEGIN = 12  # a route that nobody knows yet gets a twelfth of all hands
SHARE = 2 / 3  # of all hands that one route may hold, however well it answers
UNKNOWN = 3 / 4  # of all hands for routes that have not answered, all together
FAILING = 1 / 4  # of all hands for those of them that failed
AHEAD = 1 / 2  # as much more is claimed as is sent, or a hand that is free would wait for a turn
BURST = 0.05  # seconds by which a pace may be ahead of itself


class Hands:
    """Counts what is in hand, by route. A route that answers gets more, one that fails fewer.

    So a host that hangs holds a few hands at first and soon a single one, while one that answers
    well may use most of them; and however many hang, some hands are left for those that answer.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.busy = 0
        self._busy: Counter[str] = Counter()
        self._sending: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()  # what is in hand of routes that are alike
        self._window: dict[str, float] = {}
        self._answers: dict[str, bool] = {}  # whether a route did, when it was last tried

    def free(self, route: str) -> int:
        """Return how many more messages of a route may be claimed now."""
        window, kind = self._at_once(route), self._kind(route)
        room = _more(self.total) - self.busy
        if kind == "answers":
            return max(0, min(room, _more(window) - self._busy[route]))
        # Nothing is claimed ahead of these: what their share has no room for waits unclaimed.
        failing, new = self._kinds["fails"], self._kinds["new"]
        room = min(room, window - self._busy[route], self._share(UNKNOWN) - failing - new)
        return max(0, min(room, self._share(FAILING) - failing) if kind == "fails" else room)

    def take(self, route: str, count: int = 1) -> None:
        """Note that so many are in hand."""
        self.busy += count
        self._busy[route] += count
        self._kinds[self._kind(route)] += count

    def begin(self, route: str) -> bool:
        """Take one that is in hand for sending; False while as many are sent as may be."""
        if self._sending[route] >= self._at_once(route):
            return False
        self._sending[route] += 1
        return True

    def end(self, route: str, *, answered: bool | None) -> None:
        """Note that one has ended, and whether the route did answer; None says neither."""
        self._sending[route] -= 1
        self.give_back(route)
        if answered is None:
            return
        now = self._window.get(route, self._first)
        grown = min(now + 1, self.total * SHARE)
        self._window[route] = grown if answered else max(1.0, now / 2)
        self._note(route, answered)

    def doubt(self, route: str) -> None:
        """Take a route that is held for one that fails, though nobody here has tried it."""
        if route not in self._answers:
            self._note(route, answered=False)

    def give_back(self, route: str, count: int = 1) -> None:
        """Note that so many are no longer in hand."""
        self.busy -= count
        self._busy[route] -= count
        self._kinds[self._kind(route)] -= count
        if not self._busy[route]:
            del self._busy[route], self._sending[route]

    def _at_once(self, route: str) -> int:
        return FIXED.get(route) or max(1, int(self._window.get(route, self._first)))

    def _note(self, route: str, answered: bool) -> None:
        self._kinds[self._kind(route)] -= self._busy[route]
        self._answers[route] = answered
        self._kinds[self._kind(route)] += self._busy[route]

    def _kind(self, route: str) -> str:
        if route in FIXED or self._answers.get(route):
            return "answers"
        return "fails" if route in self._answers else "new"

    def _share(self, share: float) -> int:
        return max(1, int(self.total * share))

    @property
    def _first(self) -> float:
        return self.total / BEGIN


def _more(hands: int) -> int:
    return hands + int(hands * AHEAD)


class Paces:
    """Keeps lanes to a number of messages a second, by the generic cell rate algorithm (GCRA)."""

    def __init__(self) -> None:
        self._theory: dict[str, datetime] = {}  # when the next would come if all came evenly

    def allowed(self, lane: str, rate: float, at: datetime) -> int:
        """Return how many messages may go now."""
        early = (self._due(lane, at) - at) / timedelta(seconds=1) * rate
        return max(0, floor(_burst(rate) - early))

    def took(self, lane: str, rate: float, count: int, at: datetime) -> datetime:
        """Note that so many have gone, and return when the next may."""
        self._theory[lane] = self._due(lane, at) + timedelta(seconds=count / rate)
        return self._theory[lane] - timedelta(seconds=(_burst(rate) - 1) / rate)

    def _due(self, lane: str, at: datetime) -> datetime:
        return max(at, self._theory.get(lane, at))


def _burst(rate: float) -> int:
    return ceil(rate * BURST)
