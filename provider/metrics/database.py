"""Gauges of what the database holds: messages by state and topic, and pauses."""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.core.pauses import (
    ACCOUNT,
    HOST,
    QUEUE,
    PauseView,
    list_pauses,
    oldest_unpaused_due_at,
)
from provider.outbox import PARKED, WAITING, Message, is_in_state
from provider.storage.database import Database

CACHE_LIFETIME = timedelta(seconds=10)  # how old what the database holds may be
REFRESH_COST_FACTOR = (
    20  # times as long as it took, it is not counted again: at most 5 % of a processor
)

log = structlog.get_logger()


@dataclass(frozen=True)
class DatabaseSnapshot:
    """What the database held when it was counted, told as of `now`."""

    now: datetime
    is_available: bool = True
    message_counts: Mapping[tuple[str, str], int] = field(
        default_factory=dict
    )  # by state and topic
    oldest_created_at: Mapping[str, datetime] = field(
        default_factory=dict
    )  # of what waits, by topic
    oldest_due_at: datetime | None = None
    pauses: tuple[PauseView, ...] = ()

    def collect(self) -> Iterator[Metric]:
        """Yield gauges."""
        yield _build_gauge(
            "provider_database_up", "Whether the database answers", {(): self.is_available}
        )
        if not self.is_available:
            return
        for state in (WAITING, PARKED):
            depths = {(topic,): n for (of, topic), n in self.message_counts.items() if of == state}
            yield _build_gauge(f"provider_messages_{state}", f"Messages {state}", depths, "topic")
        ages = {
            (topic,): self._age_seconds(self.oldest_created_at.get(topic))
            for _, topic in self.message_counts
        }
        said = "Since when the oldest waiting message waits"
        yield _build_gauge("provider_messages_oldest_seconds", said, ages, "topic")
        said = "Since when the oldest message is due that nothing holds; /ready allows 300"
        yield _build_gauge(
            "provider_messages_due_seconds", said, {(): self._age_seconds(self.oldest_due_at)}
        )
        yield from self._pause_gauges()

    def _pause_gauges(self) -> Iterator[Metric]:
        for on in (HOST, ACCOUNT, QUEUE):
            count = sum(one.scope_type == on for one in self.pauses)
            yield _build_gauge(
                f"provider_{on}s_held", f"How many {on}s are left alone", {(): count}
            )
        hosts = {
            (one.host,): self._age_seconds(one.paused_at)
            for one in self.pauses
            if one.scope_type == HOST
        }
        said = "Since when a host is left alone that does not answer"
        yield _build_gauge("provider_host_held_seconds", said, hosts, "host")
        paused = {
            (one.account_name, one.channel): self._age_seconds(one.paused_at)
            for one in self.pauses
            if one.scope_type == ACCOUNT
        }
        said = "Since when an account is paused whose token is refused"
        yield _build_gauge("provider_account_held_seconds", said, paused, "account", "to")

    def _age_seconds(self, since: datetime | None) -> float:
        return max(0.0, (self.now - since).total_seconds()) if since else 0.0


class DatabaseGauges:
    """Counts what the database holds, but not often: a million waiting rows take a while."""

    def __init__(self) -> None:
        self._refresh_lock = threading.Lock()
        self._last_snapshot: DatabaseSnapshot | None = None
        self._expires_at = datetime.min.replace(tzinfo=UTC)

    def current(self, db: Database, now: datetime) -> DatabaseSnapshot:
        """Return what was counted last, or count anew where that is old; one at a time does."""
        if self._is_expired(now) and self._refresh_lock.acquire(
            blocking=self._last_snapshot is None
        ):
            try:
                if self._is_expired(now):
                    self._refresh(db, now)
            finally:
                self._refresh_lock.release()
        assert self._last_snapshot is not None
        return replace(self._last_snapshot, now=now)

    def _is_expired(self, now: datetime) -> bool:
        return self._last_snapshot is None or now >= self._expires_at

    def _refresh(self, db: Database, now: datetime) -> None:
        began = time.perf_counter()
        try:
            with db.reading() as session:
                # A topic that was seen once is told as 0 afterwards, or its last figure would stay.
                seen = (
                    dict.fromkeys(self._last_snapshot.message_counts, 0)
                    if self._last_snapshot
                    else {}
                )
                self._last_snapshot = _take_snapshot(session, now, seen)
        except Exception as error:
            log.warning("the metrics are without the database's", error=type(error).__name__)
            self._last_snapshot = DatabaseSnapshot(
                now,
                is_available=False,
                message_counts=self._last_snapshot.message_counts if self._last_snapshot else {},
            )
        cost = timedelta(seconds=time.perf_counter() - began) * REFRESH_COST_FACTOR
        self._expires_at = now + max(CACHE_LIFETIME, cost)


def _take_snapshot(
    session: Session, now: datetime, zero_counts: dict[tuple[str, str], int]
) -> DatabaseSnapshot:
    rows = session.execute(
        select(Message.state, Message.topic, func.count(), func.min(Message.created_at))
        .where(is_in_state(WAITING, PARKED))
        .group_by(Message.state, Message.topic)
    ).all()
    topics = {"status", *(row.topic for row in rows)}
    none = {(state, topic): 0 for state in (WAITING, PARKED) for topic in topics}
    return DatabaseSnapshot(
        now,
        message_counts=none
        | zero_counts
        | {(state, topic): count for state, topic, count, _ in rows},
        oldest_created_at={topic: since for state, topic, _, since in rows if state == WAITING},
        oldest_due_at=oldest_unpaused_due_at(session, now),
        pauses=tuple(list_pauses(session)),
    )


def _build_gauge(
    name: str, documentation: str, values: Mapping[Any, float], *labels: str
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        gauge.add_metric(key, value)
    return gauge
