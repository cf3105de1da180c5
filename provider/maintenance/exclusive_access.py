"""A database for one program alone: nobody else may write to what is moved."""

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

MAX_CONNECTION_CHECKS = 50  # tenths of a second that a killed program's connections may take to end
COUNT_OTHER_CONNECTIONS_SQL = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""


@contextmanager
def exclusive(db: Database) -> Iterator[None]:
    """Make sure that no other program uses a database; Conflict when one does.

    On SQLite nobody else gets in until the end, and only writing transactions go.
    """
    db.close()  # our own connections would be in the way
    with _exclusive_sqlite(db) if db.is_sqlite else _exclusive_postgres(db):
        yield


def block_writes(session: Session) -> None:
    """Let nobody write to any table until the transaction ends."""
    if session.get_bind().dialect.name != "sqlite":
        names = ", ".join(table.name for table in all_tables())
        session.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))


@contextmanager
def _exclusive_sqlite(db: Database) -> Iterator[None]:
    # SQLite's own lock on the file: it sees even a server that only sits there.
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
    with translate_errors(), db.engine.connect() as connection:
        for _ in range(MAX_CONNECTION_CHECKS):
            others = connection.scalar(text(COUNT_OTHER_CONNECTIONS_SQL))
            if not others:
                break
            connection.execute(text("SELECT pg_sleep(0.1)"))
            connection.rollback()  # or what was counted would stay the same
        else:
            raise Conflict(
                f"The database {db.url.database} has {others} other connections: stop the servers "
                "and workers that use it, then try again"
            )
    yield
