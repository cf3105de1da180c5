"""SQLite as this house uses it: which library, how it is opened, and who may write when."""

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session
from sqlalchemy.orm.session import JoinTransactionMode

from provider.errors import Unready
from provider.statements import Pen

BUSY_TIMEOUT = 10_000  # milliseconds that a writer waits for another writer
TOGETHER = 32  # writers that share a commit at most
CHECKPOINT = 4000  # pages (16 MB): much of what one order writes, the next ones write again
BUSY = "The database is kept busy by another program that writes; nothing was kept: try again"
FAILING = (
    "The database's disk fails or is full; what was asked for is not promised: try again later"
)
DISK = (  # the last is also what SQLite says when it cannot read
    "disk I/O error", "database or disk is full", "unable to open database file",
    "database disk image is malformed",
)  # fmt: skip


def sqlite_library() -> tuple[ModuleType, bool]:
    """Return the SQLite to use and whether its WAL is safe.

    SQLite 3.7.0 to 3.51.2 can corrupt a WAL file with two connections; fixed in 3.51.3, 3.50.7
    and 3.44.6 (https://sqlite.org/wal.html). The standard library's is used when it is safe.
    """
    if wal_is_safe(sqlite3.sqlite_version_info):
        return sqlite3, True
    try:
        import pysqlite3.dbapi2 as bundled
    except ImportError:
        return sqlite3, False
    if wal_is_safe(bundled.sqlite_version_info):
        return bundled, True
    return sqlite3, False


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Say whether this SQLite version keeps a WAL file whole."""
    return (
        version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    )


def engine(url: str, *, read_only: bool) -> Engine:
    """Return an engine whose transactions begin as they are: to read, or to write."""
    library, safe = sqlite_library()
    # What a statement was given is people's data, and has no place in an error that is logged.
    made = create_engine(
        url, module=library, pool_size=32, max_overflow=64, hide_parameters=True,
        pool_use_lifo=True,  # the connection used last has the most in its memory
    )  # fmt: skip

    @event.listens_for(made, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT}",
            f"journal_mode={'WAL' if safe else 'DELETE'}",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",  # what would undo one part of a shared commit
            "secure_delete=ON",
            f"wal_autocheckpoint={CHECKPOINT}",
            f"query_only={'ON' if read_only else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(made, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE, for a read that turns into a write fails at once whatever the timeout.
        sql = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        Pen(made.dialect, connection.connection).run(sql)

    return made


class Line:
    """Who may write: one at a time, in the order of coming. SQLite's own queue is not as fair.

    Those who stand in line together share a commit: it waits for the disk once, and a page that all
    of them touch is written once. Nobody goes on before what he wrote is on the disk.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: Connection | None = None  # for the next turn: a pool's care is a tenth of one
        self._mutex = threading.Lock()
        self._taken = False
        self._waiting: deque[_Place] = deque()

    @contextmanager
    def session(self, *, alone: bool = False) -> Iterator[Session]:
        """Open a transaction that is on the disk at the end, or leaves nothing behind.

        Unready when the turn does not come within `BUSY_TIMEOUT`.
        """
        with self._part(alone=alone) as commit, commit.session() as session:
            yield session

    @contextmanager
    def pen(self) -> Iterator[Pen]:
        """Open the same for a few ready-made statements."""
        with self._part() as commit, commit.pen() as pen:
            yield pen

    def connect(self) -> Connection:
        """Lend whoever has the turn the connection that is kept, or a new one."""
        return self._take() or self._engine.connect()

    def keep(self, connection: Connection) -> None:
        """Keep for the next turn what went well in this one."""
        self._kept = connection

    def close(self) -> None:
        """Give the connection back; where somebody has the turn, it is kept after it."""
        if kept := self._take():
            kept.close()

    def _take(self) -> Connection | None:
        with self._mutex:  # whoever closes may come while another's turn begins
            kept, self._kept = self._kept, None
        return kept

    @contextmanager
    def _part(self, *, alone: bool = False) -> Iterator["_Commit"]:
        commit = self._stand(alone) or _Commit(self)
        try:
            yield commit
            commit.parts += 1
        except BaseException:
            self._end(commit)
            raise
        if alone or not self._pass_on(commit):
            self._end(commit)
        commit.wait()

    def _stand(self, alone: bool) -> "_Commit | None":
        """Wait for the turn; return the commit to join, None where a new one begins."""
        with self._mutex:
            if not self._taken:
                self._taken = True
                return None
            place = _Place(alone)
            self._waiting.append(place)
        if not place.turn.acquire(timeout=BUSY_TIMEOUT / 1000):
            with self._mutex:
                if place in self._waiting:
                    self._waiting.remove(place)
                    raise Unready(BUSY)
        return place.commit

    def _pass_on(self, commit: "_Commit") -> bool:
        """Give the turn, and the commit with it, to the next in line; False if nobody takes it."""
        with self._mutex:
            if commit.parts >= TOGETHER or not self._waiting or self._waiting[0].alone:
                return False
            self._waiting.popleft().call(commit)
        return True

    def _end(self, commit: "_Commit") -> None:
        """Make the commit, and give the turn to the next in line."""
        try:
            commit.make()
        finally:
            with self._mutex:
                self._taken = bool(self._waiting)
                if self._waiting:
                    self._waiting.popleft().call(None)


class _Place:
    """A place in the line."""

    def __init__(self, alone: bool) -> None:
        self.alone = alone
        self.commit: _Commit | None = None
        self.turn = threading.Lock()
        self.turn.acquire()

    def call(self, commit: "_Commit | None") -> None:
        """Say that the turn has come, and which commit to join."""
        self.commit = commit
        self.turn.release()


class _Commit:
    """What one or several wrote, kept at once or not at all: one transaction."""

    def __init__(self, line: Line) -> None:
        self.parts = 0  # that went well
        self._line = line
        self._connection: Connection | None = None
        self._made = threading.Event()
        self._failed: BaseException | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend a session for one part of it, which is undone without the others."""
        mode: JoinTransactionMode = "create_savepoint" if self.parts else "rollback_only"
        with (
            Session(self._begun(), expire_on_commit=False, join_transaction_mode=mode) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def pen(self) -> Iterator[Pen]:
        """Lend a pen for one part of it, which is undone without the others."""
        connection = self._begun()
        pen = Pen(connection.dialect, connection.connection)
        if not self.parts:
            yield pen
            return
        pen.run("SAVEPOINT part")
        try:
            yield pen
        except BaseException:
            if _driver(connection).in_transaction:  # or SQLite has undone it all by itself
                pen.run("ROLLBACK TO part")
            raise
        pen.run("RELEASE part")

    def _begun(self) -> Connection:
        if self._connection is None:
            self._connection = self._line.connect()
            self._connection.begin()
        return self._connection

    def make(self) -> None:
        """Bring it to the disk; with no part that went well there is nothing to bring."""
        try:
            if self._connection and self.parts:
                _commit(self._connection)
                self._line.keep(self._connection)
            elif self._connection:
                self._connection.close()
        except BaseException as error:
            self._failed = error
            if self._connection:
                self._connection.close()  # it begins nothing more
            raise
        finally:
            self._made.set()

    def wait(self) -> None:
        """Wait until it is made; Unready when it failed."""
        self._made.wait()
        if self._failed:
            raise Unready(FAILING) from self._failed


def _commit(connection: Connection) -> None:
    driver = _driver(connection)
    # When its disk fails SQLite ends a transaction by itself, and the commit that follows would
    # keep nothing and say nothing.
    if not driver.in_transaction:
        raise Unready(FAILING)
    try:
        connection.commit()
    except BaseException:
        driver.rollback()  # for SQLAlchemy a commit that failed is an end
        raise


def _driver(connection: Connection) -> Any:
    return connection.connection.dbapi_connection
