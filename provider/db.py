"""One door to the database: `reading`, `writing` or `glancing`, opened by the outermost caller."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from types import ModuleType
from typing import Any

import structlog
from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    MetaData,
    PoolProxiedConnection,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
)
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from provider.errors import Unready
from provider.statements import Glance, Ready, wrapped

log = structlog.get_logger()

BUSY_TIMEOUT = 10_000  # milliseconds that a writer waits for another writer
CHECKPOINT = 4000  # pages (16 MB): much of what one order writes, the next ones write again
BUSY = "The database is kept busy by another program that writes; nothing was kept: try again"
FAILING = (
    "The database's disk fails or is full; what was asked for is not promised: try again later"
)
DISK = (  # the last is also what SQLite says when it cannot read
    "disk I/O error", "database or disk is full", "unable to open database file",
    "database disk image is malformed",
)  # fmt: skip

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
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime}  # noqa: RUF012  (SQLAlchemy's own form)


def insert(session: Session, model: type[Base], **columns: Any) -> int:
    """Write one row and return its id, without the weight of an object."""
    ready, defaults = _inserting(model, tuple(columns))
    told = columns | {name: default() for name, default in defaults}
    (row,) = ready.rows(session, told)
    key = row[0]
    assert isinstance(key, int)
    return key


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
    statement = table.insert().returning(*table.primary_key)
    return Ready(statement, (*told, *(name for name, _ in defaults))), defaults


def _default(column: Column[Any]) -> Callable[[], Any]:
    default: Any = column.default
    return partial(default.arg, None) if default.is_callable else lambda: default.arg


class Database:
    """The engine and its doors.

    After a commit `on_commit` is told the lanes that got new messages, and before it `on_write` the
    tables of which objects were changed, for what is remembered of them in memory.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.on_commit: list[Listener] = []
        self.on_write: list[Listener] = []
        self._inside = threading.local()
        self._opened = object()  # what threads keep is good for as long as this is the same
        # SQLite has one writer: queueing here is fair and quick, its own busy handler is neither.
        self._writer = threading.Lock() if self.sqlite else None
        if self.sqlite:
            self._write, self._read = (_sqlite(url, read_only=flag) for flag in (False, True))
        else:
            self._write = create_engine(url, pool_pre_ping=True, hide_parameters=True)
            self._read = self._write.execution_options(
                postgresql_readonly=True, isolation_level="REPEATABLE READ"
            )

    @property
    def engine(self) -> Engine:
        """The engine that may write, for migrations."""
        return self._write

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction: everything in it sees one state of the database."""
        with (
            self._outermost(),
            said_plainly(),
            Session(self._read, expire_on_commit=False) as session,
        ):
            yield session

    @contextmanager
    def glancing(self) -> Iterator[Glance]:
        """Open the lightest door, for `Ready` selects: each sees the database as it is then."""
        with self._outermost(), said_plainly(), self._lent() as connection:
            yield Glance(self._read.dialect, connection)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that commits at the end, or leaves nothing behind.

        Unready when another process keeps the database for longer than `BUSY_TIMEOUT`.
        """
        with self._outermost(), Session(self._write, expire_on_commit=False) as session:
            with said_plainly(), self._one_writer(), session.begin():
                yield session
            lanes, tables = (session.info.get(name) for name in ("lanes", "tables"))
        if tables:
            _tell(self.on_write, tables)
        if lanes:
            _tell(self.on_commit, lanes)

    def close(self) -> None:
        """Give every connection back."""
        self._opened = object()
        self._write.dispose()
        self._read.dispose()

    @contextmanager
    def _lent(self) -> Iterator[PoolProxiedConnection]:
        """Lend a connection; on SQLite each thread has its own, for a pool's care costs more."""
        if not self.sqlite:
            connection = self._connect()
            try:
                yield connection
            finally:
                connection.close()
            return
        kept = getattr(self._inside, "glance", None)
        if kept is None or kept[0] is not self._opened:
            connection = self._connect()
            connection.detach()  # from the pool: it ends with its thread
            self._inside.glance = kept = (self._opened, connection)
        yield kept[1]

    def _connect(self) -> PoolProxiedConnection:
        dialect = self._read.dialect
        try:
            return self._read.raw_connection()
        except dialect.loaded_dbapi.Error as error:
            raise wrapped(error, "", dialect) from error

    @contextmanager
    def _outermost(self) -> Iterator[None]:
        if getattr(self._inside, "open", False):
            raise RuntimeError("a transaction is open already: pass its session on")
        self._inside.open = True
        try:
            yield
        finally:
            self._inside.open = False

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        if self._writer is None:
            yield
            return
        # Bounded, or all of this process would line up behind one who waits for another process.
        if not self._writer.acquire(timeout=BUSY_TIMEOUT / 1000):
            raise Unready(BUSY)
        try:
            yield
        finally:
            self._writer.release()


def _tell(listeners: list[Listener], names: set[str]) -> None:
    for listener in tuple(listeners):
        try:
            listener(names)
        except Exception:
            # It is committed: the caller must not be told otherwise. The sweep finds the lanes.
            log.exception("a listener did not hear of a commit")


@event.listens_for(Session, "after_flush")
def _note_tables(session: Session, _: object) -> None:
    changed = (*session.new, *session.dirty, *session.deleted)
    tables = (table.name for row in changed for table in inspect(row).mapper.tables)
    session.info.setdefault("tables", set()).update(tables)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Turn the driver's words for a database that stays busy, or its disk's, into Unready."""
    try:
        yield
    except DatabaseError as error:
        if "database is locked" in str(error.orig):
            raise Unready(BUSY) from error
        if any(word in str(error.orig) for word in DISK):
            raise Unready(FAILING) from error
        raise


def sqlite_library() -> tuple[ModuleType, bool]:
    """Return the SQLite to use and whether its WAL is safe.

    SQLite 3.7.0 to 3.51.2 can corrupt a WAL file with two connections; fixed in 3.51.3, 3.50.7
    and 3.44.6 (https://sqlite.org/wal.html). The standard library's is used when it is safe.
    """
    if wal_is_safe(sqlite3.sqlite_version_info):
        return sqlite3, True
    try:
        import pysqlite3.dbapi2 as bundled
    except ImportError:
        return sqlite3, False
    if wal_is_safe(bundled.sqlite_version_info):
        return bundled, True
    return sqlite3, False


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Say whether this SQLite version keeps a WAL file whole."""
    return (
        version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    )


def _sqlite(url: str, *, read_only: bool) -> Engine:
    library, safe = sqlite_library()
    # What a statement was given is people's data, and has no place in an error that is logged.
    engine = create_engine(
        url, module=library, pool_size=32, max_overflow=64, hide_parameters=True,
        pool_use_lifo=True,  # the connection used last has the most in its memory
    )  # fmt: skip

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT}",
            f"journal_mode={'WAL' if safe else 'DELETE'}",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            f"wal_autocheckpoint={CHECKPOINT}",
            f"query_only={'ON' if read_only else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE, for a read that turns into a write fails at once whatever the timeout.
        sql = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        cursor = connection.connection.cursor()
        try:
            cursor.execute(sql)
        except library.Error as error:
            raise wrapped(error, sql, engine.dialect) from error
        finally:
            cursor.close()

    return engine
