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

REDIS_TIMEOUT_SECONDS = 0.05  # seconds to connect, and to wait for an answer
REDIS_RETRY_SECONDS = 5.0  # seconds for which what has failed is left alone
WARNING_INTERVAL_SECONDS = 60.0  # seconds after which it is said again


@dataclass(frozen=True)
class RateLimitState:
    """How many may come in a window, how many more of them, and when the next one begins."""

    limit: int
    remaining: int  # below 0 for who comes too often
    resets_at: int  # Unix seconds

    def seconds_until_reset(self, now: datetime) -> int:
        """Return the seconds until the next window, at least one."""
        return max(1, ceil(self.resets_at - now.timestamp()))


class RateLimiter:
    """Counts who comes."""

    def __init__(self, url: str | None = None) -> None:
        self._local_counter = _LocalCounter()
        self._redis_counter = _RedisCounter(url) if url else None

    def hit(self, key: str, limit: int, window_seconds: int, now: datetime) -> RateLimitState:
        """Count one more, of at most so many in each window of so many seconds."""
        window = int(now.timestamp()) // window_seconds
        count = (
            self._redis_counter.count(key, window, window_seconds) if self._redis_counter else None
        )
        if count is None:
            count = self._local_counter.count(key, window, window_seconds)
        return RateLimitState(limit, limit - count, (window + 1) * window_seconds)


class _LocalCounter:
    """What this process counts: of each length of windows the newest alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, tuple[int, Counter[str]]] = {}

    def count(self, key: str, window: int, window_seconds: int) -> int:
        with self._lock:
            newest, counts = self._counts.get(window_seconds, (-1, Counter()))
            if window > newest:
                counts = Counter()
                self._counts[window_seconds] = window, counts
            counts[key] += 1
            return counts[key]


class _RedisCounter:
    """What all processes count together; None where that cannot be known."""

    def __init__(self, url: str) -> None:
        # The one client speaks to both.
        self._url = f"redis{url.removeprefix('valkey')}" if url.startswith("valkey") else url
        self._retry_at = 0.0
        self._next_warning_at = 0.0

    def count(self, key: str, window: int, window_seconds: int) -> int | None:
        now = time.monotonic()
        if now < self._retry_at:
            return None
        if self._retry_at:
            self._retry_at = (
                now + REDIS_RETRY_SECONDS
            )  # one tries; the others need not wait for that
        try:
            count = self._increment(f"provider/{key}/{window_seconds}/{window}", window_seconds)
        except Exception as error:
            self._handle_failure(now, error)
            return None
        self._retry_at = 0.0
        return count

    def _increment(self, key: str, window_seconds: int) -> int:
        told = self._client.pipeline()
        told.incr(key)
        told.expire(key, 2 * window_seconds)
        return int(told.execute()[0])

    @cached_property
    def _client(self) -> "Redis":
        from redis import Redis  # late, for it needs the extra `scale`, and a tenth of a second
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return Redis.from_url(
            self._url,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
        )

    def _handle_failure(self, now: float, error: Exception) -> None:
        self._retry_at = now + REDIS_RETRY_SECONDS
        if now >= self._next_warning_at:
            self._next_warning_at = now + WARNING_INTERVAL_SECONDS
            from structlog import get_logger  # late: a command has nobody to count

            said = "PROVIDER_LIMITS_URL does not answer; this process counts for itself"
            get_logger().warning(said, error=f"{type(error).__name__}: {error}")
