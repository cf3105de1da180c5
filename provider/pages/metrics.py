"""/metrics: what all processes counted, and what the database holds, for Prometheus.

Any one process that serves answers for all.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from flask import Blueprint, Response, abort, current_app, request
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.here import here
from provider.house import House
from provider.meter.counts import Counts
from provider.outbox import PARKED, WAITING, Message, in_state
from provider.outbox.held import ACCOUNT, HOST, LANE, Held, all_held
from provider.pages.health import may_know, oldest_due

FRESH = timedelta(seconds=10)  # how old what the database holds may be
COST = 20  # times as long as it took, it is not counted again: at most 5 % of a processor
CENSUS = "census"

log = structlog.get_logger()
routes = Blueprint("metrics", __name__)

routes.record(lambda state: state.app.extensions.setdefault(CENSUS, Census()))


@routes.get("/metrics")
def metrics() -> Response:
    """Tell it to whoever has the token; to others not even whether there is one."""
    house = here()
    if not may_know(house):
        abort(401, "/metrics wants PROVIDER_METRICS_TOKEN as its bearer token")
    census: Census = current_app.extensions[CENSUS]
    told = house.meter.written(_counted_by_all(house), census.of(house))
    return Response(told, content_type=CONTENT_TYPE_LATEST)


def _counted_by_all(house: House) -> Counts:
    try:
        return house.ledger.all(house.now())
    except Exception as error:
        log.warning("the metrics are without other processes'", error=type(error).__name__)
        return house.ledger.known()


@routes.after_app_request
def _count(response: Response) -> Response:
    here().meter.answered(request.endpoint, response.status_code)
    return response


@dataclass(frozen=True)
class Counted:
    """What the database held when it was counted, told as of `now`."""

    now: datetime
    found: bool = True
    depths: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by state and topic
    oldest: Mapping[str, datetime] = field(default_factory=dict)  # of what waits, by topic
    due: datetime | None = None
    held: tuple[Held, ...] = ()

    def collect(self) -> Iterator[Metric]:
        """Yield gauges."""
        yield _gauge("provider_database_up", "Whether the database answers", {(): self.found})
        if not self.found:
            return
        for state in (WAITING, PARKED):
            depths = {(topic,): n for (of, topic), n in self.depths.items() if of == state}
            yield _gauge(f"provider_messages_{state}", f"Messages {state}", depths, "topic")
        ages = {(topic,): self._age(self.oldest.get(topic)) for _, topic in self.depths}
        said = "Since when the oldest waiting message waits"
        yield _gauge("provider_messages_oldest_seconds", said, ages, "topic")
        said = "Since when the oldest message is due that nothing holds; /ready allows 300"
        yield _gauge("provider_messages_due_seconds", said, {(): self._age(self.due)})
        yield from self._holds()

    def _holds(self) -> Iterator[Metric]:
        for on in (HOST, ACCOUNT, LANE):
            count = sum(one.on == on for one in self.held)
            yield _gauge(f"provider_{on}s_held", f"How many {on}s are left alone", {(): count})
        hosts = {(one.host,): self._age(one.since) for one in self.held if one.on == HOST}
        said = "Since when a host is left alone that does not answer"
        yield _gauge("provider_host_held_seconds", said, hosts, "host")
        paused = {
            (one.account, one.sink): self._age(one.since) for one in self.held if one.on == ACCOUNT
        }
        said = "Since when an account is paused whose token is refused"
        yield _gauge("provider_account_held_seconds", said, paused, "account", "to")

    def _age(self, since: datetime | None) -> float:
        return max(0.0, (self.now - since).total_seconds()) if since else 0.0


class Census:
    """Counts what the database holds, but not often: a million waiting rows take a while."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._last: Counted | None = None
        self._stale_at = datetime.min.replace(tzinfo=UTC)

    def of(self, house: House) -> Counted:
        """Return what was counted last, or count anew where that is old; one at a time does."""
        now = house.now()
        if self._stale(now) and self._counting.acquire(blocking=self._last is None):
            try:
                if self._stale(now):
                    self._count(house, now)
            finally:
                self._counting.release()
        assert self._last is not None
        return replace(self._last, now=now)

    def _stale(self, now: datetime) -> bool:
        return self._last is None or now >= self._stale_at

    def _count(self, house: House, now: datetime) -> None:
        began = time.perf_counter()
        try:
            with house.db.reading() as session:
                # A topic that was seen once is told as 0 afterwards, or its last figure would stay.
                seen = dict.fromkeys(self._last.depths, 0) if self._last else {}
                self._last = _counted(session, now, seen)
        except Exception as error:
            log.warning("the metrics are without the database's", error=type(error).__name__)
            self._last = Counted(now, found=False, depths=self._last.depths if self._last else {})
        cost = timedelta(seconds=time.perf_counter() - began) * COST
        self._stale_at = now + max(FRESH, cost)


def _counted(session: Session, now: datetime, seen: dict[tuple[str, str], int]) -> Counted:
    rows = session.execute(
        select(Message.state, Message.topic, func.count(), func.min(Message.created_at))
        .where(in_state(WAITING, PARKED))
        .group_by(Message.state, Message.topic)
    ).all()
    topics = {"status", *(row.topic for row in rows)}
    none = {(state, topic): 0 for state in (WAITING, PARKED) for topic in topics}
    return Counted(
        now,
        depths=none | seen | {(state, topic): count for state, topic, count, _ in rows},
        oldest={topic: since for state, topic, _, since in rows if state == WAITING},
        due=oldest_due(session, now),
        held=tuple(all_held(session)),
    )


def _gauge(name: str, said: str, values: Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, said, labels=labels)
    for key, value in values.items():
        gauge.add_metric(key, value)
    return gauge
