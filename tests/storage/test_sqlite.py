"""Group commit on SQLite: one writer at a time, several in a commit, each atomic."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.orm import Session

from provider.core.staff import SignInAttempt
from provider.errors import Conflict, Unavailable
from provider.services import Services
from provider.storage.database import Database
from provider.storage.group_commit import GroupCommitQueue

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
WriterBody = Callable[[Session], None]


@pytest.fixture
def db(services: Services) -> Database:
    if not services.db.is_sqlite:
        pytest.skip("SQLite alone has one writer")
    return services.db


@pytest.fixture
def commits(db: Database) -> list[int]:
    """A list that gets an entry at each commit."""
    commits: list[int] = []
    event.listen(db.engine, "commit", lambda _: commits.append(1))
    return commits


def write(key: str, then: WriterBody | None = None) -> WriterBody:
    def body(session: Session) -> None:
        session.add(SignInAttempt(key=key.encode(), attempted_at=AT))
        session.flush()
        if then:
            then(session)

    return body


def refuse(_: object) -> None:
    raise Conflict("no")


def stored_keys(db: Database) -> list[str]:
    with db.reading() as session:
        return sorted(key.decode() for key in session.scalars(select(SignInAttempt.key)))


def commit_queue(db: Database) -> GroupCommitQueue:
    assert db._commit_queue
    return db._commit_queue


@contextmanager
def queued_writers(
    db: Database,
    *bodies: WriterBody,
    separate_commits: tuple[int, ...] = (),
) -> Iterator[list[Future[None]]]:
    """Let the other bodies wait in the queue, in their order, while the first writes."""
    pool = ThreadPoolExecutor(len(bodies))
    started, go = threading.Event(), threading.Event()

    def open_writer(number: int) -> AbstractContextManager[Session]:
        return db.writing(separate_commit=number in separate_commits)

    def first() -> None:
        with open_writer(0) as writer:
            started.set()
            assert go.wait(20)
            bodies[0](writer)

    def other(number: int) -> None:
        with open_writer(number) as writer:
            bodies[number](writer)

    with pool:
        futures = [pool.submit(first)]
        assert started.wait(20)
        for number in range(1, len(bodies)):
            futures.append(pool.submit(other, number))
            wait_for_waiters(db, number)
        go.set()
        yield futures


def wait_for_waiters(db: Database, count: int) -> None:
    tick = threading.Event()
    for _ in range(20_000):
        if len(commit_queue(db)._waiters) == count:
            return
        tick.wait(0.001)
    raise AssertionError("no writer waits in the queue")


def test_waiting_writers_share_a_commit(db: Database, commits: list[int]) -> None:
    with queued_writers(db, *(write(key) for key in "abcd")) as futures:
        for future in futures:
            future.result(20)
    assert stored_keys(db) == list("abcd")
    assert len(commits) == 1


def test_writer_returns_only_after_the_commit(db: Database) -> None:
    results: list[list[str]] = []

    def read_in_other_thread(_: Session) -> None:
        with ThreadPoolExecutor(1) as pool:
            results.append(pool.submit(stored_keys, db).result(20))

    with queued_writers(db, write("a"), write("b", read_in_other_thread)) as futures:
        futures[1].result(20)
        assert results == [[]]
        futures[0].result(20)


def test_failing_writer_rolls_back_its_part_only(db: Database, commits: list[int]) -> None:
    with queued_writers(db, write("a"), write("b", refuse), write("c")) as futures:
        futures[0].result(20)
        with pytest.raises(Conflict):
            futures[1].result(20)
        futures[2].result(20)
    assert stored_keys(db) == ["a", "c"]


def test_writer_after_failing_first_begins_new_transaction(db: Database) -> None:
    with queued_writers(db, write("a", refuse), write("b")) as futures:
        with pytest.raises(Conflict):
            futures[0].result(20)
        futures[1].result(20)
    assert stored_keys(db) == ["b"]


def test_failing_commit_fails_for_all_its_writers(db: Database) -> None:
    def fail(_: Session) -> None:
        @event.listens_for(db.engine, "commit", once=True)
        def _full(_: object) -> None:
            raise OSError("the disk is gone")

    with queued_writers(db, write("a"), write("b"), write("c", fail)) as futures:
        for future in futures[:2]:
            with pytest.raises(Unavailable, match="may be lost"):
                future.result(20)
        with pytest.raises(OSError, match="gone"):
            futures[2].result(20)
    assert stored_keys(db) == []
    with db.writing() as session:
        write("d")(session)
    assert stored_keys(db) == ["d"]


def test_rollback_by_sqlite_fails_earlier_writers_of_the_commit(db: Database) -> None:
    def fill(session: Session) -> None:
        session.execute(text("ROLLBACK"))  # as SQLite does when its disk is full
        raise Conflict("full")

    with queued_writers(db, write("a"), write("b", fill), write("c")) as futures:
        with pytest.raises(Unavailable, match="may be lost"):
            futures[0].result(20)
        with pytest.raises((Unavailable, Conflict)):
            futures[1].result(20)
        futures[2].result(20)
    assert stored_keys(db) == ["c"]


def test_transaction_ended_by_sqlite_is_unavailable(db: Database) -> None:
    def lose() -> None:
        with db.writing() as session:
            write("a")(session)
            session.execute(text("ROLLBACK"))

    with pytest.raises(Unavailable, match="may be lost"):
        lose()
    assert stored_keys(db) == []


def test_separate_commit_does_not_delay_earlier_writer(db: Database, commits: list[int]) -> None:
    go = threading.Event()

    def slow(_: Session) -> None:
        assert go.wait(20)

    with queued_writers(
        db, write("a"), write("b", slow), write("c"), separate_commits=(1,)
    ) as futures:
        futures[0].result(20)  # before the slow writer ends
        go.set()
        futures[1].result(20)
        futures[2].result(20)
    assert stored_keys(db) == ["a", "b", "c"]
    assert len(commits) == 3


def test_writer_that_times_out_leaves_the_queue(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.storage.sqlite.BUSY_TIMEOUT_MS", 1)
    go = threading.Event()

    with ThreadPoolExecutor(1) as pool:
        started = threading.Event()

        def first() -> None:
            with db.writing() as session:
                started.set()
                assert go.wait(20)
                write("a")(session)

        future = pool.submit(first)
        assert started.wait(20)
        with (
            pytest.raises(Unavailable, match="Another program is writing"),
            db.writing() as session,
        ):
            write("b")(session)
        go.set()
        future.result(20)
    assert stored_keys(db) == ["a"]
    assert not commit_queue(db)._waiters


def test_listeners_and_callbacks_run_after_shared_commit(db: Database) -> None:
    calls: list[tuple[set[str], int]] = []
    callbacks: list[str] = []
    db.on_commit.append(lambda queues: calls.append((queues, len(stored_keys(db)))))

    def notify(key: str) -> WriterBody:
        def body(session: Session) -> None:
            session.info.setdefault("queues", set()).add(key)
            session.info.setdefault("after_commit", []).append(lambda: callbacks.append(key))
            assert not calls
            assert not callbacks

        return body

    bodies = [write(key, notify(key)) for key in "abc"]
    with queued_writers(db, *bodies, write("d", refuse)) as futures:
        for future in futures[:3]:
            future.result(20)
    assert sorted(calls, key=str) == [({key}, 3) for key in "abc"]
    assert sorted(callbacks) == ["a", "b", "c"]


def test_session_in_shared_commit_has_no_stale_objects(db: Database) -> None:
    def load(session: Session) -> None:
        row = session.scalars(select(SignInAttempt)).one()
        assert row.key == b"a"

    def change(session: Session) -> None:
        statement = update(SignInAttempt).values(key=b"b")
        session.execute(statement.execution_options(synchronize_session=False))
        assert session.scalars(select(SignInAttempt)).one().key == b"b"

    with queued_writers(db, write("a", load), change) as futures:
        for future in futures:
            future.result(20)


def test_thousand_concurrent_writers_lose_nothing(db: Database, commits: list[int]) -> None:
    def write_one(number: int) -> None:
        with db.writing() as session:
            write(str(number), refuse if number % 10 == 0 else None)(session)

    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(write_one, number) for number in range(1000)]
    failed = {number for number, future in enumerate(futures) if future.exception()}
    assert failed == set(range(0, 1000, 10))
    assert stored_keys(db) == sorted(str(number) for number in range(1000) if number % 10)
    assert len(commits) <= 900


def test_commits_reuse_one_connection_until_one_fails(db: Database) -> None:
    used: list[object] = []

    def write_once(*, fails: bool = False) -> None:
        with db.writing() as session:
            used.append(session.connection().connection.dbapi_connection)
            if fails:
                session.execute(text("ROLLBACK"))

    pool: Any = db.engine.pool

    write_once()
    write_once()
    assert used[0] is used[1]
    assert pool.checkedout() == 1
    with pytest.raises(Unavailable):
        write_once(fails=True)
    assert pool.checkedout() == 0
    write_once()
    write_once()
    assert used[3] is used[4]
    db.close()
    assert pool.checkedout() == 0
