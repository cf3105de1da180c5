"""PostgreSQL as this house uses it: how it is reached, and what its errors mean to a caller."""

import select
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

POOL_SIZE = (
    20  # connections that a process keeps: one for each thread that answers, and the courier's
)
MAX_OVERFLOW = 4  # connections beyond that in a rush
RAW_READ_POOL_SIZE = 8  # connections for glances alone, each of which is over in a millisecond
PING_AFTER_IDLE_SECONDS = (
    5.0  # seconds after its last use in which a connection is not asked whether it lives
)
LOCK_TIMEOUT_SECONDS = (
    10  # seconds that one waits for another's lock, or for a connection of the pool
)

UNREACHABLE_MESSAGE = (
    "The database does not answer; what was asked for is not promised: try again in a moment"
)
BUSY_MESSAGE = "The database is kept busy by others; nothing was kept: try again"
DISK_FAILURE_MESSAGE = (
    "The database's disk fails or is full; what was asked for is not promised: try again later"
)

# A server that is gone without a word is noticed within half a minute.
CONNECT_ARGS = {
    "application_name": "provider",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# A process or a machine that stands still must not keep what it has locked from the others.
SESSION_SETUP_SQL = f"""
SET TimeZone = 'UTC';
SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s';
SET idle_in_transaction_session_timeout = '60s';
"""
# By the first characters of the error's code, https://www.postgresql.org/docs/18/errcodes-appendix.html
MESSAGES_BY_SQLSTATE = {
    "08": UNREACHABLE_MESSAGE,  # the connection broke
    "57P": UNREACHABLE_MESSAGE,  # the server stops or starts
    "25P03": UNREACHABLE_MESSAGE,  # too long without a word
    "25P04": UNREACHABLE_MESSAGE,
    "25006": UNREACHABLE_MESSAGE,  # a stand-by, which is about to take over or still believed to lead
    "40": BUSY_MESSAGE,  # deadlocks, and what cannot be put in an order
    "55": BUSY_MESSAGE,  # a lock that did not come
    "57014": BUSY_MESSAGE,  # a statement that took too long
    "53": DISK_FAILURE_MESSAGE,  # no disk, memory or connection left
    "58": DISK_FAILURE_MESSAGE,  # the system below it fails
}


def create_postgres_engine(url: URL) -> Engine:
    """Return an engine whose connections are looked at before use, for servers come and go."""
    return _create_pooled_engine(
        url, _set_up_session, pool_size=POOL_SIZE, max_overflow=MAX_OVERFLOW
    )


def create_raw_read_engine(url: URL) -> Engine:
    """Return one for glances: its connections have no transactions, and cannot write."""
    return _create_pooled_engine(
        url, _set_up_raw_read_session, pool_size=RAW_READ_POOL_SIZE, max_overflow=0
    )


def _create_pooled_engine(url: URL, set_up: Callable[[Any, object], None], **pool: int) -> Engine:
    told = {name: value for name, value in CONNECT_ARGS.items() if name not in url.query}
    made = create_engine(
        url,
        pool_timeout=LOCK_TIMEOUT_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={**told, "cursor_factory": _redacting_cursor_class()},
        **pool,
    )
    event.listen(made, "connect", set_up)
    event.listen(made, "connect", _mark_used)
    event.listen(made, "checkin", _mark_used)
    event.listen(made, "checkout", partial(_ensure_alive, made))
    return made


def _mark_used(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used"] = time.monotonic()


def _ensure_alive(
    engine: Engine, connection: Any, record: ConnectionPoolEntry, _proxy: object
) -> None:
    """Have a connection replaced that does not live any more.

    To ask costs as much as a poll's answer. A server that hangs up says so, which is seen without
    asking; only one that is gone without a word is not, and then not for long.
    """
    fresh = time.monotonic() < record.info["used"] + PING_AFTER_IDLE_SECONDS
    if not (fresh and _is_quiet(connection)) and not _is_alive(engine, connection):
        raise InvalidatePoolError


def _is_quiet(connection: Any) -> bool:
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _is_alive(engine: Engine, connection: Any) -> bool:
    try:
        return engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error:
        return False


def _set_up_session(connection: Any, _record: object) -> None:
    connection.autocommit = True  # or the end of the first transaction might take it back
    connection.execute(SESSION_SETUP_SQL)
    connection.autocommit = False


def _set_up_raw_read_session(connection: Any, _record: object) -> None:
    connection.autocommit = True  # every statement stands alone, with nothing to begin and end
    connection.execute(SESSION_SETUP_SQL + "SET default_transaction_read_only = on")


@cache
def _redacting_cursor_class() -> type[Any]:
    """Return a cursor whose errors leave out what a row holds: they end up in logs."""
    from psycopg import Cursor, Error  # late: an extra

    class Discreet(Cursor[Any]):
        def execute(self, *args: Any, **told: Any) -> Any:
            try:
                return super().execute(*args, **told)
            except Error as error:
                _remove_error_details(error)
                raise

        def executemany(self, *args: Any, **told: Any) -> None:
            try:
                super().executemany(*args, **told)
            except Error as error:
                _remove_error_details(error)
                raise

    return Discreet


def _remove_error_details(error: Any) -> None:
    if error.diag.message_primary:
        error.args = (error.diag.message_primary,)


def acquire_upgrade_lock(connection: Connection) -> None:
    """Let one process alone change the tables, until the end of its transaction."""
    connection.execute(text("SET LOCAL lock_timeout = 0"))  # another's upgrade may take long
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('provider upgrade'))"))


def unavailable_message(error: DBAPIError) -> str | None:
    """Return what an error of the server's or the line's means; None where it is our own."""
    code = getattr(error.orig, "sqlstate", "another driver's")
    if code is None:
        lost = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        return UNREACHABLE_MESSAGE if lost else None
    return next(
        (
            MESSAGES_BY_SQLSTATE[code[:size]]
            for size in (5, 3, 2)
            if code[:size] in MESSAGES_BY_SQLSTATE
        ),
        None,
    )
