"""The read model for the most frequent requests of an ATS: statuses, results, product lists.

Its queries are compiled once and read rows instead of ORM objects, which is faster.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, select
from sqlalchemy.orm import Session

from provider.core.accounts import Caller
from provider.core.accounts.account import CACHE_TTL, MAX_CACHE_ENTRIES
from provider.core.orders.history import Result
from provider.core.orders.link import PDF, REPORT, Link
from provider.core.orders.order import Order
from provider.core.orders.states import COMPLETED
from provider.core.products.product import list_published_products
from provider.errors import NotFound
from provider.storage.compiled import CompiledQuery, RawConnection, literal_limit
from provider.storage.database import Database
from provider.storage.secrets import SecretBox


class ResultView(NamedTuple):
    """The columns of a result that an ATS may see."""

    score: float | None = None
    grade: str | None = None
    summary: str = ""
    details: Mapping[str, Any] = MappingProxyType({})
    figures: Mapping[str, Any] = MappingProxyType({})
    duration: int | None = None


_ORDER_COLUMNS = Order.__table__.c
_STATUS_QUERY = CompiledQuery(
    select(_ORDER_COLUMNS.status).where(
        _ORDER_COLUMNS.public_id == bindparam("public_id"),
        _ORDER_COLUMNS.account_id == bindparam("account_id"),
        _ORDER_COLUMNS.kind == bindparam("kind"),
    )
)
_RESULT_SELECT = (
    select(
        _ORDER_COLUMNS.status,
        *(
            Link.permanent_token_query(_ORDER_COLUMNS.id, purpose)
            .correlate(Order)
            .scalar_subquery()
            for purpose in (REPORT, PDF)
        ),
        *(Result.__table__.c[name] for name in ResultView._fields),
    )
    .join_from(Order, Result)
    .where(_ORDER_COLUMNS.public_id == bindparam("public_id"))
    .order_by(Result.id.desc())
    .limit(literal_limit(1))
)
_CURRENT_RESULT_QUERY = CompiledQuery(
    _RESULT_SELECT.where(_ORDER_COLUMNS.account_id == bindparam("account_id"))
)
_RESULT_BY_ID_QUERY = CompiledQuery(_RESULT_SELECT.where(Result.id == bindparam("result_id")))
_PRODUCT_LIST_TABLES = {"products", "product_versions", "accounts", "account_products"}

Rows = Sequence[Row[str, str]]


def get_order_status(
    session: Session | RawConnection, kind: str, public_id: str, account_id: int
) -> str:
    """Return the status of an order. Raises NotFound for another account's or another kind's id."""
    row = None
    if len(public_id) <= 22 and "\x00" not in public_id:
        params = {"kind": kind, "public_id": public_id, "account_id": account_id}
        row = _STATUS_QUERY.fetch_one(session, params)
    if row is None:
        raise NotFound("There is no such order")
    return str(row[0])


def get_current_result(
    session: Session | RawConnection, secret_box: SecretBox, public_id: str, account_id: int
) -> tuple[ResultView, dict[str, str]] | None:
    """Return the result of a completed order and the tokens of its links by purpose.

    Returns None for an order that is unknown or not completed.
    """
    row = _CURRENT_RESULT_QUERY.fetch_one(
        session, {"public_id": public_id, "account_id": account_id}
    )
    return _result_view(row, secret_box, public_id) if row and row[0] == COMPLETED else None


def get_result(
    session: Session | RawConnection, secret_box: SecretBox, public_id: str, result_id: int
) -> tuple[ResultView, dict[str, str]]:
    """Return a current or earlier result of an order, and the tokens of its links by purpose."""
    row = _RESULT_BY_ID_QUERY.fetch_one(session, {"public_id": public_id, "result_id": result_id})
    if row is None:
        raise NotFound("There is no such result")
    return _result_view(row, secret_box, public_id)


def _result_view(
    row: Sequence[Any], secret_box: SecretBox, public_id: str
) -> tuple[ResultView, dict[str, str]]:
    encrypted_tokens = dict(zip((REPORT, PDF), row[1:3], strict=True))
    tokens = {
        purpose: Link.decrypt_token(secret_box, token_encrypted, public_id, purpose)
        for purpose, token_encrypted in encrypted_tokens.items()
        if token_encrypted
    }
    return ResultView(*row[3:]), tokens


class ProductListCache:
    """A cache of each account's product list.

    A write in this process clears the cache. Entries expire after CACHE_TTL, because another
    process may have written.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._cache: dict[tuple[str, int, bool, bool], tuple[datetime, Rows]] = {}
        self._lock = threading.Lock()
        db.on_write.append(self._invalidate)

    def get(self, kind: str, caller: Caller, now: datetime) -> Rows:
        """Return (public id, name) of the published products that an account may see, by name."""
        key = (kind, caller.account_id, caller.all_products, caller.sandbox)
        cached = self._cache.get(key)
        if cached and cached[0] <= now < cached[0] + CACHE_TTL:
            return cached[1]
        cache = self._cache
        with self._db.reading() as session:
            rows = list_published_products(session, kind, caller)
        with self._lock:
            # `cache` was read before the query. If a write has replaced self._cache since then, the
            # outdated rows go into the discarded dictionary.
            if len(cache) >= MAX_CACHE_ENTRIES:
                cache.clear()
            cache[key] = (now, rows)
        return rows

    def _invalidate(self, tables: set[str]) -> None:
        if tables & _PRODUCT_LIST_TABLES:
            with self._lock:
                self._cache = {}
