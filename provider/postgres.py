"""PostgreSQL as this house uses it: how it is reached, and what its errors mean to a caller."""

import select
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

POOL = 20  # connections that a process keeps: one for each thread that answers, and the courier's
MORE = 4  # connections beyond that in a rush
GLANCES = 8  # connections for glances alone, each of which is over in a millisecond
FRESH = 5.0  # seconds after its last use in which a connection is not asked whether it lives
PATIENCE = 10  # seconds that one waits for another's lock, or for a connection of the pool

AWAY = "The database does not answer; what was asked for is not promised: try again in a moment"
BUSY = "The database is kept busy by others; nothing was kept: try again"
FULL = "The database's disk fails or is full; what was asked for is not promised: try again later"

# A server that is gone without a word is noticed within half a minute.
REACHED = {
    "application_name": "provider",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# A process or a machine that stands still must not keep what it has locked from the others.
SET = f"""
SET TimeZone = 'UTC';
SET lock_timeout = '{PATIENCE}s';
SET idle_in_transaction_session_timeout = '60s';
"""
# By the first characters of the error's code, https://www.postgresql.org/docs/18/errcodes-appendix.html
SAID = {
    "08": AWAY,  # the connection broke
    "57P": AWAY,  # the server stops or starts
    "25P03": AWAY,  # too long without a word
    "25P04": AWAY,
    "25006": AWAY,  # a stand-by, which is about to take over or still believed to lead
    "40": BUSY,  # deadlocks, and what cannot be put in an order
    "55": BUSY,  # a lock that did not come
    "57014": BUSY,  # a statement that took too long
    "53": FULL,  # no disk, memory or connection left
    "58": FULL,  # the system below it fails
}


def engine(url: URL) -> Engine:
    """Return an engine whose connections are looked at before use, for servers come and go."""
    return _engine(url, _set, pool_size=POOL, max_overflow=MORE)


def glances(url: URL) -> Engine:
    """Return one for glances: its connections have no transactions, and cannot write."""
    return _engine(url, _set_for_glances, pool_size=GLANCES, max_overflow=0)


def _engine(url: URL, set_up: Callable[[Any, object], None], **pool: int) -> Engine:
    told = {name: value for name, value in REACHED.items() if name not in url.query}
    made = create_engine(
        url, pool_timeout=PATIENCE, pool_use_lifo=True, hide_parameters=True,
        connect_args={**told, "cursor_factory": _discreet()}, **pool,
    )  # fmt: skip
    event.listen(made, "connect", set_up)
    event.listen(made, "connect", _used)
    event.listen(made, "checkin", _used)
    event.listen(made, "checkout", partial(_look, made))
    return made


def _used(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used"] = time.monotonic()


def _look(engine: Engine, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Have a connection replaced that does not live any more.

    To ask costs as much as a poll's answer. A server that hangs up says so, which is seen without
    asking; only one that is gone without a word is not, and then not for long.
    """
    fresh = time.monotonic() < record.info["used"] + FRESH
    if not (fresh and _silent(connection)) and not _lives(engine, connection):
        raise InvalidatePoolError


def _silent(connection: Any) -> bool:
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _lives(engine: Engine, connection: Any) -> bool:
    try:
        return engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error:
        return False


def _set(connection: Any, _record: object) -> None:
    connection.autocommit = True  # or the end of the first transaction might take it back
    connection.execute(SET)
    connection.autocommit = False


def _set_for_glances(connection: Any, _record: object) -> None:
    connection.autocommit = True  # every statement stands alone, with nothing to begin and end
    connection.execute(SET + "SET default_transaction_read_only = on")


@cache
def _discreet() -> type[Any]:
    """Return a cursor whose errors leave out what a row holds: they end up in logs."""
    from psycopg import Cursor, Error  # late: an extra

    class Discreet(Cursor[Any]):
        def execute(self, *args: Any, **told: Any) -> Any:
            try:
                return super().execute(*args, **told)
            except Error as error:
                _leave_details_out(error)
                raise

        def executemany(self, *args: Any, **told: Any) -> None:
            try:
                super().executemany(*args, **told)
            except Error as error:
                _leave_details_out(error)
                raise

    return Discreet


def _leave_details_out(error: Any) -> None:
    if error.diag.message_primary:
        error.args = (error.diag.message_primary,)


def wait_for_upgrade(connection: Connection) -> None:
    """Let one process alone change the tables, until the end of its transaction."""
    connection.execute(text("SET LOCAL lock_timeout = 0"))  # another's upgrade may take long
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('provider upgrade'))"))


def said(error: DBAPIError) -> str | None:
    """Return what an error of the server's or the line's means; None where it is our own."""
    code = getattr(error.orig, "sqlstate", "another driver's")
    if code is None:
        lost = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        return AWAY if lost else None
    return next((SAID[code[:size]] for size in (5, 3, 2) if code[:size] in SAID), None)
