"""How often somebody may come, counted in windows of time that begin at the same moment everywhere.

Where there is a Valkey or Redis, all processes count together; without one, or while it does not
answer, each counts for itself. Nobody is refused for want of it.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

PATIENCE = 0.05  # seconds to connect, and to wait for an answer
REST = 5.0  # seconds for which what has failed is left alone
SAID = 60.0  # seconds after which it is said again


@dataclass(frozen=True)
class Room:
    """How many may come in a window, how many more of them, and when the next one begins."""

    most: int
    left: int  # below 0 for who comes too often
    next_at: int  # Unix seconds

    def wait(self, at: datetime) -> int:
        """Return the seconds until the next window, at least one."""
        return max(1, ceil(self.next_at - at.timestamp()))


class Limits:
    """Counts who comes."""

    def __init__(self, url: str | None = None) -> None:
        self._own = _Own()
        self._shared = _Shared(url) if url else None

    def come(self, who: str, most: int, seconds: int, at: datetime) -> Room:
        """Count one more, of at most so many in each window of so many seconds."""
        window = int(at.timestamp()) // seconds
        count = self._shared.count(who, window, seconds) if self._shared else None
        if count is None:
            count = self._own.count(who, window, seconds)
        return Room(most, most - count, (window + 1) * seconds)


class _Own:
    """What this process counts: of each length of windows the newest alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, tuple[int, Counter[str]]] = {}

    def count(self, who: str, window: int, seconds: int) -> int:
        with self._lock:
            newest, counts = self._counts.get(seconds, (-1, Counter()))
            if window > newest:
                counts = Counter()
                self._counts[seconds] = window, counts
            counts[who] += 1
            return counts[who]


class _Shared:
    """What all processes count together; None where that cannot be known."""

    def __init__(self, url: str) -> None:
        # The one client speaks to both.
        self._url = f"redis{url.removeprefix('valkey')}" if url.startswith("valkey") else url
        self._again_at = 0.0
        self._say_at = 0.0

    def count(self, who: str, window: int, seconds: int) -> int | None:
        now = time.monotonic()
        if now < self._again_at:
            return None
        if self._again_at:
            self._again_at = now + REST  # one tries; the others need not wait for that
        try:
            count = self._count(f"provider/{who}/{seconds}/{window}", seconds)
        except Exception as error:
            self._failed(now, error)
            return None
        self._again_at = 0.0
        return count

    def _count(self, key: str, seconds: int) -> int:
        told = self._client.pipeline()
        told.incr(key)
        told.expire(key, 2 * seconds)
        return int(told.execute()[0])

    @cached_property
    def _client(self) -> "Redis":
        from redis import Redis  # late, for it needs the extra `scale`, and a tenth of a second
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return Redis.from_url(
            self._url, retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE,
        )  # fmt: skip

    def _failed(self, now: float, error: Exception) -> None:
        self._again_at = now + REST
        if now >= self._say_at:
            self._say_at = now + SAID
            from structlog import get_logger  # late: a command has nobody to count

            said = "PROVIDER_LIMITS_URL does not answer; this process counts for itself"
            get_logger().warning(said, error=f"{type(error).__name__}: {error}")
