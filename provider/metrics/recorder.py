"""What one process counts of its own work, for Prometheus."""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from provider.metrics.samples import MOST_HOSTS, OTHERS, Counts, read
from provider.outbox import AttemptResult, QueueName

BUCKETS = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
    1800,
    7200,
    21600,
    86400,
    259200,
)

# When each line was first counted would double their number.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Meter:
    """Counts tries, arrivals and answers; each house has its own, from its start."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._attempts = Counter(
            "provider_delivery_attempts",
            "Attempts to deliver a message, by outcome",
            ("channel", "host", "outcome"),
            registry=self._registry,
        )
        self._arrival = Histogram(
            "provider_delivery_latency_seconds",
            "From a message's commit to its first delivery",
            ("topic",),
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._requests = Counter(
            "provider_requests", "Answered requests", ("endpoint", "code"), registry=self._registry
        )
        self._hosts: set[str] = set()
        # Finding a line takes longer than counting in it.
        self._answers = lru_cache(maxsize=10_000)(self._requests.labels)
        self._tries = lru_cache(maxsize=10_000)(self._line)

    def tried(self, ended: Sequence[AttemptResult], stood: Collection[str]) -> None:
        """Count tries, and the way of what arrived; `stood` are the leases that they settled."""
        for one in ended:
            kept = one.claim.lease in stood
            self._tries(one.claim.queue, one.outcome.decision if kept else "lease_lost").inc()
            if kept and one.outcome.decision == "delivered":
                took = (one.finished_at - one.claim.created_at).total_seconds()
                self._arrival.labels(one.claim.topic).observe(max(0.0, took))

    def answered(self, endpoint: str | None, code: int) -> None:
        """Count a request; by its endpoint, for a path may hold a token."""
        self._answers(endpoint or "none", code).inc()

    def counted(self) -> Counts:
        """Return every figure."""
        return read(self._registry.collect())

    def written(self, counts: Counts, *more: Collector) -> bytes:
        """Write figures of this meter's kind, and what others collect, as Prometheus reads it."""
        families = _Families(self._registry.collect(), counts)
        return b"".join(generate_latest(each) for each in (families, *more))

    def _line(self, lane: str, outcome: str) -> Counter:
        read = QueueName.parse(lane)
        return self._attempts.labels(read.channel, self._known(read.host), outcome)

    def _known(self, host: str) -> str:
        if host not in self._hosts:
            if len(self._hosts) >= MOST_HOSTS:
                return OTHERS
            self._hosts.add(host)
        return host


class _Families(Collector):
    """Metrics with other figures."""

    def __init__(self, metrics: Iterable[Metric], counts: Counts) -> None:
        self._metrics, self._counts = metrics, counts

    def collect(self) -> Iterable[Metric]:
        """Yield them."""
        for metric in self._metrics:
            told = Metric(metric.name, metric.documentation, metric.type)
            for (name, labels), value in self._counts.items():
                if name.startswith(metric.name):
                    told.add_sample(name, dict(labels), value)
            yield told
