"""Gauges from the database: messages by state and topic, pauses, and what ATSes' APIs need.

Every process reads the same database, so every process has the same gauges.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from provider.clock import Clock
from provider.core.accounts import Account
from provider.core.connections import ApiToken, SourceCursor
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

CACHE_LIFETIME = timedelta(seconds=10)
# A snapshot is also cached for 20 times the time of reading it: reading takes 5 % of the time.
REFRESH_COST_FACTOR = 20
CONNECTION_GAUGES = {
    "provider_sources_stopped": "Lists of ATSes that are not read until staff let them go on",
    "provider_sources_failing": "Lists of ATSes whose last page could not be read",
    "provider_accounts_to_connect": "Accounts that a person must connect again to their ATS",
}


@dataclass(frozen=True)
class DatabaseSnapshot:
    """The counts of one reading of the database; ages are computed at `now`."""

    now: datetime
    is_available: bool = True
    # By (state, topic).
    message_counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    # Of the waiting messages, by topic.
    oldest_created_at: Mapping[str, datetime] = field(default_factory=dict)
    oldest_due_at: datetime | None = None
    pauses: tuple[PauseView, ...] = ()
    # By name of the gauge and by ATS.
    connection_counts: Mapping[str, Mapping[tuple[str], int]] = field(default_factory=dict)

    def collect(self) -> Iterator[Metric]:
        yield _build_gauge(
            "provider_database_up", "Whether the database answers", {(): self.is_available}
        )
        if not self.is_available:
            return
        for state in (WAITING, PARKED):
            counts = {
                (topic,): count
                for (count_state, topic), count in self.message_counts.items()
                if count_state == state
            }
            yield _build_gauge(f"provider_messages_{state}", f"Messages {state}", counts, "topic")
        ages = {
            (topic,): self._age_seconds(self.oldest_created_at.get(topic))
            for _, topic in self.message_counts
        }
        yield _build_gauge(
            "provider_messages_oldest_seconds", "Age of the oldest waiting message", ages, "topic"
        )
        yield _build_gauge(
            "provider_messages_due_seconds",
            "How long the oldest message is due that no pause stops; /ready allows 300",
            {(): self._age_seconds(self.oldest_due_at)},
        )
        yield from self._pause_gauges()
        for name, text in CONNECTION_GAUGES.items():
            yield _build_gauge(name, text, self.connection_counts.get(name, {}), "ats")

    def _pause_gauges(self) -> Iterator[Metric]:
        for scope_type in (HOST, ACCOUNT, QUEUE):
            count = sum(pause.scope_type == scope_type for pause in self.pauses)
            yield _build_gauge(
                f"provider_paused_{scope_type}s", f"Number of paused {scope_type}s", {(): count}
            )
        hosts = {
            (pause.host,): self._age_seconds(pause.paused_at)
            for pause in self.pauses
            if pause.scope_type == HOST
        }
        yield _build_gauge(
            "provider_host_paused_seconds",
            "How long a host is paused that does not answer",
            hosts,
            "host",
        )
        accounts = {
            (pause.account_name, pause.channel): self._age_seconds(pause.paused_at)
            for pause in self.pauses
            if pause.scope_type == ACCOUNT
        }
        yield _build_gauge(
            "provider_account_paused_seconds",
            "How long an account is paused whose token is refused",
            accounts,
            "account",
            "channel",
        )

    def _age_seconds(self, since: datetime | None) -> float:
        return max(0.0, (self.now - since).total_seconds()) if since else 0.0


class DatabaseGauges(Collector):
    """Reads the gauges, and caches them: counting a million waiting rows takes a while."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._refresh_lock = threading.Lock()
        self._last_snapshot: DatabaseSnapshot | None = None
        self._expires_at = datetime.min.replace(tzinfo=UTC)

    def collect(self) -> Iterator[Metric]:
        yield from self.current().collect()

    def current(self) -> DatabaseSnapshot:
        """Return the cached snapshot, or a new one if it has expired.

        Only one thread reads the database; other threads get the expired snapshot meanwhile.
        """
        now = self._clock.now()
        if self._is_expired(now) and self._refresh_lock.acquire(
            blocking=self._last_snapshot is None
        ):
            try:
                if self._is_expired(now):
                    self._refresh(now)
            finally:
                self._refresh_lock.release()
        assert self._last_snapshot is not None
        return replace(self._last_snapshot, now=now)

    def _is_expired(self, now: datetime) -> bool:
        return self._last_snapshot is None or now >= self._expires_at

    def _refresh(self, now: datetime) -> None:
        started_at = time.perf_counter()
        previous_counts = self._last_snapshot.message_counts if self._last_snapshot else {}
        try:
            with self._db.reading() as session:
                # A topic without messages must become 0, or its last value would stay.
                zero_counts = dict.fromkeys(previous_counts, 0)
                self._last_snapshot = _take_snapshot(session, now, zero_counts)
        except Exception as error:
            import structlog  # late: slow to import, and commands do not log

            structlog.get_logger().warning("database_gauges_failed", error=type(error).__name__)
            self._last_snapshot = DatabaseSnapshot(
                now, is_available=False, message_counts=previous_counts
            )
        cost = timedelta(seconds=time.perf_counter() - started_at) * REFRESH_COST_FACTOR
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
    no_messages = {(state, topic): 0 for state in (WAITING, PARKED) for topic in topics}
    counts = {(state, topic): count for state, topic, count, _ in rows}
    return DatabaseSnapshot(
        now,
        message_counts=no_messages | zero_counts | counts,
        oldest_created_at={
            topic: created_at for state, topic, _, created_at in rows if state == WAITING
        },
        oldest_due_at=oldest_unpaused_due_at(session, now),
        pauses=tuple(list_pauses(session)),
        connection_counts=_count_connections(session),
    )


def _count_connections(session: Session) -> dict[str, dict[tuple[str], int]]:
    stopped = SourceCursor.stopped_reason != ""
    failing = and_(SourceCursor.last_error != "", SourceCursor.stopped_reason == "")
    return {
        "provider_sources_stopped": _count_by_ats(session, SourceCursor, stopped),
        "provider_sources_failing": _count_by_ats(session, SourceCursor, failing),
        "provider_accounts_to_connect": _count_by_ats(
            session, ApiToken, ApiToken.reconnect_reason != ""
        ),
    }


def _count_by_ats(
    session: Session, model: type[SourceCursor | ApiToken], condition: ColumnElement[bool]
) -> dict[tuple[str], int]:
    """Return the number of rows for each ATS that has accounts; 0 where there is none."""
    query = (
        select(Account.ats, func.count(model.account_id))
        .outerjoin(model, and_(model.account_id == Account.id, condition))
        .group_by(Account.ats)
    )
    return {(ats,): count for ats, count in session.execute(query)}


def _build_gauge(
    name: str, documentation: str, values: Mapping[Any, float], *labels: str
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, documentation, labels=labels)
    for label_values, value in values.items():
        gauge.add_metric(label_values, value)
    return gauge
