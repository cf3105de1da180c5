"""SQLite: which library is safe, how a connection is set up, and how transactions begin."""

import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection

from provider.storage.compiled import RawConnection
from provider.storage.fsync import make_private

BUSY_TIMEOUT_MS = 10_000  # a writer waits this long for another writer
# 16 MB: orders write the same pages again and again, and a checkpoint copies such a page once.
CHECKPOINT_PAGES = 4000
BUSY_MESSAGE = "Another program is writing to the database; nothing was saved: try again"
DISK_FAILURE_MESSAGE = (
    "The database's disk fails or is full; the change may be lost: try again later"
)
# SQLite reports the last of these for a failed read, too.
DISK_ERROR_TEXTS = (
    "disk I/O error",
    "database or disk is full",
    "unable to open database file",
    "database disk image is malformed",
)


def sqlite_library() -> tuple[ModuleType, bool]:
    """Return the SQLite module to use, and whether WAL mode is safe with it.

    SQLite 3.7.0 to 3.51.2 can corrupt a WAL file with two connections; fixed in 3.51.3, 3.50.7
    and 3.44.6 (https://sqlite.org/wal.html). The standard library's module comes first.
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
    return (
        version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    )


def create_sqlite_engine(url: str, *, read_only: bool) -> Engine:
    """Return an engine whose transactions begin with BEGIN (read-only) or BEGIN IMMEDIATE."""
    library, is_safe = sqlite_library()
    file = Path(url.removeprefix("sqlite:///"))
    engine = create_engine(
        url,
        module=library,
        pool_size=32,
        max_overflow=64,
        hide_parameters=True,  # parameters are personal data, and errors are logged
        pool_use_lifo=True,  # the most recently used connection has the warmest page cache
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        # By chmod alone: closing another descriptor of the file would release SQLite's locks. New
        # side files get the mode of the database.
        for suffix in ("", "-wal", "-shm", "-journal"):
            make_private(file.with_name(file.name + suffix))
        connection.isolation_level = None  # the driver begins no transaction by itself
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"journal_mode={'WAL' if is_safe else 'DELETE'}",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",  # for the savepoints of a group commit
            "secure_delete=ON",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            f"query_only={'ON' if read_only else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A read that becomes a write fails at once, whatever the busy timeout. IMMEDIATE waits.
        # By the driver: SQLAlchemy's own execution costs as much as an INSERT.
        sql = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        RawConnection(engine.dialect, connection.connection).run(sql)

    return engine
