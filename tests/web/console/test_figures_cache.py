"""Figures that take long to collect are kept for a minute; others are collected each time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from provider.core.orders import Statistics
from provider.web.console.figures_cache import LIFETIME, FiguresCache

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class Collector:
    """Collects figures in `seconds`, and counts how often."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.time, self.count = seconds, 0.0, 0

    def __call__(self) -> Statistics:
        self.time += self.seconds
        self.count += 1
        return Statistics([], None, sandbox_order_count=self.count)


def cache_of(collector: Collector) -> Callable[..., int]:
    cache = FiguresCache(measure=lambda: collector.time)

    def get(now: datetime, key: object = "all") -> int:
        return cache.get(key, now, collector).statistics.sandbox_order_count

    return get


def test_quick_figures_are_collected_each_time() -> None:
    collector = Collector(seconds=0.01)
    get = cache_of(collector)
    assert [get(NOW), get(NOW)] == [1, 2]


def test_slow_figures_are_kept_for_a_minute() -> None:
    collector = Collector(seconds=0.5)
    get = cache_of(collector)
    times = (NOW, NOW + timedelta(seconds=59), NOW + LIFETIME, NOW + LIFETIME)
    assert [get(now) for now in times] == [1, 1, 2, 2]


def test_figures_of_other_accounts_are_kept_apart() -> None:
    collector = Collector(seconds=0.5)
    get = cache_of(collector)
    assert [get(NOW, "one"), get(NOW, "two"), get(NOW, "one")] == [1, 2, 1]


def test_kept_figures_do_not_count_before_their_time() -> None:
    collector = Collector(seconds=0.5)
    get = cache_of(collector)
    assert [get(NOW), get(NOW - timedelta(days=1))] == [1, 2]
