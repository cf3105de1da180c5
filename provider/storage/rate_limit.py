"""Fixed-window rate limits, whose windows begin at the same time in every process.

With a Valkey or Redis all processes share their counters. Without one, or while it does not
answer, each process counts for itself; a failing Redis refuses no request.
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

REDIS_TIMEOUT_SECONDS = 0.05  # of connecting, and of each answer
REDIS_RETRY_SECONDS = 5.0  # after a failure
WARNING_INTERVAL_SECONDS = 60.0


@dataclass(frozen=True)
class RateLimitState:
    """The limit of a window, what remains of it, and when the next window begins."""

    limit: int
    remaining: int  # negative: the request is over the limit
    resets_at: int  # Unix seconds

    def seconds_until_reset(self, now: datetime) -> int:
        """Return whole seconds, at least 1, for Retry-After."""
        return max(1, ceil(self.resets_at - now.timestamp()))


class RateLimiter:
    """Counts requests by key, in Redis or in this process."""

    def __init__(self, url: str | None = None) -> None:
        self._local_counter = _LocalCounter()
        self._redis_counter = _RedisCounter(url) if url else None

    def hit(self, key: str, limit: int, window_seconds: int, now: datetime) -> RateLimitState:
        """Count one request against `limit` requests in each window of `window_seconds`."""
        window = int(now.timestamp()) // window_seconds
        count = (
            self._redis_counter.count(key, window, window_seconds) if self._redis_counter else None
        )
        if count is None:
            count = self._local_counter.count(key, window, window_seconds)
        return RateLimitState(limit, limit - count, (window + 1) * window_seconds)


class _LocalCounter:
    """Counters of this process; only the newest window of each length is kept."""

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
    """Counters of all processes; None while Redis does not answer."""

    def __init__(self, url: str) -> None:
        # Redis' client works with Valkey, but does not know its URL scheme.
        self._url = f"redis{url.removeprefix('valkey')}" if url.startswith("valkey") else url
        self._retry_at = 0.0
        self._next_warning_at = 0.0

    def count(self, key: str, window: int, window_seconds: int) -> int | None:
        now = time.monotonic()
        if now < self._retry_at:
            return None
        if self._retry_at:
            # Only this thread retries: the others do not wait for the timeout.
            self._retry_at = now + REDIS_RETRY_SECONDS
        try:
            count = self._increment(f"provider/{key}/{window_seconds}/{window}", window_seconds)
        except Exception as error:
            self._handle_failure(now, error)
            return None
        self._retry_at = 0.0
        return count

    def _increment(self, key: str, window_seconds: int) -> int:
        pipeline = self._client.pipeline()
        pipeline.incr(key)
        pipeline.expire(key, 2 * window_seconds)
        return int(pipeline.execute()[0])

    @cached_property
    def _client(self) -> "Redis":
        from redis import Redis  # late: from the extra `scale`, and slow to import
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
            from structlog import get_logger  # late: commands count no requests

            get_logger().warning(
                "rate_limit_store_failed",
                setting="PROVIDER_LIMITS_URL",
                error=f"{type(error).__name__}: {error}",
            )
