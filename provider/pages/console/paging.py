"""Tables that page by key: flat however long they grow, and steady while rows arrive."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from sqlalchemy import ColumnElement, Row, Select, select, tuple_, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from provider.errors import Invalid, NotFound

SIZE = 50  # rows of a page
ID_LENGTH = 22

Column = InstrumentedAttribute[Any]


@dataclass(frozen=True)
class Shelf:
    """One page of rows, and the marks with which to ask for the pages around it."""

    rows: Sequence[Row[Any]]
    back: str | None  # give it as `after`
    on: str | None  # give it as `before`


@dataclass(frozen=True)
class Sorting:
    """What a table is sorted by: the last column is unique, `mark` is its public id."""

    mark: Column
    columns: tuple[Column, ...]
    falling: bool = True

    def place(self, session: Session, mark: str) -> tuple[Any, ...]:
        """Return the values of the row with this public id; NotFound."""
        row = None
        if plausible(mark):
            row = session.execute(select(*self.columns).where(self.mark == mark)).one_or_none()
        if row is None:
            raise NotFound("This page of the list is gone: begin again at its start")
        return tuple(row)


def shelf(
    session: Session,
    query: Select[Any],
    by: Sorting,
    piles: Sequence[ColumnElement[bool]] = (),
) -> Shelf:
    """Return the page that the request asks for by `before` or `after`; rows have `public_id`.

    Where the rows are those of several `piles`, each in an index's order, only the first of each
    are looked at.
    """
    before, after = request.args.get("before"), request.args.get("after")
    backwards = bool(after and not before)
    falling = by.falling != backwards
    order = [column.desc() if falling else column.asc() for column in by.columns]
    conditions: list[ColumnElement[bool]] = []
    if mark := before or after:
        here, there = tuple_(*by.columns), tuple_(*by.place(session, mark))
        conditions.append(here < there if falling else here > there)
    if piles:
        marks = select(by.mark).where(*conditions).order_by(*order).limit(SIZE + 1)
        tops = (select(marks.where(pile).subquery()) for pile in piles)
        conditions.append(by.mark.in_(union_all(*tops)))
    query = query.where(*conditions).order_by(*order).limit(SIZE + 1)
    rows = list(session.execute(query).all())
    more, rows = len(rows) > SIZE, rows[:SIZE]
    if backwards:
        rows.reverse()
    ends = (more, True) if backwards else (bool(mark), more)
    return Shelf(
        rows,
        back=rows[0].public_id if rows and ends[0] else None,
        on=rows[-1].public_id if rows and ends[1] else None,
    )


def plausible(public_id: str) -> bool:
    """Say whether a text could be a public id."""
    return 0 < len(public_id) <= ID_LENGTH and "\x00" not in public_id


def chosen(name: str, choices: Iterable[str]) -> str:
    """Return a filter of the request, empty for all; Invalid when it is none of the choices."""
    value = request.values.get(name, "")
    if value and value not in choices:
        raise Invalid(f"The list cannot be narrowed like this: choose the {name} again")
    return value
