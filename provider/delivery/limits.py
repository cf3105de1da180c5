"""Concurrency limits per destination, and a send rate per queue."""

from collections import Counter
from datetime import datetime, timedelta
from math import ceil, floor

from provider.outbox import EMAIL, MEDIA

FIXED = {MEDIA: 2, EMAIL: 8}  # a remux takes a core; mail servers count connections
BEGIN = 12  # a route that nobody knows yet gets a twelfth of all hands
SHARE = 2 / 3  # of all hands that one route may hold, however well it answers
SLOW = 0.5  # seconds that a route takes to answer, from which on it is slow
RECENT = 4  # answers, about, that their mean is taken of
# Who does not answer quickly keeps hands for long. Of all hands there are so many for those that
# failed, for them and the slow ones, and for them and those that nobody knows yet: all together.
SHARES = {"fails": 1 / 4, "slow": 1 / 2, "new": 3 / 4}
AHEAD = 1 / 2  # as much more is claimed as is sent, or a hand that is free would wait for a turn
BURST = 0.05  # seconds by which a pace may be ahead of itself


class ConcurrencyLimiter:
    """Counts what is in hand, by route. A route that answers gets more, one that fails fewer.

    So a host that hangs holds a few hands at first and soon a single one, while one that answers
    well may use most of them; and however many hang or are slow, some hands are left for others.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.busy = 0
        self._busy: Counter[str] = Counter()
        self._sending: Counter[str] = Counter()
        self._alike: Counter[str] = Counter()  # what is in hand, by kind of route
        self._window: dict[str, float] = {}
        self._kinds: dict[str, str] = {}  # of routes that have been tried: see `_kind`
        self._means: dict[str, float] = {}  # seconds that routes took to answer lately

    def free(self, route: str) -> int:
        """Return how many more messages of a route may be claimed now."""
        window, kind = self._at_once(route), self._kind(route)
        room = _more(self.total) - self.busy
        if kind == "quick":
            return max(0, min(room, _more(window) - self._busy[route]))
        # Nothing is claimed ahead of these: what their share has no room for waits unclaimed.
        return max(0, min(room, window - self._busy[route], self._left(kind)))

    def take(self, route: str, count: int = 1) -> None:
        """Note that so many are in hand."""
        self.busy += count
        self._busy[route] += count
        self._alike[self._kind(route)] += count

    def begin(self, route: str) -> bool:
        """Take one that is in hand for sending; False while as many are sent as may be."""
        if self._sending[route] >= self._at_once(route):
            return False
        self._sending[route] += 1
        return True

    def end(self, route: str, *, answered: bool | None, seconds: float) -> None:
        """Note that one has ended, after so long, and whether the route did answer.

        Where `answered` is None it says neither that it can take more nor less.
        """
        self._sending[route] -= 1
        self.give_back(route)
        if answered is None:
            return
        now = self._window.get(route, self._first)
        grown = min(now + 1, self.total * SHARE)
        self._window[route] = grown if answered else max(1.0, now / 2)
        self._note(route, self._speed(route, seconds) if answered else "fails")

    def doubt(self, route: str) -> None:
        """Take a route that is held for one that fails, though nobody here has tried it."""
        if route not in self._kinds:
            self._note(route, "fails")

    def give_back(self, route: str, count: int = 1) -> None:
        """Note that so many are no longer in hand."""
        self.busy -= count
        self._busy[route] -= count
        self._alike[self._kind(route)] -= count
        if not self._busy[route]:
            del self._busy[route], self._sending[route]

    def _at_once(self, route: str) -> int:
        return FIXED.get(route) or max(1, int(self._window.get(route, self._first)))

    def _note(self, route: str, kind: str) -> None:
        self._alike[self._kind(route)] -= self._busy[route]
        self._kinds[route] = kind
        self._alike[self._kind(route)] += self._busy[route]

    def _kind(self, route: str) -> str:
        """Return whether a route is new, or when it was last tried was quick, slow or failed."""
        return "quick" if route in FIXED else self._kinds.get(route, "new")

    def _speed(self, route: str, seconds: float) -> str:
        mean = self._means.get(route, seconds)
        self._means[route] = mean = mean + (seconds - mean) / RECENT
        return "slow" if mean >= SLOW else "quick"

    def _left(self, kind: str) -> int:
        """Return what a kind of route may still take: of its own share, and of each it is in."""
        used, left = sum(self._alike[each] for each in SHARES), self.total
        for each in reversed(SHARES):
            left = min(left, max(1, int(self.total * SHARES[each])) - used)
            if each == kind:
                break
            used -= self._alike[each]
        return left

    @property
    def _first(self) -> float:
        return self.total / BEGIN


def _more(hands: int) -> int:
    return hands + int(hands * AHEAD)


class Paces:
    """Keeps lanes to a number of messages a second, by the generic cell rate algorithm (GCRA)."""

    def __init__(self) -> None:
        self._theory: dict[str, datetime] = {}  # when the next would come if all came evenly

    def allowed(self, lane: str, rate: float, now: datetime) -> int:
        """Return how many messages may go now."""
        early = (self._due(lane, now) - now) / timedelta(seconds=1) * rate
        return max(0, floor(_burst(rate) - early))

    def took(self, lane: str, rate: float, count: int, now: datetime) -> datetime:
        """Note that so many have gone, and return when the next may."""
        self._theory[lane] = self._due(lane, now) + timedelta(seconds=count / rate)
        return self._theory[lane] - timedelta(seconds=(_burst(rate) - 1) / rate)

    def _due(self, lane: str, now: datetime) -> datetime:
        return max(now, self._theory.get(lane, now))


def _burst(rate: float) -> int:
    return ceil(rate * BURST)
