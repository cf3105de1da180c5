"""What an ATS asks for most, without building objects: the status of one order, a list's rows."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, select
from sqlalchemy.orm import Session

from provider.accounts import Caller
from provider.accounts.account import FRESH, MOST_KNOWN
from provider.db import Database
from provider.errors import NotFound
from provider.orders.link import PDF, REPORT, Link
from provider.orders.order import COMPLETED, Order, Result
from provider.orders.product import listed
from provider.statements import Glance, Ready, so_many
from provider.vault import Vault


class Shown(NamedTuple):
    """What an ATS may see of a result; its columns."""

    score: float | None = None
    grade: str | None = None
    summary: str = ""
    details: Mapping[str, Any] = MappingProxyType({})
    figures: Mapping[str, Any] = MappingProxyType({})
    duration: int | None = None


_ORDERS = Order.__table__.c
_STATUS = Ready(
    select(_ORDERS.status).where(
        _ORDERS.public_id == bindparam("public_id"),
        _ORDERS.account_id == bindparam("account_id"),
        _ORDERS.kind == bindparam("kind"),
    )
)
_SHOWN = (
    select(
        _ORDERS.status,
        *(
            Link.lasting(_ORDERS.id, purpose).correlate(Order).scalar_subquery()
            for purpose in (REPORT, PDF)
        ),
        *(Result.__table__.c[name] for name in Shown._fields),
    )
    .join_from(Order, Result)
    .where(_ORDERS.public_id == bindparam("public_id"))
    .order_by(Result.id.desc())
    .limit(so_many(1))
)
_STANDING = Ready(_SHOWN.where(_ORDERS.account_id == bindparam("account_id")))
_KEPT = Ready(_SHOWN.where(Result.id == bindparam("result_id")))
_SHOWN_BY = {"products", "versions", "accounts", "account_products"}

Rows = Sequence[Row[str, str]]


def status_of(door: Session | Glance, kind: str, public_id: str, account_id: int) -> str:
    """Return the status of an account's order of a kind; NotFound."""
    row = None
    if len(public_id) <= 22 and "\x00" not in public_id:
        told = {"kind": kind, "public_id": public_id, "account_id": account_id}
        row = _STATUS.row(door, told)
    if row is None:
        raise NotFound("There is no such order")
    return str(row[0])


def result_of(
    door: Session | Glance, keeper: Vault, public_id: str, account_id: int
) -> tuple[Shown, dict[str, str]] | None:
    """Return a completed order's result and its links' tokens by purpose; None for any other."""
    row = _STANDING.row(door, {"public_id": public_id, "account_id": account_id})
    return _shown(row, keeper, public_id) if row and row[0] == COMPLETED else None


def result_kept(
    door: Session | Glance, keeper: Vault, public_id: str, result_id: int
) -> tuple[Shown, dict[str, str]]:
    """Return one result that an order has or had, and the tokens of its links by purpose."""
    row = _KEPT.row(door, {"public_id": public_id, "result_id": result_id})
    if row is None:
        raise NotFound("There is no such result")
    return _shown(row, keeper, public_id)


def _shown(row: Sequence[Any], keeper: Vault, public_id: str) -> tuple[Shown, dict[str, str]]:
    sealed = {purpose: row[n] for n, purpose in enumerate((REPORT, PDF), 1) if row[n]}
    tokens = {name: Link.reveal(keeper, it, public_id, name) for name, it in sealed.items()}
    return Shown(*row[3:]), tokens


class Catalogue:
    """What each account may pick; remembered until a write here, and at most five seconds."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[tuple[str, int, bool, bool], tuple[datetime, Rows]] = {}
        self._lock = threading.Lock()
        db.on_write.append(self._forget)

    def listed(self, kind: str, caller: Caller, at: datetime) -> Rows:
        """Return (public id, name) of the published products that an account may see, by name."""
        key = (kind, caller.account_id, caller.sees_all, caller.sandbox)
        cached = self._known.get(key)
        if cached and cached[0] <= at < cached[0] + FRESH:
            return cached[1]
        known = self._known
        with self._db.reading() as session:
            rows = listed(session, kind, caller)
        with self._lock:
            # Into what was there before the look: if a write came between, that is gone by now.
            if len(known) >= MOST_KNOWN:
                known.clear()
            known[key] = (at, rows)
        return rows

    def _forget(self, tables: set[str]) -> None:
        if tables & _SHOWN_BY:
            with self._lock:
                self._known = {}
