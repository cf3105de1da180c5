"""PostgreSQL: connection pools, session settings, and the meaning of its errors."""

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from provider.errors import Unavailable

POOL_SIZE = 20  # one connection for each request thread, and those of the dispatcher
MAX_OVERFLOW = 4  # more connections under peak load
RAW_READ_POOL_SIZE = 8  # a raw read needs its connection for about a millisecond
LOCK_TIMEOUT_SECONDS = 10  # of the wait for a row lock, or for a connection from the pool

_IS_POOLED = "is_behind_pooler"  # in the `info` of a connection

UNREACHABLE_MESSAGE = "The database does not answer; the change may be lost: try again in a moment"
BUSY_MESSAGE = "The database is busy; nothing was saved: try again"
DISK_FAILURE_MESSAGE = (
    "The database's disk fails or is full; the change may be lost: try again later"
)

# A server that vanishes without closing its connections is noticed within half a minute.
CONNECT_ARGS = {
    "application_name": "provider",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# A process or machine that hangs must not hold its locks for ever.
SESSION_SETUP_SQL = f"""
SET TimeZone = 'UTC';
SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s';
SET idle_in_transaction_session_timeout = '60s';
"""
# The same for one transaction. Behind a pooler a session's settings would reach other clients.
TRANSACTION_SETUP_SQL = f"""
SELECT set_config('lock_timeout', '{LOCK_TIMEOUT_SECONDS}s', true),
    set_config('idle_in_transaction_session_timeout', '60s', true)
"""
POOLED_MESSAGE = (
    "The database is behind a connection pooler, and this command needs a direct connection: set "
    "PROVIDER_DATABASE_DIRECT_URL"
)
# By the first characters of the code, https://www.postgresql.org/docs/18/errcodes-appendix.html
MESSAGES_BY_SQLSTATE = {
    "08": UNREACHABLE_MESSAGE,  # the connection failed
    "57P": UNREACHABLE_MESSAGE,  # the server stops or starts
    "25P03": UNREACHABLE_MESSAGE,  # idle in a transaction for too long
    "25P04": UNREACHABLE_MESSAGE,
    "25006": UNREACHABLE_MESSAGE,  # a standby, during a failover
    "40": BUSY_MESSAGE,  # deadlocks and serialisation failures
    "55": BUSY_MESSAGE,  # a lock timeout
    "57014": BUSY_MESSAGE,  # a statement timeout
    "53": DISK_FAILURE_MESSAGE,  # no disk space, memory or connection left
    "58": DISK_FAILURE_MESSAGE,  # the operating system fails
}


def create_postgres_engine(url: URL) -> Engine:
    """Return the engine for transactions; a dead connection is replaced before use."""
    engine = _create_pooled_engine(
        url, _set_up_session, pool_size=POOL_SIZE, max_overflow=MAX_OVERFLOW
    )
    event.listen(engine, "begin", _set_up_transaction)
    return engine


def create_raw_read_engine(url: URL) -> Engine:
    """Return the engine for raw reads, whose connections are read-only.

    They are in autocommit mode; behind a pooler a transaction begins when one is checked out.
    """
    engine = _create_pooled_engine(
        url, _set_up_raw_read_session, pool_size=RAW_READ_POOL_SIZE, max_overflow=0
    )
    event.listen(engine, "checkout", _set_up_raw_read)
    return engine


def _create_pooled_engine(url: URL, set_up: Callable[[Any, Any], None], **pool: int) -> Engine:
    connect_args = {name: value for name, value in CONNECT_ARGS.items() if name not in url.query}
    engine = create_engine(
        url,
        pool_timeout=LOCK_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={**connect_args, "cursor_factory": _redacting_cursor_class()},
        **pool,
    )
    event.listen(engine, "connect", set_up)
    return engine


def is_behind_pooler(connection: Any) -> bool:
    """Whether a psycopg connection in autocommit mode leads to a pooler, such as PgBouncer.

    A pooler tells its client an invented process id, because it changes servers between
    transactions. Then nothing may be set on the session, and no statement may be prepared.
    """
    (server_pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    return bool(server_pid != connection.info.backend_pid)


def require_direct_connection(engine: Engine) -> None:
    """Raise Unavailable behind a pooler: LISTEN and locks of a session would be lost there."""
    with engine.connect() as connection:
        if connection.info[_IS_POOLED]:
            raise Unavailable(POOLED_MESSAGE)


def _set_up_session(connection: Any, record: Any) -> None:
    connection.autocommit = True  # or a rollback of the first transaction undoes the SET
    record.info[_IS_POOLED] = is_behind_pooler(connection)
    if record.info[_IS_POOLED]:
        connection.prepare_threshold = None
    else:
        connection.execute(SESSION_SETUP_SQL)
    connection.autocommit = False


def _set_up_transaction(connection: Connection) -> None:
    if connection.info[_IS_POOLED]:
        connection.exec_driver_sql(TRANSACTION_SETUP_SQL)


def _set_up_raw_read_session(connection: Any, record: Any) -> None:
    connection.autocommit = True  # each statement is a transaction of its own
    record.info[_IS_POOLED] = is_behind_pooler(connection)
    if record.info[_IS_POOLED]:
        connection.prepare_threshold = None
        connection.autocommit, connection.read_only = False, True
    else:
        connection.execute(SESSION_SETUP_SQL + "SET default_transaction_read_only = on")


def _set_up_raw_read(connection: Any, record: Any, _proxy: object) -> None:
    if record.info[_IS_POOLED]:
        connection.execute(TRANSACTION_SETUP_SQL)


@cache
def _redacting_cursor_class() -> type[Any]:
    """Return a cursor class whose errors contain no values of a row: errors are logged."""
    from psycopg import Cursor, Error  # late: an extra

    class RedactingCursor(Cursor[Any]):
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().execute(*args, **kwargs)
            except Error as error:
                _remove_error_details(error)
                raise

        def executemany(self, *args: Any, **kwargs: Any) -> None:
            try:
                super().executemany(*args, **kwargs)
            except Error as error:
                _remove_error_details(error)
                raise

    return RedactingCursor


def _remove_error_details(error: Any) -> None:
    if error.diag.message_primary:
        error.args = (error.diag.message_primary,)


def acquire_upgrade_lock(connection: Connection) -> None:
    """Let only one process upgrade the schema, until the end of its transaction."""
    connection.execute(
        text("SET LOCAL lock_timeout = 0")
    )  # another process's upgrade may take long
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('provider upgrade'))"))


def unavailable_message(error: DBAPIError) -> str | None:
    """Return the message for a failure of the server or the connection; None: our own error."""
    code = getattr(error.orig, "sqlstate", "of another driver")
    if code is None:
        is_lost = (
            isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        )
        return UNREACHABLE_MESSAGE if is_lost else None
    return next(
        (
            MESSAGES_BY_SQLSTATE[code[:size]]
            for size in (5, 3, 2)
            if code[:size] in MESSAGES_BY_SQLSTATE
        ),
        None,
    )
