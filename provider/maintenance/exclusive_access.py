"""Exclusive access to a database, or rows written during a copy would be missing from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from provider.errors import Conflict
from provider.maintenance.table_copy import all_tables
from provider.storage.database import Database, translate_errors
from provider.storage.fsync import make_folder

# One check each 0.1 seconds: PostgreSQL notices late that a killed program is gone.
MAX_CONNECTION_CHECKS = 50
COUNT_OTHER_CONNECTIONS_SQL = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@contextmanager
def exclusive(db: Database) -> Iterator[None]:
    """Conflict if another program uses the database.

    On SQLite the file is locked until the end, and only `db.writing` works meanwhile.
    """
    db.close()  # or our own connections would block the lock
    with _exclusive_sqlite(db) if db.is_sqlite else _exclusive_postgres(db):
        yield


def block_writes(session: Session) -> None:
    """Lock every table against writes until the transaction ends (PostgreSQL)."""
    if session.get_bind().dialect.name != "sqlite":
        names = ", ".join(table.name for table in all_tables())
        session.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))


@contextmanager
def _exclusive_sqlite(db: Database) -> Iterator[None]:
    # SQLite's own lock on the file fails even if another program is only connected.
    mode = "EXCLUSIVE"

    @event.listens_for(db.engine, "connect", insert=True)
    def _lock(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA locking_mode={mode}").close()

    make_folder(Path(str(db.url.database)).parent)
    try:
        with translate_errors():
            _acquire_file_lock(db)
        yield
    finally:
        mode = "NORMAL"
        db.close()


def _acquire_file_lock(db: Database) -> None:
    try:
        with db.engine.begin():
            pass
    except OperationalError as error:
        if "database is locked" not in str(error.orig):
            raise
        raise Conflict(
            f"Another program has {db.url.database} open: stop the server, then try again"
        ) from error


@contextmanager
def _exclusive_postgres(db: Database) -> Iterator[None]:
    db.require_direct_connection()  # idle connections of a pooler would count as programs
    with translate_errors(), db.engine.connect() as connection:
        for _ in range(MAX_CONNECTION_CHECKS):
            others = connection.scalar(text(COUNT_OTHER_CONNECTIONS_SQL))
            if not others:
                break
            connection.execute(text("SELECT pg_sleep(0.1)"))
            connection.rollback()  # each transaction sees one snapshot of pg_stat_activity
        else:
            raise Conflict(
                f"The database {db.url.database} has {others} other connections: stop the servers "
                "and workers that use it, then try again"
            )
    yield
