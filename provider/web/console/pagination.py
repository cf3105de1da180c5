"""Tables that page by key: flat however long they grow, and steady while rows arrive."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from sqlalchemy import ColumnElement, Row, Select, select, tuple_, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from provider.errors import Invalid, NotFound

PAGE_SIZE = 50  # rows of a page
MAX_ID_LENGTH = 22

Column = InstrumentedAttribute[Any]


@dataclass(frozen=True)
class Page:
    """One page of rows, and the marks with which to ask for the pages around it."""

    rows: Sequence[Row[Any]]
    previous_cursor: str | None  # give it as `after`
    next_cursor: str | None  # give it as `before`


@dataclass(frozen=True)
class Sorting:
    """What a table is sorted by: the last column is unique, `mark` is its public id."""

    cursor_column: Column
    columns: tuple[Column, ...]
    descending: bool = True

    def cursor_values(self, session: Session, cursor: str) -> tuple[Any, ...]:
        """Return the values of the row with this public id; NotFound."""
        row = None
        if is_plausible_id(cursor):
            row = session.execute(
                select(*self.columns).where(self.cursor_column == cursor)
            ).one_or_none()
        if row is None:
            raise NotFound("This page of the list is gone: begin again at its start")
        return tuple(row)


def paginate(
    session: Session,
    query: Select[Any],
    sorting: Sorting,
    partitions: Sequence[ColumnElement[bool]] = (),
) -> Page:
    """Return the page that the request asks for by `before` or `after`; rows have `public_id`.

    Where the rows are those of several `piles`, each in an index's order, only the first of each
    are looked at.
    """
    before, after = request.args.get("before"), request.args.get("after")
    backwards = bool(after and not before)
    falling = sorting.descending != backwards
    order = [column.desc() if falling else column.asc() for column in sorting.columns]
    conditions: list[ColumnElement[bool]] = []
    if mark := before or after:
        here, there = tuple_(*sorting.columns), tuple_(*sorting.cursor_values(session, mark))
        conditions.append(here < there if falling else here > there)
    if partitions:
        marks = (
            select(sorting.cursor_column).where(*conditions).order_by(*order).limit(PAGE_SIZE + 1)
        )
        tops = (select(marks.where(pile).subquery()) for pile in partitions)
        conditions.append(sorting.cursor_column.in_(union_all(*tops)))
    query = query.where(*conditions).order_by(*order).limit(PAGE_SIZE + 1)
    rows = list(session.execute(query).all())
    more, rows = len(rows) > PAGE_SIZE, rows[:PAGE_SIZE]
    if backwards:
        rows.reverse()
    ends = (more, True) if backwards else (bool(mark), more)
    return Page(
        rows,
        previous_cursor=rows[0].public_id if rows and ends[0] else None,
        next_cursor=rows[-1].public_id if rows and ends[1] else None,
    )


def is_plausible_id(public_id: str) -> bool:
    """Say whether a text could be a public id."""
    return 0 < len(public_id) <= MAX_ID_LENGTH and "\x00" not in public_id


def read_filter_value(name: str, choices: Iterable[str]) -> str:
    """Return a filter of the request, empty for all; Invalid when it is none of the choices."""
    value = request.values.get(name, "")
    if value and value not in choices:
        raise Invalid(f"The list cannot be narrowed like this: choose the {name} again")
    return value
