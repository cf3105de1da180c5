"""The list of orders: its filter, read from a request, and its rows, for the page and the file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from flask import request
from sqlalchemy import ColumnElement, Row, Select, and_, select, true
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.candidate_names import CandidateNames, label_of
from provider.core.formats import load_time_zone
from provider.core.kinds import KINDS, waited_for_values
from provider.core.labels import label_for
from provider.core.orders import COMPLETED, STATUSES, WAITING_FOR, Candidate, Order, Result
from provider.core.orders.candidate_emails import has_bounced_invitation
from provider.core.orders.filters import OrderFilters
from provider.core.orders.search import find_order_ids
from provider.core.products import Product
from provider.errors import Invalid
from provider.storage.database import Database
from provider.web.console import pagination
from provider.web.console.authentication import candidate_names, current_staff
from provider.web.console.pagination import (
    Page,
    Sorting,
    paginate,
    read_cursor,
    read_filter_value,
)

NEWEST_FIRST = Sorting(Order.public_id, (Order.id,))
COLUMNS: tuple[Any, ...] = (
    Order.id,
    Order.public_id,
    Order.kind,
    Order.status,
    Order.progress,
    Order.waiting_for,
    Order.job_title,
    Order.job_reference,
    Order.placed_at,
    Order.expires_at,
    Order.finished_at,
    Candidate.first_name,
    Candidate.last_name,
    Candidate.email,
    Product.name.label("product"),
    Account.name.label("account"),
    Account.sandbox,
)
# The columns of the arguments whose value is compared; those of accounts and products are ids.
EQUAL_COLUMNS: Mapping[str, Any] = {
    "kind": Order.kind,
    "status": Order.status,
    "waiting_for": Order.waiting_for,
}
DATE_NAMES = ("from", "to")  # the first and the last day
FILTER_NAMES = (*EQUAL_COLUMNS, "invitation", "account", "product", *DATE_NAMES)
MAX_QUERY_LENGTH = 2000  # characters; a callback address may be long
MAX_ACCOUNT_PARTITIONS = 20  # accounts; with more, one scan is quicker
BATCH_SIZE = 1000  # rows of one transaction, when all rows are read

Choices = Mapping[str, Sequence[tuple[str, str]]]


@dataclass(frozen=True)
class OrderFilter:
    """The filter of a request. `values` has its arguments but the search and empty ones.

    `words` are those of the search, which an order must have.
    """

    values: Mapping[str, str]
    query: str  # the text of the search
    words: Sequence[str]
    conditions: OrderFilters
    needs_partitions: bool
    timezone: str  # of the days

    @property
    def is_active(self) -> bool:
        return bool(self.values or self.query)

    @property
    def args(self) -> dict[str, str]:
        """The arguments of the list's address."""
        return {**self.values, **({"q": self.query} if self.query else {})}


def filter_choices(session: Session) -> Choices:
    """Return the values of each menu, with their labels."""
    products = select(Product.public_id, Product.name).order_by(Product.name, Product.id)
    return {
        "kind": [(kind, label_for("kind", kind)) for kind in KINDS],
        "status": [(status, label_for("status", status)) for status in STATUSES],
        "waiting_for": [
            (value, label_for("waiting_for", value))
            for value in WAITING_FOR
            if value in waited_for_values()
        ],
        "invitation": [("bounced", "Could not be delivered")],
        "account": list_account_names(session),
        "product": [(row.public_id, row.name) for row in session.execute(products)],
    }


def list_account_names(session: Session) -> list[tuple[str, str]]:
    """Return (public id, name) of all accounts, sorted by name."""
    rows = session.execute(select(Account.public_id, Account.name).order_by(Account.name))
    return [(row.public_id, row.name) for row in rows]


def read_filter(session: Session, choices: Choices) -> OrderFilter:
    """Return the filter of the request. Raises Invalid for an unknown value or a wrong date."""
    values = {
        name: read_filter_value(name, [value for value, _ in options])
        for name, options in choices.items()
    }
    days = {name: _read_date(name) for name in DATE_NAMES}
    values |= {name: day.isoformat() for name, day in days.items() if day}
    equal: list[tuple[Any, Any]] = [
        (column, values[name]) for name, column in EQUAL_COLUMNS.items() if values[name]
    ]
    timezone = "UTC"
    if values["account"]:
        account = session.scalars(
            select(Account).where(Account.public_id == values["account"])
        ).one()
        equal.append((Order.account_id, account.id))
        timezone = account.timezone
    if values["product"]:
        product_id = select(Product.id).where(Product.public_id == values["product"])
        equal.append((Order.product_id, session.scalar(product_id)))
    moments = _moments(days["from"], days["to"], timezone)
    bounced = [has_bounced_invitation()] if values["invitation"] else []
    query = request.values.get("q", "").strip()[:MAX_QUERY_LENGTH]
    words = candidate_names().read_query(query)
    of_search = candidate_names().search_conditions(words)
    account_ids = current_staff().account_ids
    # Few orders wait or have a bounced invitation, so one index is quick.
    is_narrow = bool(values["waiting_for"] or values["invitation"])
    is_by_status = any(values[name] for name in ("kind", "account", "product"))
    return OrderFilter(
        values={name: value for name, value in values.items() if value},
        query=query,
        words=words,
        conditions=OrderFilters.placed_between(
            session, *moments, equal, *bounced, *of_search, account_ids=account_ids
        ),
        # The accounts of a limited person are part of each partition.
        needs_partitions=not is_narrow
        and (account_ids is not None or (is_by_status and not values["status"])),
        timezone=timezone,
    )


def _read_date(name: str) -> date | None:
    value = request.values.get(name, "").strip()
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise Invalid("A day should be a date such as 2026-11-23: go back and correct it") from None


def _moments(
    first: date | None, last: date | None, timezone: str
) -> tuple[datetime | None, datetime | None]:
    """Return when the first day begins, and when the last day is over."""
    if first and last and last < first:
        raise Invalid("The last day is before the first one: go back and correct it")
    try:
        return (
            _midnight(first, timezone) if first else None,
            _midnight(last + timedelta(days=1), timezone) if last else None,
        )
    except OverflowError:
        raise Invalid("This day is too far away: go back and correct it") from None


def _midnight(day: date, timezone: str) -> datetime:
    midnight = datetime(day.year, day.month, day.day, tzinfo=load_time_zone(timezone))
    # In the first and the last year UTC may have another year, which no database has.
    if not 1 < midnight.year < 9999:
        raise OverflowError
    return midnight


def find_page(session: Session, order_filter: OrderFilter) -> Page:
    """Return the page of the list that the request asks for."""
    query = _row_query()
    if order_filter.query:
        return paginate(session, query.where(_is_found(session, order_filter)), NEWEST_FIRST)
    conditions = order_filter.conditions.indexed()
    if not order_filter.needs_partitions:
        return paginate(session, query, NEWEST_FIRST, [and_(true(), *conditions)])
    # The indexes contain the status.
    status = order_filter.values.get("status")
    partitions = [
        and_(*conditions, *of_account, Order.status == value)
        for of_account in _account_conditions()
        for value in ([status] if status else STATUSES)
    ]
    return paginate(session, query, NEWEST_FIRST, partitions)


def _account_conditions() -> list[tuple[ColumnElement[bool], ...]]:
    """Return a condition for each account of a limited person; one empty condition otherwise."""
    account_ids = current_staff().account_ids
    if account_ids is None or len(account_ids) > MAX_ACCOUNT_PARTITIONS:
        return [()]
    return [(Order.account_id == account_id,) for account_id in account_ids]


def list_matching_ids(session: Session, order_filter: OrderFilter, limit: int) -> list[str]:
    """Return the public ids of the newest orders that match the filter."""
    ids = _next_ids(session, order_filter, None, limit)
    query = select(Order.public_id).where(Order.id.in_(ids)).order_by(Order.id.desc())
    return list(session.scalars(query))


def read_all_rows(
    db: Database, order_filter: OrderFilter, names: CandidateNames
) -> Iterator[tuple[Row[Any], float | None, bool]]:
    """Yield each row of the list, its score, and whether its candidate's name is hidden.

    The newest row comes first. Each transaction reads a batch.
    """
    last_id: int | None = None
    while True:
        with db.reading() as session:
            ids = _next_ids(session, order_filter, last_id, BATCH_SIZE)
            query = _row_query().where(Order.id.in_(ids)).order_by(Order.id.desc())
            rows = session.execute(query).all()
            scores = current_scores(session, rows)
            hidden = names.list_hidden(session, ids)
        for row in rows:
            yield row, scores.get(row.id), row.id in hidden
        if len(ids) < BATCH_SIZE:
            return
        last_id = ids[-1]


def current_scores(session: Session, rows: Sequence[Any]) -> dict[int, float]:
    """Return the scores of the rows' last results by the order's id; completed orders have one."""
    ids = [row.id for row in rows if row.status == COMPLETED]
    query = select(Result.order_id, Result.score).where(Result.order_id.in_(ids))
    scores = dict(session.execute(query.order_by(Result.id)).all())
    return {order_id: score for order_id, score in scores.items() if score is not None}


def row_names(session: Session, rows: Sequence[Any]) -> dict[int, str]:
    """Return the name of each row's candidate, or the label that hides it, by the order's id."""
    hidden = candidate_names().list_hidden(session, [row.id for row in rows])
    return {
        row.id: label_of(row.public_id)
        if row.id in hidden
        else f"{row.first_name} {row.last_name}".strip() or row.email
        for row in rows
    }


def _row_query() -> Select[Any]:
    return (
        select(*COLUMNS)
        .join(Candidate, Order.candidate_id == Candidate.id)
        .join(Product, Order.product_id == Product.id)
        .join(Account, Order.account_id == Account.id)
    )


def _is_found(session: Session, order_filter: OrderFilter) -> Any:
    """Return the condition that an order is one of the page's and matches the search."""
    cursor, is_backwards = read_cursor(session, NEWEST_FIRST)
    order_id = cursor[0] if cursor else None
    ids = find_order_ids(
        session,
        order_filter.words,
        order_filter.conditions,
        pagination.PAGE_SIZE + 1,
        before=None if is_backwards else order_id,
        after=order_id if is_backwards else None,
    )
    return Order.id.in_(ids)


def _next_ids(
    session: Session, order_filter: OrderFilter, last_id: int | None, count: int
) -> Sequence[int]:
    if order_filter.query:
        words, conditions = order_filter.words, order_filter.conditions
        return find_order_ids(session, words, conditions, count, before=last_id)
    query = select(Order.id).where(*order_filter.conditions.scanned())
    if last_id is not None:
        query = query.where(Order.id < last_id)
    return session.scalars(query.order_by(Order.id.desc()).limit(count)).all()
