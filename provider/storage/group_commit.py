"""Group commit on SQLite: writers that wait at the same time share one transaction."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session
from sqlalchemy.orm.session import JoinTransactionMode

from provider.errors import Unavailable
from provider.storage.compiled import Pen
from provider.storage.sqlite import BUSY_MESSAGE, BUSY_TIMEOUT_MS, DISK_FAILURE_MESSAGE

MAX_WRITERS_PER_COMMIT = 32  # writers that share a commit at most


class GroupCommitQueue:
    """Who may write: one at a time, in the order of coming. SQLite's own queue is not as fair.

    Those who stand in line together share a commit: it waits for the disk once, and a page that all
    of them touch is written once. Nobody goes on before what he wrote is on the disk.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle_connection: Connection | None = (
            None  # for the next turn: a pool's care is a tenth of one
        )
        self._mutex = threading.Lock()
        self._is_writing = False
        self._waiters: deque[_Waiter] = deque()

    @contextmanager
    def session(self, *, separate_commit: bool = False) -> Iterator[Session]:
        """Open a transaction that is on the disk at the end, or leaves nothing behind.

        Unready when the turn does not come within `BUSY_TIMEOUT`.
        """
        with (
            self._join_transaction(separate_commit=separate_commit) as commit,
            commit.session() as session,
        ):
            yield session

    @contextmanager
    def pen(self) -> Iterator[Pen]:
        """Open the same for a few ready-made statements."""
        with self._join_transaction() as commit, commit.pen() as pen:
            yield pen

    def acquire_connection(self) -> Connection:
        """Lend whoever has the turn the connection that is kept, or a new one."""
        return self._take_idle_connection() or self._engine.connect()

    def return_connection(self, connection: Connection) -> None:
        """Keep for the next turn what went well in this one."""
        self._idle_connection = connection

    def close(self) -> None:
        """Give the connection back; where somebody has the turn, it is kept after it."""
        if kept := self._take_idle_connection():
            kept.close()

    def _take_idle_connection(self) -> Connection | None:
        with self._mutex:  # whoever closes may come while another's turn begins
            kept, self._idle_connection = self._idle_connection, None
        return kept

    @contextmanager
    def _join_transaction(self, *, separate_commit: bool = False) -> Iterator["_SharedTransaction"]:
        commit = self._wait_for_turn(separate_commit) or _SharedTransaction(self)
        try:
            yield commit
            commit.completed_writers += 1
        except BaseException:
            self._finish(commit)
            raise
        if separate_commit or not self._pass_to_next_waiter(commit):
            self._finish(commit)
        commit.wait()

    def _wait_for_turn(self, separate_commit: bool) -> "_SharedTransaction | None":
        """Wait for the turn; return the commit to join, None where a new one begins."""
        with self._mutex:
            if not self._is_writing:
                self._is_writing = True
                return None
            place = _Waiter(separate_commit)
            self._waiters.append(place)
        if not place.wakeup.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            with self._mutex:
                if place in self._waiters:
                    self._waiters.remove(place)
                    raise Unavailable(BUSY_MESSAGE)
        return place.transaction

    def _pass_to_next_waiter(self, transaction: "_SharedTransaction") -> bool:
        """Give the turn, and the commit with it, to the next in line; False if nobody takes it."""
        with self._mutex:
            if (
                transaction.completed_writers >= MAX_WRITERS_PER_COMMIT
                or not self._waiters
                or self._waiters[0].separate_commit
            ):
                return False
            self._waiters.popleft().wake(transaction)
        return True

    def _finish(self, transaction: "_SharedTransaction") -> None:
        """Make the commit, and give the turn to the next in line."""
        try:
            transaction.finish()
        finally:
            with self._mutex:
                self._is_writing = bool(self._waiters)
                if self._waiters:
                    self._waiters.popleft().wake(None)


class _Waiter:
    """A place in the line."""

    def __init__(self, separate_commit: bool) -> None:
        self.separate_commit = separate_commit
        self.transaction: _SharedTransaction | None = None
        self.wakeup = threading.Lock()
        self.wakeup.acquire()

    def wake(self, transaction: "_SharedTransaction | None") -> None:
        """Say that the turn has come, and which commit to join."""
        self.transaction = transaction
        self.wakeup.release()


class _SharedTransaction:
    """What one or several wrote, kept at once or not at all: one transaction."""

    def __init__(self, commit_queue: GroupCommitQueue) -> None:
        self.completed_writers = 0  # that went well
        self._commit_queue = commit_queue
        self._connection: Connection | None = None
        self._finished = threading.Event()
        self._error: BaseException | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend a session for one part of it, which is undone without the others."""
        mode: JoinTransactionMode = (
            "create_savepoint" if self.completed_writers else "rollback_only"
        )
        with (
            Session(
                self._begin_connection(), expire_on_commit=False, join_transaction_mode=mode
            ) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def pen(self) -> Iterator[Pen]:
        """Lend a pen for one part of it, which is undone without the others."""
        connection = self._begin_connection()
        pen = Pen(connection.dialect, connection.connection)
        if not self.completed_writers:
            yield pen
            return
        pen.run("SAVEPOINT part")
        try:
            yield pen
        except BaseException:
            if _driver_connection(
                connection
            ).in_transaction:  # or SQLite has undone it all by itself
                pen.run("ROLLBACK TO part")
            raise
        pen.run("RELEASE part")

    def _begin_connection(self) -> Connection:
        if self._connection is None:
            self._connection = self._commit_queue.acquire_connection()
            self._connection.begin()
        return self._connection

    def finish(self) -> None:
        """Bring it to the disk; with no part that went well there is nothing to bring."""
        try:
            if self._connection and self.completed_writers:
                _commit(self._connection)
                self._commit_queue.return_connection(self._connection)
            elif self._connection:
                self._connection.close()
        except BaseException as error:
            self._error = error
            if self._connection:
                self._connection.close()  # it begins nothing more
            raise
        finally:
            self._finished.set()

    def wait(self) -> None:
        """Wait until it is made; Unready when it failed."""
        self._finished.wait()
        if self._error:
            raise Unavailable(DISK_FAILURE_MESSAGE) from self._error


def _commit(connection: Connection) -> None:
    driver = _driver_connection(connection)
    # When its disk fails SQLite ends a transaction by itself, and the commit that follows would
    # keep nothing and say nothing.
    if not driver.in_transaction:
        raise Unavailable(DISK_FAILURE_MESSAGE)
    try:
        connection.commit()
    except BaseException:
        driver.rollback()  # for SQLAlchemy a commit that failed is an end
        raise


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.dbapi_connection
