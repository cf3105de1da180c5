"""Statements that are put together once and then run by the driver itself.

What every order and every poll needs goes this way, without objects: SQLAlchemy takes ten times as
long to prepare a statement and to wrap its answer as SQLite takes to run it. Values are turned by
their columns' types, and errors are SQLAlchemy's, as ever.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Insert,
    Select,
    UpdateBase,
    bindparam,
    insert,
    literal_column,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.compiler import SQLCompiler

Converter = Callable[[Any], Any] | None  # a value for the driver, or what comes from it
ConverterFactory = Callable[
    [Any], Converter
]  # what the driver says of a column, to how its values are turned
Row = tuple[Any, ...]
T = TypeVar("T")
Statement = Select[*tuple[Any, ...]] | UpdateBase


class RawConnection:
    """A connection on which every statement stands alone: no transaction, no objects."""

    def __init__(self, dialect: Dialect, pooled_connection: PoolProxiedConnection) -> None:
        self.dialect, self.pooled_connection = dialect, pooled_connection
        # Whoever has the same takes the same statements.
        self.dialect_key: Hashable = dialect.name, dialect.paramstyle, dialect.dbapi

    def execute(self, sql: str, values: Any = ()) -> Any:
        """Run a statement as the driver takes it, and return its cursor; the driver's errors."""
        driver: Any = self.pooled_connection.dbapi_connection
        return driver.execute(sql, values)

    def run(self, sql: str) -> None:
        """Run a statement that is told nothing and answers nothing."""
        try:
            self.execute(sql).close()
        except self.dialect.loaded_dbapi.Error as error:
            raise as_sqlalchemy_error(error, sql, self.dialect) from error


class Pen(RawConnection):
    """A transaction without objects, for what writes a few rows; `info` as a session's."""

    def __init__(self, dialect: Dialect, driver: PoolProxiedConnection) -> None:
        super().__init__(dialect, driver)
        self.info: dict[str, Any] = {}


class CompiledQuery:
    """A statement that answers rows of columns, to be run again and again.

    One that inserts is told the `columns` that it writes.
    """

    def __init__(self, statement: Statement, columns: Iterable[str] = ()) -> None:
        self.statement, self._columns = statement, list(columns) or None
        self._compiled: dict[Hashable, _DriverStatement] = {}

    def fetch_all(self, connection: Session | RawConnection, params: dict[str, Any]) -> list[Row]:
        """Run it; return the rows, their values in the order of the columns."""
        return self._run(connection, params, _DriverStatement.fetch_rows)

    def fetch_one(self, connection: Session | RawConnection, params: dict[str, Any]) -> Row | None:
        """Run it; return the first row, None where there is none."""
        rows = self.fetch_all(connection, params)
        return rows[0] if rows else None

    def insert(self, connection: Session | RawConnection, params: dict[str, Any]) -> int:
        """Run it, an insert of one row; return the row's id."""
        return self._run(connection, params, _DriverStatement.inserted_id)

    def _run(
        self,
        connection: Session | RawConnection,
        params: dict[str, Any],
        extract: Callable[["_DriverStatement", Any], T],
    ) -> T:
        glance = (
            connection if isinstance(connection, RawConnection) else _session_connection(connection)
        )
        made = self._compiled.get(glance.dialect_key) or self._compile(glance)
        try:
            cursor = glance.execute(made.sql, made.bind_values(params))
            try:
                return extract(made, cursor)
            finally:
                cursor.close()
        except made.driver_error as error:
            raise as_sqlalchemy_error(error, made.sql, glance.dialect) from error

    def _compile(self, connection: RawConnection) -> "_DriverStatement":
        statement, dialect = self.statement, connection.dialect
        if isinstance(statement, Insert) and dialect.name != "sqlite":
            # Anew, for a statement remembers that it had nothing to answer.
            statement = insert(statement.table).returning(*statement.table.primary_key)
        compiled = statement.compile(dialect=dialect, column_keys=self._columns)
        assert isinstance(compiled, SQLCompiler)
        self._compiled[connection.dialect_key] = made = _DriverStatement.from_compiled(
            compiled, statement, dialect
        )
        return made


class CompiledInQuery:
    """A statement about several of a kind, put together once for each number of them.

    `built` is told the places of their values. For those who ask about few at once.
    """

    def __init__(self, build: Callable[[list[BindParameter[Any]]], Statement]) -> None:
        self._build = build
        self._queries_by_count: dict[int, CompiledQuery] = {}

    def fetch_all(self, connection: Session | RawConnection, values: Sequence[Any]) -> list[Row]:
        """Run it for these values; return the rows."""
        told = {f"value{number}": value for number, value in enumerate(values)}
        ready = self._queries_by_count.get(len(told))
        if ready is None:
            ready = CompiledQuery(self._build([bindparam(name) for name in told]))
            self._queries_by_count[len(told)] = ready
        return ready.fetch_all(connection, told)


def literal_limit(count: int) -> ColumnElement[int]:
    """Return a `limit` for a ready statement, written into it.

    Where SQLite is told the limit as a value it plans the statement anew at every run, to suit it:
    that takes ten times as long as to run it.
    """
    return literal_column(str(count))


@dataclass(frozen=True)
class _DriverStatement:
    """A statement as one database's driver takes it."""

    sql: str
    default_params: dict[str, Any]  # what the statement brings along
    binds: tuple[tuple[str, Converter], ...]
    has_named_params: bool  # whether the driver takes values by name
    converter_factories: tuple[ConverterFactory, ...]
    driver_error: type[Exception]
    converters: list[Converter] = field(
        default_factory=list
    )  # of the columns, known after the first run

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
        """Return the values as the driver takes them; KeyError where one is missing."""
        all_ = self.default_params | params if self.default_params else params
        if self.has_named_params:
            return {name: turn(all_[name]) if turn else all_[name] for name, turn in self.binds}
        return [turn(all_[name]) if turn else all_[name] for name, turn in self.binds]

    def fetch_rows(self, cursor: Any) -> list[Row]:
        """Return the rows, their values what their types have them be."""
        if not self.converters and self.converter_factories:
            # How a driver hands out a number is said by its answer, not by the column alone.
            codes = [said[1] for said in cursor.description]
            pairs = zip(self.converter_factories, codes, strict=True)
            self.converters[:] = [column(code) for column, code in pairs]
        rows: list[Row] = cursor.fetchall()
        if not any(self.converters):
            return rows
        return [
            tuple(
                [
                    turn(value) if turn else value
                    for turn, value in zip(self.converters, row, strict=True)
                ]
            )
            for row in rows
        ]

    def inserted_id(self, cursor: Any) -> int:
        """Return the id of the row that was inserted."""
        # SQLite's driver knows it: to have the statement answer it costs as much again.
        key = cursor.fetchone()[0] if self.converter_factories else cursor.lastrowid
        assert isinstance(key, int)
        return key


def _session_connection(session: Session) -> RawConnection:
    session.flush()  # what is pending is written first, as before any statement
    known: tuple[object, RawConnection] | None = session.info.get("glance")
    if known is None or known[0] is not session.get_transaction():
        connection = session.connection()
        known = session.get_transaction(), RawConnection(connection.dialect, connection.connection)
        session.info["glance"] = known
    return known[1]


def as_sqlalchemy_error(error: Exception, sql: str, dialect: Dialect) -> BaseException:
    """Return a driver's error as SQLAlchemy's, without the values that the statement was told."""
    base = dialect.loaded_dbapi.Error
    return DBAPIError.instance(sql, None, error, base, hide_parameters=True, dialect=dialect)
