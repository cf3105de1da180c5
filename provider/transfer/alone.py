"""A database for one program alone: nobody else may write to what is moved."""

from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from provider.db import Database, said_plainly
from provider.disk import make_folder
from provider.errors import Conflict
from provider.transfer.tables import tables

PATIENCE = 50  # tenths of a second that a killed program's connections may take to end
OTHERS = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""


def be_alone(db: Database) -> None:
    """Make sure that no other program uses a database; Conflict when one does.

    On SQLite it stays so until the database is closed, and only writing transactions go.
    """
    db.close()  # our own connections would be in the way
    with said_plainly():
        if db.sqlite:
            _lock_file(db)
        else:
            _wait_for_others(db)


def keep_still(session: Session) -> None:
    """Let nobody write to any table of PostgreSQL until the transaction ends."""
    if session.get_bind().dialect.name != "sqlite":
        names = ", ".join(table.name for table in tables())
        session.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))


def _lock_file(db: Database) -> None:
    # SQLite's own lock on the file: it sees even a server that only sits there.
    @event.listens_for(db.engine, "connect", insert=True)
    def _exclusively(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE").close()

    make_folder(Path(str(db.url.database)).parent)
    try:
        with db.engine.begin():
            pass
    except OperationalError as error:
        if "database is locked" not in str(error.orig):
            raise
        raise Conflict(
            f"Another program has {db.url.database} open: stop the server, then try again"
        ) from error


def _wait_for_others(db: Database) -> None:
    with db.engine.connect() as connection:
        for _ in range(PATIENCE):
            others = connection.scalar(text(OTHERS))
            if not others:
                return
            connection.execute(text("SELECT pg_sleep(0.1)"))
            connection.rollback()  # or what was counted would stay the same
    raise Conflict(
        f"{others} other connections to the database {db.url.database} are open: stop the servers "
        "and workers that use it, then try again"
    )
