"""The day on which a check is to be renewed, for packages whose checks are valid for some months.

The ATS orders the new check. The overview lists a renewal 30 days before its day, and staff mark
those that are done.
"""

import calendar
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index, Select, String, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.accounts import Account
from provider.core.orders import Order
from provider.errors import Conflict
from provider.storage.database import Base

REMINDED_BEFORE = timedelta(days=30)  # before the day of the renewal
MAX_LISTED_RENEWALS = 200
_OPEN_SQL = text("closed_at IS NULL")


class Renewal(Base):
    """The renewal of one completed check. It is closed by a newer check, or by a person."""

    __tablename__ = "check_renewals"
    __table_args__ = (
        Index(
            "ix_check_renewals_open",
            "renew_on",
            "order_id",
            sqlite_where=_OPEN_SQL,
            postgresql_where=_OPEN_SQL,
        ),
    )

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    renew_on: Mapped[date]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str] = mapped_column(String(254), default="")  # “system”: a newer check

    def close(self, actor: str, now: datetime) -> None:
        if self.closed_at:
            raise Conflict("This renewal is taken care of already")
        self.closed_at, self.closed_by = now, actor


def add_months(day: date, months: int) -> date:
    """Return the same day so many months later; the last day of a month that is shorter."""
    years, month_index = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month_index + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def set_renewal(
    order: Order, renewal: Renewal | None, day: date, months: int | None
) -> Renewal | None:
    """Return the renewal of a check that was completed on `day`; None for one without a limit."""
    if months is None:
        return None
    renewal = renewal or Renewal(order_id=order.id)
    renewal.renew_on = add_months(day, months)
    renewal.closed_at, renewal.closed_by = None, ""
    return renewal


def close_renewals(session: Session, order_ids: Iterable[int], now: datetime) -> None:
    """Close the renewals of checks that a newer one has replaced."""
    query = select(Renewal).where(
        Renewal.order_id.in_(list(order_ids)), Renewal.closed_at.is_(None)
    )
    for renewal in session.scalars(query):
        renewal.close("system", now)


def select_due_renewals(today: date) -> Select[Any]:
    """Return the query for the orders of the open renewals whose reminder is due, as ids."""
    is_due = Renewal.renew_on <= today + REMINDED_BEFORE
    return select(Renewal.order_id).where(Renewal.closed_at.is_(None), is_due)


def list_due_renewals(
    session: Session, now: datetime, limit: int = MAX_LISTED_RENEWALS
) -> Sequence[tuple[Renewal, Order]]:
    """Return the open renewals whose reminder is due, with their orders; the earliest first."""
    query = (
        select(Renewal, Order)
        .join(Order, Order.id == Renewal.order_id)
        .where(Renewal.closed_at.is_(None), Renewal.renew_on <= _horizon(now))
        .order_by(Renewal.renew_on, Renewal.order_id)
        .limit(limit)
    )
    return [(renewal, order) for renewal, order in session.execute(query)]


def find_renewals_to_report(session: Session, now: datetime) -> Mapping[int, Sequence[str]]:
    """Return the checks to renew by account id, as public ids. Sandboxes are for trials."""
    query = (
        select(Order.account_id, Order.public_id)
        .join(Renewal, Renewal.order_id == Order.id)
        .join(Account, Account.id == Order.account_id)
        .where(Renewal.closed_at.is_(None), Renewal.renew_on <= _horizon(now), ~Account.sandbox)
        .order_by(Renewal.renew_on, Renewal.order_id)
        .limit(MAX_LISTED_RENEWALS)
    )
    checks: dict[int, list[str]] = {}
    for account_id, public_id in session.execute(query):
        checks.setdefault(account_id, []).append(public_id)
    return checks


def _horizon(now: datetime) -> date:
    return (now + REMINDED_BEFORE).date()
