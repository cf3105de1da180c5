"""A table's rows as plain values: the same whichever database they come from or go to.

Plain is what SQLite keeps: moments as text in UTC, yes and no as 1 and 0, JSON as it was written.
So most rows pass untouched.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Integer, String, Table
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from provider.errors import Conflict
from provider.storage.database import UtcDateTime

BATCH_SIZE = 2000  # rows that are in memory, and of one commit

Row = tuple[Any, ...]
ValueConverter = Callable[[Any], Any]


def read_batches(
    session: Session, table: Table, *, after_key: Row | None = None, up_to_key: Row | None = None
) -> Iterator[list[Row]]:
    """Return the rows in the order of their keys, those between two keys only if told so."""
    key, value = _order_by_columns(session, table), _placeholder(session)
    bounds = [
        (bound, sign) for bound, sign in ((after_key, ">"), (up_to_key, "<=")) if bound is not None
    ]
    limits = [f"({', '.join(key)}) {sign} ({', '.join(value for _ in key)})" for _, sign in bounds]
    sql = (
        f"SELECT {', '.join(map(_select_expression, table.columns))} FROM {_quoted_name(table)}"  # noqa: S608
        f"{' WHERE ' if limits else ''}{' AND '.join(limits)} ORDER BY {', '.join(key)}"
    )
    told = tuple(part for bound, _ in bounds for part in bound)
    turns = _converters(session, table, _TO_PLAIN)
    # By parts from PostgreSQL, too, whose driver would else fetch all at once.
    options = {"stream_results": True, "max_row_buffer": BATCH_SIZE}
    found = session.connection().exec_driver_sql(sql, told, options)
    for part in found.partitions(BATCH_SIZE):
        yield [_convert_row(row, turns) for row in part]


def count_rows(session: Session, table: Table) -> int:
    """Return how many rows there are."""
    found = session.connection().exec_driver_sql(f"SELECT count(*) FROM {_quoted_name(table)}")  # noqa: S608
    return int(found.scalar_one())


def last_key(session: Session, table: Table) -> Row | None:
    """Return the highest key; None of an empty table."""
    names = ", ".join(map(_quoted_name, table.primary_key))
    highest = ", ".join(f"{each} DESC" for each in _order_by_columns(session, table))
    sql = f"SELECT {names} FROM {_quoted_name(table)} ORDER BY {highest} LIMIT 1"  # noqa: S608
    found = session.connection().exec_driver_sql(sql).first()
    return tuple(found) if found else None


def insert_rows(session: Session, table: Table, rows: Sequence[Row]) -> None:
    """Write rows; Conflict that names the first one which the database does not take."""
    try:
        _insert(session, table, rows)
    except (DataError, IntegrityError):
        for row in rows:
            _insert_one(session, table, row)
        raise


def _insert(session: Session, table: Table, rows: Sequence[Row]) -> None:
    names = ", ".join(map(_quoted_name, table.columns))
    values = ", ".join(_placeholder(session) for _ in table.columns)
    turns = _converters(session, table, _FROM_PLAIN)
    with session.begin_nested():
        session.connection().exec_driver_sql(
            f"INSERT INTO {_quoted_name(table)} ({names}) VALUES ({values})",  # noqa: S608
            [_convert_row(row, turns) for row in rows],
        )


def _insert_one(session: Session, table: Table, row: Row) -> None:
    try:
        _insert(session, table, [row])
    except (DataError, IntegrityError) as error:
        told = dict(zip(table.columns, row, strict=True))
        key = ", ".join(f"{each.name} {told[each]}" for each in table.primary_key)
        why = next(
            filter(None, (_unsupported_value(*each) for each in told.items())), str(error.orig)
        )
        raise Conflict(f"The target does not take {table.name} {key}: {why}") from error


def _unsupported_value(column: Column[Any], value: Any) -> str | None:
    """Say what of a value SQLite holds and PostgreSQL cannot."""
    longest = getattr(column.type, "length", None)
    if isinstance(value, str) and "\0" in value:
        return f"there is a NUL character in its {column.name}"
    if isinstance(value, str) and longest and len(value) > longest:
        return f"its {column.name} is {len(value)} characters long, the most is {longest}"
    if isinstance(column.type, Integer) and value is not None and abs(value) >= 2**31:
        return f"its {column.name} is {value}, the most is {2**31 - 1}"
    return None


def _select_expression(column: Column[Any]) -> str:
    return (
        f"CAST({_quoted_name(column)} AS TEXT)"
        if isinstance(column.type, JSON)
        else _quoted_name(column)
    )


def _order_by_columns(session: Session, table: Table) -> list[str]:
    """Return what rows are ordered by: text by its bytes, for each database has its own order."""
    bytewise = "BINARY" if _is_sqlite(session) else '"C"'
    return [
        f"{_quoted_name(each)} COLLATE {bytewise}"
        if isinstance(each.type, String)
        else _quoted_name(each)
        for each in table.primary_key
    ]


def _quoted_name(table_or_column: Table | Column[Any]) -> str:
    return f'"{table_or_column.name}"'


def _placeholder(session: Session) -> str:
    return "?" if _is_sqlite(session) else "%s"


def _utc_text(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


_TO_PLAIN: dict[type, ValueConverter] = {UtcDateTime: _utc_text, Boolean: int}
_FROM_PLAIN: dict[type, ValueConverter] = {UtcDateTime: "{}+00".format, Boolean: bool}


def _converters(
    session: Session, table: Table, converters_by_type: dict[type, ValueConverter]
) -> list[tuple[int, ValueConverter]]:
    if _is_sqlite(session):
        return []
    found = ((at, converters_by_type.get(type(each.type))) for at, each in enumerate(table.columns))
    return [(at, turn) for at, turn in found if turn]


def _convert_row(row: Sequence[Any], converters: Sequence[tuple[int, ValueConverter]]) -> Row:
    if not converters:
        return tuple(row)
    values = list(row)
    for at, turn in converters:
        if values[at] is not None:
            values[at] = turn(values[at])
    return tuple(values)


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"
