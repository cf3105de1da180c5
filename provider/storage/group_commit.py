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
from provider.storage import sqlite

MAX_WRITERS_PER_COMMIT = 32


class GroupCommitQueue:
    """A queue of writers: one writes at a time, first come, first served.

    SQLite's own lock is not fair. Writers that wait in the queue together share a commit, which
    waits for the disk once. A writer returns only after its rows are on the disk.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Reused by the next commit: the pool would cost a tenth of a transaction.
        self._idle_connection: Connection | None = None
        self._mutex = threading.Lock()
        self._is_writing = False
        self._waiters: deque[_Waiter] = deque()

    @contextmanager
    def session(self, *, separate_commit: bool = False) -> Iterator[Session]:
        """Open a transaction that is on the disk at the end, or is rolled back by an error.

        Unavailable if the writer waits longer than `sqlite.BUSY_TIMEOUT_MS`.
        """
        with (
            self._join_transaction(separate_commit=separate_commit) as transaction,
            transaction.session() as session,
        ):
            yield session

    def acquire_connection(self) -> Connection:
        return self._take_idle_connection() or self._engine.connect()

    def return_connection(self, connection: Connection) -> None:
        """Keep a connection for the next commit."""
        self._idle_connection = connection

    def close(self) -> None:
        """Close the idle connection; a connection that is in use stays open."""
        if connection := self._take_idle_connection():
            connection.close()

    def _take_idle_connection(self) -> Connection | None:
        with self._mutex:  # `close` may run while another thread begins a transaction
            connection, self._idle_connection = self._idle_connection, None
        return connection

    @contextmanager
    def _join_transaction(self, *, separate_commit: bool = False) -> Iterator["_SharedTransaction"]:
        transaction = self._enter_queue(separate_commit) or _SharedTransaction(self)
        try:
            yield transaction
            transaction.completed_writers += 1
        except BaseException:
            self._finish(transaction)
            raise
        if separate_commit or not self._pass_to_next_waiter(transaction):
            self._finish(transaction)
        transaction.wait()

    def _enter_queue(self, separate_commit: bool) -> "_SharedTransaction | None":
        """Return the transaction to join, or None to begin a new one."""
        with self._mutex:
            if not self._is_writing:
                self._is_writing = True
                return None
            waiter = _Waiter(separate_commit)
            self._waiters.append(waiter)
        if not waiter.wakeup.acquire(timeout=sqlite.BUSY_TIMEOUT_MS / 1000):
            with self._mutex:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                    raise Unavailable(sqlite.BUSY_MESSAGE)
        return waiter.transaction

    def _pass_to_next_waiter(self, transaction: "_SharedTransaction") -> bool:
        """Let the next waiter write into the same transaction; False if it must be committed."""
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
        """Commit, and let the next waiter begin a new transaction."""
        try:
            transaction.finish()
        finally:
            with self._mutex:
                self._is_writing = bool(self._waiters)
                if self._waiters:
                    self._waiters.popleft().wake(None)


class _Waiter:
    def __init__(self, separate_commit: bool) -> None:
        self.separate_commit = separate_commit
        self.transaction: _SharedTransaction | None = None
        self.wakeup = threading.Lock()
        self.wakeup.acquire()

    def wake(self, transaction: "_SharedTransaction | None") -> None:
        """Let the writer go on, in this transaction or (None) in a new one."""
        self.transaction = transaction
        self.wakeup.release()


class _SharedTransaction:
    """One database transaction with the rows of one or several writers."""

    def __init__(self, commit_queue: GroupCommitQueue) -> None:
        self.completed_writers = 0  # without those that were rolled back
        self._commit_queue = commit_queue
        self._connection: Connection | None = None
        self._finished = threading.Event()
        self._error: BaseException | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open one writer's part; an error rolls back this part only."""
        mode: JoinTransactionMode = (
            "create_savepoint" if self.completed_writers else "rollback_only"
        )
        with (
            Session(
                self._begin_connection(),
                expire_on_commit=False,
                join_transaction_mode=mode,
            ) as session,
            session.begin(),
        ):
            yield session

    def _begin_connection(self) -> Connection:
        if self._connection is None:
            self._connection = self._commit_queue.acquire_connection()
            self._connection.begin()
        return self._connection

    def finish(self) -> None:
        """Commit if any writer succeeded, else roll back."""
        try:
            if self._connection and self.completed_writers:
                _commit(self._connection)
                self._commit_queue.return_connection(self._connection)
            elif self._connection:
                self._connection.close()
        except BaseException as error:
            self._error = error
            if self._connection:
                self._connection.close()  # a failed connection is not reused
            raise
        finally:
            self._finished.set()

    def wait(self) -> None:
        """Wait for the commit; Unavailable if it failed."""
        self._finished.wait()
        if self._error:
            raise Unavailable(sqlite.DISK_FAILURE_MESSAGE) from self._error


def _commit(connection: Connection) -> None:
    driver = _driver_connection(connection)
    # SQLite ends a transaction by itself when its disk fails. A commit would then succeed without
    # saving anything.
    if not driver.in_transaction:
        raise Unavailable(sqlite.DISK_FAILURE_MESSAGE)
    try:
        connection.commit()
    except BaseException:
        # SQLAlchemy regards a failed commit as the end of the transaction, SQLite does not.
        driver.rollback()
        raise


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.dbapi_connection
