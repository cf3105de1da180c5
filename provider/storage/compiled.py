"""SQL statements that are compiled once and then run by the driver itself.

Only the poll, the dispatcher's claims and the placing of an order use them, because these run most
often, and the console's bounded search, which runs one statement for each account.
SQLAlchemy needs ten times as long to prepare a statement and to wrap its rows as SQLite needs to
run it. Values are converted
by their columns' types, and errors are SQLAlchemy's.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    UpdateBase,
    bindparam,
    literal_column,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.compiler import SQLCompiler

# Converts a value for the driver, or a value that the driver returned; None: unchanged.
Converter = Callable[[Any], Any] | None
# Takes the type code of a result column, and returns the converter of its values.
ConverterFactory = Callable[[Any], Converter]
Row = tuple[Any, ...]
Statement = Select[*tuple[Any, ...]] | UpdateBase


class RawConnection:
    """A driver connection without SQLAlchemy's transaction and without ORM objects."""

    def __init__(self, dialect: Dialect, pooled_connection: PoolProxiedConnection) -> None:
        self.dialect, self.pooled_connection = dialect, pooled_connection
        # Connections with an equal key share their compiled statements.
        self.dialect_key: Hashable = dialect.name, dialect.paramstyle, dialect.dbapi

    def execute(self, sql: str, values: Any = ()) -> Any:
        """Run SQL in the driver's own form; return its cursor. Raises the driver's errors."""
        driver: Any = self.pooled_connection.dbapi_connection
        return driver.execute(sql, values)

    def run(self, sql: str) -> None:
        """Run SQL that has no parameters and no result. Raises SQLAlchemy's errors."""
        try:
            self.execute(sql).close()
        except self.dialect.loaded_dbapi.Error as error:
            raise as_sqlalchemy_error(error, sql, self.dialect) from error


class CompiledQuery:
    """A statement that is compiled at its first run, once for each dialect."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self._compiled: dict[Hashable, _DriverStatement] = {}

    def fetch_all(self, connection: Session | RawConnection, params: dict[str, Any]) -> list[Row]:
        raw = (
            connection if isinstance(connection, RawConnection) else _session_connection(connection)
        )
        statement = self._compiled.get(raw.dialect_key) or self._compile(raw)
        try:
            cursor = raw.execute(statement.sql, statement.bind_values(params))
            try:
                return statement.fetch_rows(cursor)
            finally:
                cursor.close()
        except statement.driver_error as error:
            raise as_sqlalchemy_error(error, statement.sql, raw.dialect) from error

    def fetch_one(self, connection: Session | RawConnection, params: dict[str, Any]) -> Row | None:
        """Return the first row, or None without rows."""
        rows = self.fetch_all(connection, params)
        return rows[0] if rows else None

    def _compile(self, connection: RawConnection) -> "_DriverStatement":
        compiled = self.statement.compile(dialect=connection.dialect)
        assert isinstance(compiled, SQLCompiler)
        driver_statement = _DriverStatement.from_compiled(
            compiled, self.statement, connection.dialect
        )
        self._compiled[connection.dialect_key] = driver_statement
        return driver_statement


class CompiledInQuery:
    """A statement with a list of values, compiled once for each length of the list.

    `build` takes the bind parameters of the values. Only for short lists: each length costs memory.
    """

    def __init__(self, build: Callable[[list[BindParameter[Any]]], Statement]) -> None:
        self._build = build
        self._queries_by_count: dict[int, CompiledQuery] = {}

    def fetch_all(self, connection: Session | RawConnection, values: Sequence[Any]) -> list[Row]:
        params = {f"value{number}": value for number, value in enumerate(values)}
        query = self._queries_by_count.get(len(params))
        if query is None:
            query = CompiledQuery(self._build([bindparam(name) for name in params]))
            self._queries_by_count[len(params)] = query
        return query.fetch_all(connection, params)


def literal_limit(count: int) -> ColumnElement[int]:
    """Return a LIMIT that is part of the SQL text.

    SQLite plans a statement anew at every run if its LIMIT is a parameter beside ORDER BY.
    Planning takes ten times as long as running.
    """
    return literal_column(str(count))


@dataclass(frozen=True)
class _DriverStatement:
    sql: str
    default_params: dict[str, Any]  # values that are part of the statement
    binds: tuple[tuple[str, Converter], ...]
    has_named_params: bool  # False: the driver takes values by position
    converter_factories: tuple[ConverterFactory, ...]
    driver_error: type[Exception]
    # One for each result column; filled at the first run.
    converters: list[Converter] = field(default_factory=list)

    @classmethod
    def from_compiled(
        cls, compiled: SQLCompiler, statement: Statement, dialect: Dialect
    ) -> "_DriverStatement":
        binds = compiled.binds
        return cls(
            sql=str(compiled),
            default_params={name: bind.value for name, bind in binds.items() if not bind.required},
            binds=tuple(
                (name, binds[name].type.dialect_impl(dialect).bind_processor(dialect))
                for name in (compiled.positiontup or binds)
            ),
            has_named_params=not compiled.positional,
            converter_factories=tuple(
                partial(column.type.dialect_impl(dialect).result_processor, dialect)
                for column in statement.exported_columns
            ),
            driver_error=dialect.loaded_dbapi.Error,
        )

    def bind_values(self, params: dict[str, Any]) -> Any:
        """Return the values in the driver's form; KeyError if a value is missing."""
        values = self.default_params | params if self.default_params else params
        if self.has_named_params:
            return {
                name: convert(values[name]) if convert else values[name]
                for name, convert in self.binds
            }
        return [convert(values[name]) if convert else values[name] for name, convert in self.binds]

    def fetch_rows(self, cursor: Any) -> list[Row]:
        if not self.converters and self.converter_factories:
            # The driver names the type of a number only in its answer, not in the statement.
            type_codes = [description[1] for description in cursor.description]
            pairs = zip(self.converter_factories, type_codes, strict=True)
            self.converters[:] = [factory(type_code) for factory, type_code in pairs]
        rows: list[Row] = cursor.fetchall()
        if not any(self.converters):
            return rows
        return [
            tuple(
                [
                    convert(value) if convert else value
                    for convert, value in zip(self.converters, row, strict=True)
                ]
            )
            for row in rows
        ]


def _session_connection(session: Session) -> RawConnection:
    session.flush()  # as SQLAlchemy does before any statement of a session
    cached: tuple[object, RawConnection] | None = session.info.get("raw_connection")
    if cached is None or cached[0] is not session.get_transaction():
        connection = session.connection()
        raw = RawConnection(connection.dialect, connection.connection)
        cached = session.info["raw_connection"] = session.get_transaction(), raw
    return cached[1]


def as_sqlalchemy_error(error: Exception, sql: str, dialect: Dialect) -> BaseException:
    """Return a driver's error as SQLAlchemy's, without the values of the parameters."""
    base = dialect.loaded_dbapi.Error
    return DBAPIError.instance(sql, None, error, base, hide_parameters=True, dialect=dialect)
