"""Keyset pagination: the cost of a page is constant, and new rows do not shift later pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from sqlalchemy import ColumnElement, Select, select, tuple_, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from provider.errors import Invalid, NotFound

PAGE_SIZE = 50  # rows
MAX_ID_LENGTH = 22  # characters of a public id

Column = InstrumentedAttribute[Any]


@dataclass(frozen=True)
class Page:
    """The rows of one page, and the cursors of its neighbours; None at either end.

    `is_partial` says that the search for rows stopped before the page was full.
    """

    rows: Sequence[Any]
    previous_cursor: str | None  # the `after` argument of the page before
    next_cursor: str | None  # the `before` argument of the page after
    is_partial: bool = False


@dataclass(frozen=True)
class Sorting:
    """The sort columns, of which the last is unique; the cursor column holds the public id."""

    cursor_column: Column
    columns: tuple[Column, ...]
    descending: bool = True

    def cursor_values(self, session: Session, cursor: str) -> tuple[Any, ...]:
        """Return the sort columns of the row with this public id; NotFound without such a row."""
        row = None
        if is_plausible_id(cursor):
            row = session.execute(
                select(*self.columns).where(self.cursor_column == cursor)
            ).one_or_none()
        if row is None:
            raise NotFound("This page of the list no longer exists: go back to its first page")
        return tuple(row)


def paginate(
    session: Session,
    query: Select[Any],
    sorting: Sorting,
    partitions: Sequence[ColumnElement[bool]] = (),
) -> Page:
    """Return the page that the arguments `before` or `after` ask for; rows need a `public_id`.

    `partitions` are disjoint conditions, each with an index in the sort order. The first ids of
    each partition are read first, and then the rows with these ids. One query would let the
    database sort all matching rows, or join them all.
    """
    cursor, is_backwards = read_cursor(session, sorting)
    is_descending = sorting.descending != is_backwards
    order = [in_direction(column, is_descending) for column in sorting.columns]
    conditions: list[ColumnElement[bool]] = []
    if cursor:
        row_key, cursor_key = tuple_(*sorting.columns), tuple_(*cursor)
        conditions.append(row_key < cursor_key if is_descending else row_key > cursor_key)
    if partitions:
        ids = _first_ids(sorting, conditions, is_descending, partitions)
        conditions.append(sorting.cursor_column.in_(session.scalars(ids).all()))
    query = query.where(*conditions).order_by(*order).limit(PAGE_SIZE + 1)
    rows = list(session.execute(query).all())
    has_more, rows = len(rows) > PAGE_SIZE, rows[:PAGE_SIZE]
    if is_backwards:
        rows.reverse()
    has_previous, has_next = (has_more, True) if is_backwards else (bool(cursor), has_more)
    return Page(
        rows,
        previous_cursor=rows[0].public_id if rows and has_previous else None,
        next_cursor=rows[-1].public_id if rows and has_next else None,
    )


def _first_ids(
    sorting: Sorting,
    conditions: Sequence[ColumnElement[bool]],
    is_descending: bool,
    partitions: Sequence[ColumnElement[bool]],
) -> Select[str]:
    """Return the query of the public ids of a page, and of one more row."""
    names = [f"sort_{number}" for number in range(len(sorting.columns))]
    labels = [column.label(name) for column, name in zip(sorting.columns, names, strict=True)]
    first = [
        select(sorting.cursor_column.label("cursor"), *labels)
        .where(partition, *conditions)
        .order_by(*(in_direction(column, is_descending) for column in sorting.columns))
        .limit(PAGE_SIZE + 1)
        .subquery()
        for partition in partitions
    ]
    merged = union_all(*map(select, first)).subquery()
    order = [in_direction(merged.c[name], is_descending) for name in names]
    return select(merged.c.cursor).order_by(*order).limit(PAGE_SIZE + 1)


def in_direction(column: Any, is_descending: bool) -> ColumnElement[Any]:
    """Return an element of ORDER BY."""
    element: ColumnElement[Any] = column.desc() if is_descending else column.asc()
    return element


def read_cursor(session: Session, sorting: Sorting) -> tuple[tuple[Any, ...], bool]:
    """Return the sort columns of the cursor's row, and whether the page is before that row.

    Without a cursor the columns are empty. Raises NotFound as `Sorting.cursor_values` does.
    """
    before, after = request.args.get("before"), request.args.get("after")
    cursor = before or after
    values = sorting.cursor_values(session, cursor) if cursor else ()
    return values, bool(after and not before)


def is_plausible_id(public_id: str) -> bool:
    """Return whether a text can be a public id; PostgreSQL refuses NUL in a parameter."""
    return 0 < len(public_id) <= MAX_ID_LENGTH and "\x00" not in public_id


def read_filter_value(name: str, choices: Iterable[str]) -> str:
    """Return a filter argument of the request, empty for all; Invalid for an unknown choice."""
    value = request.values.get(name, "")
    if value and value not in choices:
        raise Invalid("This filter has no such value: go back and choose it again")
    return value
