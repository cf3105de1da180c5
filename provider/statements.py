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

Turn = Callable[[Any], Any] | None  # a value for the driver, or what comes from it
Column = Callable[[Any], Turn]  # what the driver says of a column, to how its values are turned
Row = tuple[Any, ...]
T = TypeVar("T")
Statement = Select[*tuple[Any, ...]] | UpdateBase


class Glance:
    """A connection on which every statement stands alone: no transaction, no objects."""

    def __init__(self, dialect: Dialect, driver: PoolProxiedConnection) -> None:
        self.dialect, self.driver = dialect, driver
        # Whoever has the same takes the same statements.
        self.way: Hashable = dialect.name, dialect.paramstyle, dialect.dbapi

    def execute(self, sql: str, values: Any = ()) -> Any:
        """Run a statement as the driver takes it, and return its cursor; the driver's errors."""
        driver: Any = self.driver.dbapi_connection
        return driver.execute(sql, values)

    def run(self, sql: str) -> None:
        """Run a statement that is told nothing and answers nothing."""
        try:
            self.execute(sql).close()
        except self.dialect.loaded_dbapi.Error as error:
            raise wrapped(error, sql, self.dialect) from error


class Pen(Glance):
    """A transaction without objects, for what writes a few rows; `info` as a session's."""

    def __init__(self, dialect: Dialect, driver: PoolProxiedConnection) -> None:
        super().__init__(dialect, driver)
        self.info: dict[str, Any] = {}


class Ready:
    """A statement that answers rows of columns, to be run again and again.

    One that inserts is told the `columns` that it writes.
    """

    def __init__(self, statement: Statement, columns: Iterable[str] = ()) -> None:
        self.statement, self._columns = statement, list(columns) or None
        self._made: dict[Hashable, _Made] = {}

    def rows(self, door: Session | Glance, told: dict[str, Any]) -> list[Row]:
        """Run it; return the rows, their values in the order of the columns."""
        return self._run(door, told, _Made.read)

    def row(self, door: Session | Glance, told: dict[str, Any]) -> Row | None:
        """Run it; return the first row, None where there is none."""
        rows = self.rows(door, told)
        return rows[0] if rows else None

    def insert(self, door: Session | Glance, told: dict[str, Any]) -> int:
        """Run it, an insert of one row; return the row's id."""
        return self._run(door, told, _Made.key)

    def _run(
        self, door: Session | Glance, told: dict[str, Any], take: Callable[["_Made", Any], T]
    ) -> T:
        glance = door if isinstance(door, Glance) else _through(door)
        made = self._made.get(glance.way) or self._make(glance)
        try:
            cursor = glance.execute(made.sql, made.values(told))
            try:
                return take(made, cursor)
            finally:
                cursor.close()
        except made.error as error:
            raise wrapped(error, made.sql, glance.dialect) from error

    def _make(self, glance: Glance) -> "_Made":
        statement, dialect = self.statement, glance.dialect
        if isinstance(statement, Insert) and dialect.name != "sqlite":
            # Anew, for a statement remembers that it had nothing to answer.
            statement = insert(statement.table).returning(*statement.table.primary_key)
        compiled = statement.compile(dialect=dialect, column_keys=self._columns)
        assert isinstance(compiled, SQLCompiler)
        self._made[glance.way] = made = _Made.of(compiled, statement, dialect)
        return made


class Several:
    """A statement about several of a kind, put together once for each number of them.

    `built` is told the places of their values. For those who ask about few at once.
    """

    def __init__(self, built: Callable[[list[BindParameter[Any]]], Statement]) -> None:
        self._built = built
        self._ready: dict[int, Ready] = {}

    def rows(self, door: Session | Glance, values: Sequence[Any]) -> list[Row]:
        """Run it for these values; return the rows."""
        told = {f"value{number}": value for number, value in enumerate(values)}
        ready = self._ready.get(len(told))
        if ready is None:
            ready = Ready(self._built([bindparam(name) for name in told]))
            self._ready[len(told)] = ready
        return ready.rows(door, told)


def so_many(count: int) -> ColumnElement[int]:
    """Return a `limit` for a ready statement, written into it.

    Where SQLite is told the limit as a value it plans the statement anew at every run, to suit it:
    that takes ten times as long as to run it.
    """
    return literal_column(str(count))


@dataclass(frozen=True)
class _Made:
    """A statement as one database's driver takes it."""

    sql: str
    known: dict[str, Any]  # what the statement brings along
    binds: tuple[tuple[str, Turn], ...]
    named: bool  # whether the driver takes values by name
    columns: tuple[Column, ...]
    error: type[Exception]
    turns: list[Turn] = field(default_factory=list)  # of the columns, known after the first run

    @classmethod
    def of(cls, compiled: SQLCompiler, statement: Statement, dialect: Dialect) -> "_Made":
        binds = compiled.binds
        return cls(
            sql=str(compiled),
            known={name: bind.value for name, bind in binds.items() if not bind.required},
            binds=tuple(
                (name, binds[name].type.dialect_impl(dialect).bind_processor(dialect))
                for name in (compiled.positiontup or binds)
            ),
            named=not compiled.positional,
            columns=tuple(
                partial(column.type.dialect_impl(dialect).result_processor, dialect)
                for column in statement.exported_columns
            ),
            error=dialect.loaded_dbapi.Error,
        )

    def values(self, told: dict[str, Any]) -> Any:
        """Return the values as the driver takes them; KeyError where one is missing."""
        all_ = self.known | told if self.known else told
        if self.named:
            return {name: turn(all_[name]) if turn else all_[name] for name, turn in self.binds}
        return [turn(all_[name]) if turn else all_[name] for name, turn in self.binds]

    def read(self, cursor: Any) -> list[Row]:
        """Return the rows, their values what their types have them be."""
        if not self.turns and self.columns:
            # How a driver hands out a number is said by its answer, not by the column alone.
            codes = [said[1] for said in cursor.description]
            pairs = zip(self.columns, codes, strict=True)
            self.turns[:] = [column(code) for column, code in pairs]
        rows: list[Row] = cursor.fetchall()
        if not any(self.turns):
            return rows
        return [
            tuple(
                [
                    turn(value) if turn else value
                    for turn, value in zip(self.turns, row, strict=True)
                ]
            )
            for row in rows
        ]

    def key(self, cursor: Any) -> int:
        """Return the id of the row that was inserted."""
        # SQLite's driver knows it: to have the statement answer it costs as much again.
        key = cursor.fetchone()[0] if self.columns else cursor.lastrowid
        assert isinstance(key, int)
        return key


def _through(session: Session) -> Glance:
    session.flush()  # what is pending is written first, as before any statement
    known: tuple[object, Glance] | None = session.info.get("glance")
    if known is None or known[0] is not session.get_transaction():
        connection = session.connection()
        known = session.get_transaction(), Glance(connection.dialect, connection.connection)
        session.info["glance"] = known
    return known[1]


def wrapped(error: Exception, sql: str, dialect: Dialect) -> BaseException:
    """Return a driver's error as SQLAlchemy's, without the values that the statement was told."""
    base = dialect.loaded_dbapi.Error
    return DBAPIError.instance(sql, None, error, base, hide_parameters=True, dialect=dialect)
