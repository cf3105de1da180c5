"""A table's rows as plain values: the same whichever database they come from or go to.

Plain is what SQLite keeps: moments as text in UTC, yes and no as 1 and 0, JSON as it was written.
So most rows pass untouched.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    Select,
    String,
    Table,
    Text,
    cast,
    collate,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from provider.db import UtcDateTime
from provider.errors import Conflict

BATCH = 2000  # rows that are in memory, and of one commit

Row = tuple[Any, ...]
Turn = Callable[[Any], Any]


def batches(
    session: Session, table: Table, *, after: Row | None = None, upto: Row | None = None
) -> Iterator[list[Row]]:
    """Return the rows in the order of their keys, those between two keys only if told so."""
    key = _key(session, table)
    query: Select[Any] = select(*_columns(session, table)).order_by(*key)
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    if upto is not None:
        query = query.where(tuple_(*key) <= tuple_(*upto))
    turns = _turns(session, table, _TO_PLAIN)
    for part in session.execute(query, execution_options={"yield_per": BATCH}).partitions():
        yield [_turned(row, turns) for row in part]


def last(session: Session, table: Table) -> Row | None:
    """Return the highest key; None of an empty table."""
    highest = [each.desc() for each in _key(session, table)]
    found = session.execute(select(*table.primary_key).order_by(*highest).limit(1)).first()
    return tuple(found) if found else None


def put(session: Session, table: Table, rows: Sequence[Row]) -> None:
    """Write rows; Conflict that names the first one which the database does not take."""
    try:
        _insert(session, table, rows)
    except (DataError, IntegrityError):
        for row in rows:
            _try(session, table, row)
        raise


def _insert(session: Session, table: Table, rows: Sequence[Row]) -> None:
    names = ", ".join(f'"{name}"' for name in table.columns.keys())  # noqa: SIM118
    value = "?" if _is_sqlite(session) else "%s"
    values = ", ".join(value for _ in table.columns)
    turns = _turns(session, table, _FROM_PLAIN)
    with session.begin_nested():
        session.connection().exec_driver_sql(
            f'INSERT INTO "{table.name}" ({names}) VALUES ({values})',  # noqa: S608
            [_turned(row, turns) for row in rows],
        )


def _try(session: Session, table: Table, row: Row) -> None:
    try:
        _insert(session, table, [row])
    except (DataError, IntegrityError) as error:
        told = dict(zip(table.columns, row, strict=True))
        key = ", ".join(f"{each.name} {told[each]}" for each in table.primary_key)
        why = next(filter(None, (_unfit(*each) for each in told.items())), str(error.orig))
        raise Conflict(f"The target does not take {table.name} {key}: {why}") from error


def _unfit(column: Column[Any], value: Any) -> str | None:
    """Say what of a value SQLite holds and PostgreSQL cannot."""
    longest = getattr(column.type, "length", None)
    if isinstance(value, str) and "\0" in value:
        return f"there is a NUL character in its {column.name}"
    if isinstance(value, str) and longest and len(value) > longest:
        return f"its {column.name} is {len(value)} characters long, the most is {longest}"
    if isinstance(column.type, Integer) and value is not None and abs(value) >= 2**31:
        return f"its {column.name} is {value}, the most is {2**31 - 1}"
    return None


def _columns(session: Session, table: Table) -> list[ColumnElement[Any]]:
    raw = NullType() if _is_sqlite(session) else None
    return [
        cast(each, Text) if isinstance(each.type, JSON) else type_coerce(each, raw or each.type)
        for each in table.columns
    ]


def _key(session: Session, table: Table) -> list[ColumnElement[Any]]:
    """Return what rows are ordered by: text by its bytes, for each database has its own order."""
    bytewise = "BINARY" if _is_sqlite(session) else "C"
    return [
        collate(each, bytewise) if isinstance(each.type, String) else each
        for each in table.primary_key
    ]


def _moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


_TO_PLAIN: dict[type, Turn] = {UtcDateTime: _moment, Boolean: int}
_FROM_PLAIN: dict[type, Turn] = {UtcDateTime: "{}+00".format, Boolean: bool}


def _turns(session: Session, table: Table, of: dict[type, Turn]) -> list[tuple[int, Turn]]:
    if _is_sqlite(session):
        return []
    found = ((at, of.get(type(each.type))) for at, each in enumerate(table.columns))
    return [(at, turn) for at, turn in found if turn]


def _turned(row: Sequence[Any], turns: Sequence[tuple[int, Turn]]) -> Row:
    if not turns:
        return tuple(row)
    values = list(row)
    for at, turn in turns:
        if values[at] is not None:
            values[at] = turn(values[at])
    return tuple(values)


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"
