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

from provider.errors import Unavailable
from provider.storage import group_commit, postgres, sqlite
from provider.storage.compiled import CompiledQuery, Pen, RawConnection, as_sqlalchemy_error

CommitListener = Callable[[set[str]], None]


NAMING_CONVENTION = {
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

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: UtcDateTime}  # noqa: RUF012  (SQLAlchemy's own form)


def insert_row(session: Session | Pen, model: type[Base], **columns: Any) -> int:
    """Write one row and return its id, without the weight of an object."""
    ready, defaults = _insert_query(model, tuple(columns))
    return ready.insert(session, columns | {name: default() for name, default in defaults})


def acquire_advisory_lock(session: Session, lock_name: str) -> None:
    """Let nobody who names the same go on before this transaction has ended."""
    if session.get_bind().dialect.name == "postgresql":  # on SQLite there is one writer at a time
        key = func.hashtextextended(lock_name, 0)
        session.execute(select(func.pg_advisory_xact_lock(key)))


@cache
def _insert_query(
    model: type[Base], given_columns: tuple[str, ...]
) -> tuple[CompiledQuery, list[tuple[str, Callable[[], Any]]]]:
    table: Table = model.__table__  # type: ignore[assignment]
    defaults = [
        (column.key, _default_factory(column))
        for column in table.columns
        if column.default is not None and column.key not in given_columns
    ]
    return CompiledQuery(
        table.insert(), (*given_columns, *(name for name, _ in defaults))
    ), defaults


def _default_factory(column: Column[Any]) -> Callable[[], Any]:
    default: Any = column.default
    return partial(default.arg, None) if default.is_callable else lambda: default.arg


class Database:
    """The engine and its doors.

    After a commit `on_write` is told the tables of which objects were changed, for what is
    remembered of them in memory, and `on_commit` the lanes that got new messages.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.on_commit: list[CommitListener] = []
        self.on_write: list[CommitListener] = []
        self._thread_state = threading.local()
        self._connection_generation = (
            object()
        )  # what threads keep is good for as long as this is the same
        self._commit_queue: group_commit.GroupCommitQueue | None = None
        if self.is_sqlite:
            self._write_engine, self._read_engine = (
                sqlite.create_sqlite_engine(url, read_only=flag) for flag in (False, True)
            )
            self._raw_read_engine = self._read_engine
            self._commit_queue = group_commit.GroupCommitQueue(self._write_engine)
        else:
            self._write_engine = postgres.create_postgres_engine(self.url)
            self._read_engine = self._write_engine.execution_options(
                postgresql_readonly=True, isolation_level="REPEATABLE READ"
            )
            self._raw_read_engine = postgres.create_raw_read_engine(self.url)

    @property
    def engine(self) -> Engine:
        """The engine that may write, for migrations; no connection of ours is in its way."""
        if self._commit_queue:
            self._commit_queue.close()
        return self._write_engine

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction: everything in it sees one state of the database."""
        with (
            self._transaction_guard(),
            Session(self._read_engine, expire_on_commit=False) as session,
        ):
            yield session

    @contextmanager
    def raw_read(self) -> Iterator[RawConnection]:
        """Open the lightest door, for `Ready` selects: each sees the database as it is then."""
        with self._transaction_guard():
            if self.is_sqlite:
                yield self._thread_connection()
                return
            with closing(self._raw_connection()) as connection:
                yield RawConnection(self._raw_read_engine.dialect, connection)

    @contextmanager
    def writing(self, *, separate_commit: bool = False) -> Iterator[Session]:
        """Open a transaction that commits at the end, or leaves nothing behind.

        Whoever takes long asks for a commit `alone`, so that nobody's waits for it. Unready when
        another process keeps the database for longer than `sqlite.BUSY_TIMEOUT`.
        """
        with self._transaction_guard(), self._transaction(separate_commit) as session:
            yield session
        self._notify_listeners(session.info)

    @contextmanager
    def jotting(self) -> Iterator[Pen]:
        """Open the lightest door that writes, for `Ready` statements; else as `writing`."""
        with self._transaction_guard(), self._pen() as pen:
            yield pen
        self._notify_listeners(pen.info)

    def _transaction(self, separate_commit: bool) -> AbstractContextManager[Session]:
        return (
            self._commit_queue.session(separate_commit=separate_commit)
            if self._commit_queue
            else self._plain_transaction()
        )

    @contextmanager
    def _plain_transaction(self) -> Iterator[Session]:
        with Session(self._write_engine, expire_on_commit=False) as session, session.begin():
            yield session

    def _pen(self) -> AbstractContextManager[Pen]:
        return self._commit_queue.pen() if self._commit_queue else self._own_pen()

    @contextmanager
    def _own_pen(self) -> Iterator[Pen]:
        with self._write_engine.begin() as connection:
            yield Pen(connection.dialect, connection.connection)

    def _notify_listeners(self, info: dict[str, Any]) -> None:
        if "tables" in info:
            _call_listeners(self.on_write, info["tables"])
        if "queues" in info:
            _call_listeners(self.on_commit, info["queues"])
        for say in info.get("kept", ()):
            say()

    def close(self) -> None:
        """Give every connection back."""
        self._connection_generation = object()
        if self._commit_queue:
            self._commit_queue.close()
        self._write_engine.dispose()
        self._read_engine.dispose()
        self._raw_read_engine.dispose()

    def _thread_connection(self) -> RawConnection:
        """Return this thread's own, for a pool's care costs more than most that is looked at."""
        kept: tuple[object, RawConnection] | None = getattr(self._thread_state, "glance", None)
        if kept is None or kept[0] is not self._connection_generation:
            connection = self._raw_connection()
            connection.detach()  # from the pool: it ends with its thread
            kept = self._thread_state.glance = (
                self._connection_generation,
                RawConnection(self._raw_read_engine.dialect, connection),
            )
        return kept[1]

    def _raw_connection(self) -> PoolProxiedConnection:
        dialect = self._raw_read_engine.dialect
        try:
            return self._raw_read_engine.raw_connection()
        except dialect.loaded_dbapi.Error as error:
            raise as_sqlalchemy_error(error, "", dialect) from error

    def _transaction_guard(self) -> "_TransactionGuard":
        return _TransactionGuard(self._thread_state)


class _TransactionGuard:
    """What all doors have around them: nobody opens two at once, and failures are said plainly.

    A class, for the lightest doors are opened at every request and a generator costs more.
    """

    def __init__(self, thread_state: threading.local) -> None:
        self._thread_state = thread_state

    def __enter__(self) -> None:
        if getattr(self._thread_state, "open", False):
            raise RuntimeError("a transaction is open already: pass its session on")
        self._thread_state.open = True

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._thread_state.open = False
        if error:
            _raise_translated(error)


def _call_listeners(listeners: list[CommitListener], names: set[str]) -> None:
    for listener in tuple(listeners):
        try:
            listener(names)
        except Exception:
            from structlog import get_logger  # late: a command has nobody who listens

            # It is committed: the caller must not be told otherwise. The sweep finds the lanes.
            get_logger().exception("a listener did not hear of a commit")


@event.listens_for(Session, "after_flush")
def _record_changed_tables(session: Session, _: object) -> None:
    changed = (*session.new, *session.dirty, *session.deleted)
    tables = (table.name for row in changed for table in inspect(row).mapper.tables)
    session.info.setdefault("tables", set()).update(tables)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn the words for a database that stays busy or away, or its disk's, into Unready."""
    try:
        yield
    except Exception as error:
        _raise_translated(error)
        raise


def _raise_translated(error: BaseException) -> None:
    if isinstance(error, PoolTimeout):
        raise Unavailable(postgres.BUSY_MESSAGE) from error
    if isinstance(error, DBAPIError) and (sentence := _unavailable_message(error)):
        raise Unavailable(sentence) from error


def _unavailable_message(error: DBAPIError) -> str | None:
    told = str(error.orig)
    if "database is locked" in told:
        return sqlite.BUSY_MESSAGE
    if any(word in told for word in sqlite.DISK_ERROR_TEXTS):
        return sqlite.DISK_FAILURE_MESSAGE
    return postgres.unavailable_message(error)
