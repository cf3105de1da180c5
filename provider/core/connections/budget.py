"""Budgets: how many requests a client of an ATS's API may send in a window of time.

A client is a credential or an OAuth application: several accounts may share one. A row counts for
all processes. A request is reserved before it is sent, and the ATS's headers correct the row.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from sqlalchemy import ColumnElement, String, case, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.storage.database import Base, acquire_advisory_lock

# The share of a window that rounds leave to writers: a result is more urgent than a new candidate.
RESERVED_FOR_WRITERS = 0.3
MAX_WINDOW = timedelta(hours=1)  # a wrong header must not stop a client for years


@dataclass(frozen=True)
class Budget:
    """The requests that `client` may send in each window, until the ATS's headers say otherwise.

    `client` is a digest: a table of budgets must show no credential.
    """

    client: str
    limit: int
    window: timedelta


@dataclass(frozen=True)
class BudgetReading:
    """The rate limit in an answer's headers; None where they say nothing."""

    limit: int | None = None
    remaining: int | None = None
    resets_at: datetime | None = None


class ApiBudget(Base):
    """The present window of a client."""

    __tablename__ = "api_budgets"

    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    window_limit: Mapped[int]
    remaining: Mapped[int]
    resets_at: Mapped[datetime]


@dataclass(frozen=True)
class Reservation:
    """The number of requests that may be sent now; with none, how long to wait."""

    count: int = 0
    wait: timedelta = timedelta(0)


def reserve(
    session: Session, budget: Budget, now: datetime, *, is_round: bool = False, count: int = 1
) -> Reservation:
    """Reserve `count` requests, or a whole window's where a window has fewer.

    A round may not use what is reserved for writers.
    """
    row = session.scalar(
        select(ApiBudget).where(ApiBudget.client == budget.client).with_for_update()
    )
    if row is None:
        acquire_advisory_lock(session, f"budget {budget.client}")
        row = session.get(ApiBudget, budget.client, populate_existing=True)
    if row is None:
        row = ApiBudget(client=budget.client, window_limit=budget.limit, remaining=0, resets_at=now)
        session.add(row)
    if row.resets_at <= now:
        row.remaining, row.resets_at = row.window_limit, now + budget.window
    reserved = ceil(row.window_limit * RESERVED_FOR_WRITERS) if row.window_limit > 1 else 0
    count = max(1, min(count, row.window_limit))
    if row.remaining < count + (reserved if is_round else 0):
        return Reservation(wait=row.resets_at - now)
    row.remaining -= count
    return Reservation(count)


def learn(session: Session, budget: Budget, reading: BudgetReading, now: datetime) -> None:
    """Correct the row by an answer's headers. Requests on their way stay counted."""
    row = ApiBudget
    values: dict[str, Any] = {}
    remaining: ColumnElement[int] = row.remaining.expression
    if reading.limit:
        values["window_limit"] = reading.limit
        remaining = remaining + (reading.limit - row.window_limit)
        values["remaining"] = remaining
    if reading.resets_at is not None and reading.resets_at > now:
        values["resets_at"] = min(reading.resets_at, now + MAX_WINDOW)
    if reading.remaining is not None:
        values["remaining"] = case(
            (remaining > reading.remaining, reading.remaining), else_=remaining
        )
    if values:
        session.execute(
            update(row)
            .where(row.client == budget.client)
            .values(values)
            .execution_options(synchronize_session=False)
        )
