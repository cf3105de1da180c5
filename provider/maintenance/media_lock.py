"""The lock on the encrypted files of an instance, in all its processes.

A backup copies the rows first and the files after them. A file that is encrypted anew in between
would not have the digest of its row.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from provider.errors import Conflict
from provider.storage.database import Database, translate_errors

LOCK_NAME = "provider media"


@contextmanager
def copying_files(db: Database) -> Iterator[None]:
    """Keep the files as they are. Raises Conflict while they are encrypted anew."""
    with _locked(db, is_exclusive=False) as is_locked:
        if not is_locked:
            raise Conflict("`provider key reencrypt` runs: make the backup when it has ended")
        yield


@contextmanager
def replacing_files(db: Database) -> Iterator[None]:
    """Keep everybody else from copying or replacing files. Raises Conflict while one does."""
    with _locked(db, is_exclusive=True) as is_locked:
        if not is_locked:
            raise Conflict(
                "A backup or another `provider key reencrypt` runs: try again when it has ended"
            )
        yield


@contextmanager
def _locked(db: Database, *, is_exclusive: bool) -> Iterator[bool]:
    """Try to hold the lock until the end; yield whether it is held."""
    with (
        _locked_folder(Path(str(db.url.database)).parent, is_exclusive)
        if db.is_sqlite
        else _locked_database(db, is_exclusive)
    ) as is_locked:
        yield is_locked


@contextmanager
def _locked_folder(folder: Path, is_exclusive: bool) -> Iterator[bool]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if is_exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        is_locked = True
    except BlockingIOError:
        is_locked = False
    try:
        yield is_locked
    finally:
        os.close(descriptor)


@contextmanager
def _locked_database(db: Database, is_exclusive: bool) -> Iterator[bool]:
    # A lock of the transaction, not of the session: a pooler may share the session.
    function = f"pg_try_advisory_xact_lock{'' if is_exclusive else '_shared'}"
    with translate_errors(), db.engine.connect() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        query = text(f"SELECT {function}(hashtext(:name))")
        yield bool(connection.scalar(query, {"name": LOCK_NAME}))
