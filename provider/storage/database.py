"""Transactions: `reading`, `writing`, and `raw_read` for compiled statements.

The outermost caller opens a transaction and passes its session on.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, cast

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    MetaData,
    PoolProxiedConnection,
    Table,
    bindparam,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault
from sqlalchemy.types import TypeDecorator

from provider.errors import Unavailable
from provider.storage import group_commit, postgres, sqlite
from provider.storage.compiled import CompiledQuery, RawConnection, as_sqlalchemy_error
from provider.storage.secrets import SecretBox

CommitListener = Callable[[set[str]], None]


NAMING_CONVENTION = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored in UTC. SQLite stores no time zone, so UTC is added on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The base class of every model."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: UtcDateTime}  # noqa: RUF012  (SQLAlchemy's own form)


def insert_row(session: Session, model: type[Base], **columns: Any) -> int:
    """Insert one row and return its id.

    The statement is compiled once, because placing an order needs five of them. ORM objects would
    take several times as long.
    """
    defaults, query = _insert_query(model, frozenset(columns))
    row = query.fetch_one(session, {name: default() for name, default in defaults} | columns)
    assert row
    return int(row[0])


@cache
def _insert_query(
    model: type[Base], names: frozenset[str]
) -> tuple[tuple[tuple[str, Callable[[], Any]], ...], CompiledQuery]:
    """Return the columns with their defaults in Python, and the statement."""
    table = model.__table__
    assert isinstance(table, Table)
    defaults = tuple(
        (column.name, _default_factory(column))
        for column in table.c
        if column.default is not None and column.name not in names
    )
    columns = {*names, *(name for name, _ in defaults)}
    statement = insert(table).values({name: bindparam(name) for name in columns})
    return defaults, CompiledQuery(statement.returning(table.c.id))


def _default_factory(column: Column[Any]) -> Callable[[], Any]:
    default = column.default
    if isinstance(default, CallableColumnDefault):
        return partial(default.arg, cast(Any, None))
    assert isinstance(default, ScalarElementColumnDefault)
    return lambda: default.arg


def acquire_advisory_lock(session: Session, lock_name: str) -> None:
    """Take a transaction-scoped advisory lock on `lock_name`.

    Nothing happens on SQLite, which has a single writer at a time.
    """
    if session.get_bind().dialect.name == "postgresql":
        key = func.hashtextextended(lock_name, 0)
        session.execute(select(func.pg_advisory_xact_lock(key)))


class Database:
    """The connections to one database, and the transactions on them.

    Listeners are called after a commit. Those in `on_write` receive the names of the tables whose
    objects changed, to invalidate caches. Those in `on_commit` receive the names of the queues
    that got new messages. Every session of `writing` begins with the entries of `session_info`, for
    example the secret box, with which messages are encrypted.
    """

    def __init__(self, url: str, secret_box: SecretBox | None = None) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.on_commit: list[CommitListener] = []
        self.on_write: list[CommitListener] = []
        self.session_info: dict[str, Any] = {"secret_box": secret_box}
        self._thread_state = threading.local()
        # A thread's cached connection is valid only while this object is the same.
        self._connection_generation = object()
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
        """The engine that may write, for migrations.

        The idle connection of the group commit is closed, or its lock could block a migration.
        """
        if self._commit_queue:
            self._commit_queue.close()
        return self._write_engine

    def require_direct_connection(self) -> None:
        """Raise Unavailable if PostgreSQL is reached through a connection pooler."""
        if not self.is_sqlite:
            with translate_errors():
                postgres.require_direct_connection(self._write_engine)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction; all its statements see one snapshot of the database."""
        with (
            self._transaction_guard(),
            Session(self._read_engine, expire_on_commit=False) as session,
        ):
            _prepare_session(session)
            yield session

    @contextmanager
    def raw_read(self) -> Iterator[RawConnection]:
        """Open a connection for `CompiledQuery` selects; each sees the latest committed rows."""
        with self._transaction_guard():
            if self.is_sqlite:
                yield self._thread_connection()
                return
            with closing(self._raw_connection()) as connection:
                yield RawConnection(self._raw_read_engine.dialect, connection)

    @contextmanager
    def writing(self, *, separate_commit: bool = False) -> Iterator[Session]:
        """Open a transaction that commits at the end, or is rolled back by an error.

        A long transaction sets `separate_commit`, or other writers' group commit waits for it.
        Unavailable if another process locks the database longer than `sqlite.BUSY_TIMEOUT_MS`.
        """
        with self._transaction_guard(), self._transaction(separate_commit) as session:
            session.info.update(self.session_info)
            _prepare_session(session)
            yield session
        self._notify_listeners(session.info)

    def _transaction(self, separate_commit: bool) -> AbstractContextManager[Session]:
        return (
            self._commit_queue.session(separate_commit=separate_commit)
            if self._commit_queue
            else self._plain_transaction()
        )

    @contextmanager
    def _plain_transaction(self) -> Iterator[Session]:
        with (
            Session(self._write_engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def _notify_listeners(self, info: dict[str, Any]) -> None:
        if "tables" in info:
            _call_listeners(self.on_write, info["tables"])
        if "queues" in info:
            _call_listeners(self.on_commit, info["queues"])
        for callback in info.get("after_commit", ()):
            callback()

    def signal_queues(self, queues: set[str]) -> None:
        """Tell the listeners in `on_commit` of queues that became due without a commit."""
        _call_listeners(self.on_commit, queues)

    def truncate_wal(self) -> None:
        """On SQLite, empty the WAL file: it still has the content of rows that were deleted.

        A reader that runs now can keep the file from being emptied; the next call empties it.
        """
        if self.is_sqlite:
            with self._transaction_guard(), closing(self._raw_connection()) as connection:
                raw = RawConnection(self._raw_read_engine.dialect, connection)
                raw.run("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close every connection; the next transaction opens new ones."""
        self._connection_generation = object()
        if self._commit_queue:
            self._commit_queue.close()
        self._write_engine.dispose()
        self._read_engine.dispose()
        self._raw_read_engine.dispose()

    def _thread_connection(self) -> RawConnection:
        """Return this thread's own connection: a checkout from a pool costs more than a read."""
        cached: tuple[object, RawConnection] | None
        cached = getattr(self._thread_state, "raw_connection", None)
        if cached is None or cached[0] is not self._connection_generation:
            connection = self._raw_connection()
            connection.detach()  # from the pool: the connection is closed when its thread ends
            raw = RawConnection(self._raw_read_engine.dialect, connection)
            cached = self._thread_state.raw_connection = self._connection_generation, raw
        return cached[1]

    def _raw_connection(self) -> PoolProxiedConnection:
        dialect = self._raw_read_engine.dialect
        try:
            return self._raw_read_engine.raw_connection()
        except dialect.loaded_dbapi.Error as error:
            raise as_sqlalchemy_error(error, "", dialect) from error

    def _transaction_guard(self) -> "_TransactionGuard":
        return _TransactionGuard(self._thread_state)


class _TransactionGuard:
    """Refuses a second transaction in the same thread, and translates errors.

    A class instead of a generator: a generator costs more, and every request enters this.
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


# The functions that get each new session of any database: the console limits its sessions to the
# accounts of the member of staff.
session_listeners: list[Callable[[Session], None]] = []


def _prepare_session(session: Session) -> None:
    for listener in session_listeners:
        listener(session)


def _call_listeners(listeners: list[CommitListener], names: set[str]) -> None:
    for listener in tuple(listeners):
        try:
            listener(names)
        except Exception:
            from structlog import get_logger  # late: commands have no listeners

            # The commit has succeeded, so the caller must not see an error. The dispatcher's
            # regular sweep finds the queues.
            get_logger().exception("commit_listener_failed")


@event.listens_for(Session, "after_flush")
def _record_changed_tables(session: Session, _: object) -> None:
    changed = (*session.new, *session.dirty, *session.deleted)
    tables = (table.name for row in changed for table in inspect(row).mapper.tables)
    session.info.setdefault("tables", set()).update(tables)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise Unavailable if the database is locked or unreachable, or its disk fails."""
    try:
        yield
    except Exception as error:
        _raise_translated(error)
        raise


def _raise_translated(error: BaseException) -> None:
    if isinstance(error, PoolTimeout):
        raise Unavailable(postgres.BUSY_MESSAGE) from error
    if isinstance(error, DBAPIError) and (message := _unavailable_message(error)):
        raise Unavailable(message) from error


def _unavailable_message(error: DBAPIError) -> str | None:
    driver_text = str(error.orig)
    if "database is locked" in driver_text:
        return sqlite.BUSY_MESSAGE
    if any(text in driver_text for text in sqlite.DISK_ERROR_TEXTS):
        return sqlite.DISK_FAILURE_MESSAGE
    return postgres.unavailable_message(error)
