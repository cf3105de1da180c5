"""The doors to the database, opened by the outermost caller: `reading` and `writing`, and their
lightest forms `glancing` and `jotting`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    MetaData,
    PoolProxiedConnection,
    Table,
    event,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from provider import postgres, sqlite
from provider.errors import Unready
from provider.statements import Glance, Pen, Ready, wrapped

Listener = Callable[[set[str]], None]


NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, kept in UTC; SQLite forgets zones, so they are put back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a moment without a zone, turn the rest to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime}  # noqa: RUF012  (SQLAlchemy's own form)


def insert(session: Session | Pen, model: type[Base], **columns: Any) -> int:
    """Write one row and return its id, without the weight of an object."""
    ready, defaults = _inserting(model, tuple(columns))
    return ready.insert(session, columns | {name: default() for name, default in defaults})


def in_turn(session: Session, what: str) -> None:
    """Let nobody who names the same go on before this transaction has ended."""
    if session.get_bind().dialect.name == "postgresql":  # on SQLite there is one writer at a time
        key = func.hashtextextended(what, 0)
        session.execute(select(func.pg_advisory_xact_lock(key)))


@cache
def _inserting(
    model: type[Base], told: tuple[str, ...]
) -> tuple[Ready, list[tuple[str, Callable[[], Any]]]]:
    table: Table = model.__table__  # type: ignore[assignment]
    defaults = [
        (column.key, _default(column))
        for column in table.columns
        if column.default is not None and column.key not in told
    ]
    return Ready(table.insert(), (*told, *(name for name, _ in defaults))), defaults


def _default(column: Column[Any]) -> Callable[[], Any]:
    default: Any = column.default
    return partial(default.arg, None) if default.is_callable else lambda: default.arg


class Database:
    """The engine and its doors.

    After a commit `on_write` is told the tables of which objects were changed, for what is
    remembered of them in memory, and `on_commit` the lanes that got new messages.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.on_commit: list[Listener] = []
        self.on_write: list[Listener] = []
        self._inside = threading.local()
        self._opened = object()  # what threads keep is good for as long as this is the same
        self._line: sqlite.Line | None = None
        if self.sqlite:
            self._write, self._read = (sqlite.engine(url, read_only=flag) for flag in (False, True))
            self._glances = self._read
            self._line = sqlite.Line(self._write)
        else:
            self._write = postgres.engine(self.url)
            self._read = self._write.execution_options(
                postgresql_readonly=True, isolation_level="REPEATABLE READ"
            )
            self._glances = postgres.glances(self.url)

    @property
    def engine(self) -> Engine:
        """The engine that may write, for migrations; no connection of ours is in its way."""
        if self._line:
            self._line.close()
        return self._write

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction: everything in it sees one state of the database."""
        with self._outermost(), Session(self._read, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def glancing(self) -> Iterator[Glance]:
        """Open the lightest door, for `Ready` selects: each sees the database as it is then."""
        with self._outermost():
            if self.sqlite:
                yield self._own_glance()
                return
            with closing(self._connect()) as connection:
                yield Glance(self._glances.dialect, connection)

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Session]:
        """Open a transaction that commits at the end, or leaves nothing behind.

        Whoever takes long asks for a commit `alone`, so that nobody's waits for it. Unready when
        another process keeps the database for longer than `sqlite.BUSY_TIMEOUT`.
        """
        with self._outermost(), self._transaction(alone) as session:
            yield session
        self._say(session.info)

    @contextmanager
    def jotting(self) -> Iterator[Pen]:
        """Open the lightest door that writes, for `Ready` statements; else as `writing`."""
        with self._outermost(), self._pen() as pen:
            yield pen
        self._say(pen.info)

    def _transaction(self, alone: bool) -> AbstractContextManager[Session]:
        return self._line.session(alone=alone) if self._line else self._own_transaction()

    @contextmanager
    def _own_transaction(self) -> Iterator[Session]:
        with Session(self._write, expire_on_commit=False) as session, session.begin():
            yield session

    def _pen(self) -> AbstractContextManager[Pen]:
        return self._line.pen() if self._line else self._own_pen()

    @contextmanager
    def _own_pen(self) -> Iterator[Pen]:
        with self._write.begin() as connection:
            yield Pen(connection.dialect, connection.connection)

    def _say(self, told: dict[str, Any]) -> None:
        if "tables" in told:
            _tell(self.on_write, told["tables"])
        if "lanes" in told:
            _tell(self.on_commit, told["lanes"])
        for say in told.get("kept", ()):
            say()

    def close(self) -> None:
        """Give every connection back."""
        self._opened = object()
        if self._line:
            self._line.close()
        self._write.dispose()
        self._read.dispose()
        self._glances.dispose()

    def _own_glance(self) -> Glance:
        """Return this thread's own, for a pool's care costs more than most that is looked at."""
        kept: tuple[object, Glance] | None = getattr(self._inside, "glance", None)
        if kept is None or kept[0] is not self._opened:
            connection = self._connect()
            connection.detach()  # from the pool: it ends with its thread
            kept = self._inside.glance = self._opened, Glance(self._glances.dialect, connection)
        return kept[1]

    def _connect(self) -> PoolProxiedConnection:
        dialect = self._glances.dialect
        try:
            return self._glances.raw_connection()
        except dialect.loaded_dbapi.Error as error:
            raise wrapped(error, "", dialect) from error

    def _outermost(self) -> "_Outermost":
        return _Outermost(self._inside)


class _Outermost:
    """What all doors have around them: nobody opens two at once, and failures are said plainly.

    A class, for the lightest doors are opened at every request and a generator costs more.
    """

    def __init__(self, inside: threading.local) -> None:
        self._inside = inside

    def __enter__(self) -> None:
        if getattr(self._inside, "open", False):
            raise RuntimeError("a transaction is open already: pass its session on")
        self._inside.open = True

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._inside.open = False
        if error:
            _say_plainly(error)


def _tell(listeners: list[Listener], names: set[str]) -> None:
    for listener in tuple(listeners):
        try:
            listener(names)
        except Exception:
            from structlog import get_logger  # late: a command has nobody who listens

            # It is committed: the caller must not be told otherwise. The sweep finds the lanes.
            get_logger().exception("a listener did not hear of a commit")


@event.listens_for(Session, "after_flush")
def _note_tables(session: Session, _: object) -> None:
    changed = (*session.new, *session.dirty, *session.deleted)
    tables = (table.name for row in changed for table in inspect(row).mapper.tables)
    session.info.setdefault("tables", set()).update(tables)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Turn the words for a database that stays busy or away, or its disk's, into Unready."""
    try:
        yield
    except Exception as error:
        _say_plainly(error)
        raise


def _say_plainly(error: BaseException) -> None:
    if isinstance(error, PoolTimeout):
        raise Unready(postgres.BUSY) from error
    if isinstance(error, DBAPIError) and (sentence := _plainly(error)):
        raise Unready(sentence) from error


def _plainly(error: DBAPIError) -> str | None:
    told = str(error.orig)
    if "database is locked" in told:
        return sqlite.BUSY
    if any(word in told for word in sqlite.DISK):
        return sqlite.FAILING
    return postgres.said(error)
