"""Read and write a table's rows as plain values that are equal on every database.

A plain value is SQLite's form: datetimes as text in UTC, dates in ISO 8601, booleans as 1 and 0,
JSON as the text that was stored. SQLite's rows therefore need no conversion.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Date, Integer, String, Table
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from provider.errors import Conflict
from provider.storage.database import UtcDateTime

BATCH_SIZE = 2000  # rows in memory, and rows of one commit

Row = tuple[Any, ...]
ValueConverter = Callable[[Any], Any]


def read_batches(
    session: Session, table: Table, *, after_key: Row | None = None, up_to_key: Row | None = None
) -> Iterator[list[Row]]:
    """Yield the rows in the order of their primary key, after one key and up to another."""
    key_columns, placeholder = _order_by_columns(session, table), _placeholder(session)
    bounds = [
        (key, operator)
        for key, operator in ((after_key, ">"), (up_to_key, "<="))
        if key is not None
    ]
    key_sql = f"({', '.join(key_columns)})"
    values_sql = f"({', '.join(placeholder for _ in key_columns)})"
    conditions = [f"{key_sql} {operator} {values_sql}" for _, operator in bounds]
    sql = (
        f"SELECT {', '.join(map(_select_expression, table.columns))} FROM {_quoted_name(table)}"  # noqa: S608
        f"{' WHERE ' if conditions else ''}{' AND '.join(conditions)} "
        f"ORDER BY {', '.join(key_columns)}"
    )
    params = tuple(value for key, _ in bounds for value in key)
    converters = _converters(session, table, _TO_PLAIN)
    # Without these options PostgreSQL's driver loads the whole table.
    options = {"stream_results": True, "max_row_buffer": BATCH_SIZE}
    result = session.connection().exec_driver_sql(sql, params, options)
    for batch in result.partitions(BATCH_SIZE):
        yield [_convert_row(row, converters) for row in batch]


def count_rows(session: Session, table: Table) -> int:
    result = session.connection().exec_driver_sql(f"SELECT count(*) FROM {_quoted_name(table)}")  # noqa: S608
    return int(result.scalar_one())


def last_key(session: Session, table: Table) -> Row | None:
    """Return the highest primary key; None if the table is empty."""
    names = ", ".join(map(_quoted_name, table.primary_key))
    descending = ", ".join(f"{column} DESC" for column in _order_by_columns(session, table))
    sql = f"SELECT {names} FROM {_quoted_name(table)} ORDER BY {descending} LIMIT 1"  # noqa: S608
    row = session.connection().exec_driver_sql(sql).first()
    return tuple(row) if row else None


def insert_rows(session: Session, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; Conflict names the first row that the database refuses."""
    try:
        _insert(session, table, rows)
    except (DataError, IntegrityError):
        for row in rows:
            _insert_one(session, table, row)
        raise


def _insert(session: Session, table: Table, rows: Sequence[Row]) -> None:
    names = ", ".join(map(_quoted_name, table.columns))
    values = ", ".join(_placeholder(session) for _ in table.columns)
    converters = _converters(session, table, _FROM_PLAIN)
    with session.begin_nested():
        session.connection().exec_driver_sql(
            f"INSERT INTO {_quoted_name(table)} ({names}) VALUES ({values})",  # noqa: S608
            [_convert_row(row, converters) for row in rows],
        )


def _insert_one(session: Session, table: Table, row: Row) -> None:
    try:
        _insert(session, table, [row])
    except (DataError, IntegrityError) as error:
        values = dict(zip(table.columns, row, strict=True))
        key = ", ".join(f"{column.name} {values[column]}" for column in table.primary_key)
        problems = (_unsupported_value(column, value) for column, value in values.items())
        reason = next(filter(None, problems), str(error.orig))
        raise Conflict(f"The target refuses {table.name} {key}: {reason}") from error


def _unsupported_value(column: Column[Any], value: Any) -> str | None:
    """Explain a value that SQLite can store and PostgreSQL cannot."""
    max_length = getattr(column.type, "length", None)
    if isinstance(value, str) and "\0" in value:
        return f"its {column.name} contains a NUL character"
    if isinstance(value, str) and max_length and len(value) > max_length:
        return f"its {column.name} is {len(value)} characters long, the maximum is {max_length}"
    if isinstance(column.type, Integer) and value is not None:
        maximum = 2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1
        if abs(value) > maximum:
            return f"its {column.name} is {value}, the maximum is {maximum}"
    return None


def _select_expression(column: Column[Any]) -> str:
    return (
        f"CAST({_quoted_name(column)} AS TEXT)"
        if isinstance(column.type, JSON)
        else _quoted_name(column)
    )


def _order_by_columns(session: Session, table: Table) -> list[str]:
    """Return the ORDER BY terms; text by its bytes, because each database has another collation."""
    bytewise = "BINARY" if _is_sqlite(session) else '"C"'
    return [
        f"{_quoted_name(column)} COLLATE {bytewise}"
        if isinstance(column.type, String)
        else _quoted_name(column)
        for column in table.primary_key
    ]


def _quoted_name(table_or_column: Table | Column[Any]) -> str:
    return f'"{table_or_column.name}"'


def _placeholder(session: Session) -> str:
    return "?" if _is_sqlite(session) else "%s"


def _utc_text(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


_TO_PLAIN: dict[type, ValueConverter] = {
    UtcDateTime: _utc_text,
    Date: date.isoformat,
    Boolean: int,
}
_FROM_PLAIN: dict[type, ValueConverter] = {
    UtcDateTime: "{}+00".format,
    Date: date.fromisoformat,
    Boolean: bool,
}


def _converters(
    session: Session, table: Table, converters_by_type: dict[type, ValueConverter]
) -> list[tuple[int, ValueConverter]]:
    """Return the index and the converter of each column that needs one."""
    if _is_sqlite(session):
        return []
    pairs = (
        (index, converters_by_type.get(type(column.type)))
        for index, column in enumerate(table.columns)
    )
    return [(index, convert) for index, convert in pairs if convert]


def _convert_row(row: Sequence[Any], converters: Sequence[tuple[int, ValueConverter]]) -> Row:
    if not converters:
        return tuple(row)
    values = list(row)
    for index, convert in converters:
        if values[index] is not None:
            values[index] = convert(values[index])
    return tuple(values)


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"
