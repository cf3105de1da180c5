"""The counters and histograms of one process."""

from collections.abc import Collection, Sequence
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.registry import Collector

from provider.outbox import AttemptResult, QueueName

LATENCY_BUCKETS_SECONDS = (
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    *(300, 1800, 7200, 21600, 86400, 259200),
)
# The label sets of more hosts would fill Prometheus' memory.
MAX_HOSTS = 1000
OTHER_HOSTS = "others"
LABEL_CACHE_SIZE = 10_000

# Without this call each counter has a second series: the time of its creation.
disable_created_metrics()  # type: ignore[no-untyped-call]


class MetricsRecorder:
    """Counts attempts and requests; `registry` has these counters and the given collectors."""

    def __init__(self, *collectors: Collector) -> None:
        self.registry = CollectorRegistry()
        for collector in collectors:
            self.registry.register(collector)
        self._attempts = Counter(
            "provider_delivery_attempts",
            "Attempts to deliver a message, by outcome",
            ("channel", "host", "outcome"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "provider_delivery_latency_seconds",
            "From a message's commit to its first delivery",
            ("topic",),
            registry=self.registry,
            buckets=LATENCY_BUCKETS_SECONDS,
        )
        self._requests = Counter(
            "provider_requests", "Answered requests", ("endpoint", "code"), registry=self.registry
        )
        self._hosts: set[str] = set()
        # `labels()` takes longer than `inc()`.
        self._request_counter = lru_cache(LABEL_CACHE_SIZE)(self._requests.labels)
        self._attempt_counter = lru_cache(LABEL_CACHE_SIZE)(self._find_attempt_counter)

    def record_attempts(
        self, results: Sequence[AttemptResult], valid_leases: Collection[str]
    ) -> None:
        """Count attempts by outcome, and the latency of what was delivered under a valid lease."""
        for result in results:
            claim, decision = result.claim, result.outcome.decision
            if claim.lease not in valid_leases:
                decision = "lease_lost"
            self._attempt_counter(claim.queue, decision).inc()
            if decision == "delivered":
                latency_seconds = (result.finished_at - claim.created_at).total_seconds()
                self._latency.labels(claim.topic).observe(max(0.0, latency_seconds))

    def record_request(self, endpoint: str | None, status_code: int) -> None:
        """Count a request by its endpoint, because a path may contain a token."""
        self._request_counter(endpoint or "none", status_code).inc()

    def _find_attempt_counter(self, queue: str, outcome: str) -> Counter:
        name = QueueName.parse(queue)
        return self._attempts.labels(name.channel, self._host_label(name.host), outcome)

    def _host_label(self, host: str) -> str:
        if host not in self._hosts:
            if len(self._hosts) >= MAX_HOSTS:
                return OTHER_HOSTS
            self._hosts.add(host)
        return host
