"""SQLite as this house uses it: which library, how it is opened, and who may write when."""

import sqlite3
from types import ModuleType
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection

from provider.storage.compiled import Pen

BUSY_TIMEOUT_MS = 10_000  # milliseconds that a writer waits for another writer
CHECKPOINT_PAGES = 4000  # pages (16 MB): much of what one order writes, the next ones write again
BUSY_MESSAGE = (
    "The database is kept busy by another program that writes; nothing was kept: try again"
)
DISK_FAILURE_MESSAGE = (
    "The database's disk fails or is full; what was asked for is not promised: try again later"
)
DISK_ERROR_TEXTS = (  # the last is also what SQLite says when it cannot read
    "disk I/O error",
    "database or disk is full",
    "unable to open database file",
    "database disk image is malformed",
)


def sqlite_library() -> tuple[ModuleType, bool]:
    """Return the SQLite to use and whether its WAL is safe.

    SQLite 3.7.0 to 3.51.2 can corrupt a WAL file with two connections; fixed in 3.51.3, 3.50.7
    and 3.44.6 (https://sqlite.org/wal.html). The standard library's is used when it is safe.
    """
    if is_wal_safe(sqlite3.sqlite_version_info):
        return sqlite3, True
    try:
        import pysqlite3.dbapi2 as bundled
    except ImportError:
        return sqlite3, False
    if is_wal_safe(bundled.sqlite_version_info):
        return bundled, True
    return sqlite3, False


def is_wal_safe(version: tuple[int, ...]) -> bool:
    """Say whether this SQLite version keeps a WAL file whole."""
    return (
        version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    )


def create_sqlite_engine(url: str, *, read_only: bool) -> Engine:
    """Return an engine whose transactions begin as they are: to read, or to write."""
    library, safe = sqlite_library()
    # What a statement was given is people's data, and has no place in an error that is logged.
    made = create_engine(
        url,
        module=library,
        pool_size=32,
        max_overflow=64,
        hide_parameters=True,
        pool_use_lifo=True,  # the connection used last has the most in its memory
    )

    @event.listens_for(made, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"journal_mode={'WAL' if safe else 'DELETE'}",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",  # what would undo one part of a shared commit
            "secure_delete=ON",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            f"query_only={'ON' if read_only else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(made, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE, for a read that turns into a write fails at once whatever the timeout.
        sql = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        Pen(made.dialect, connection.connection).run(sql)

    return made
