"""The line of those who write to SQLite: one at a time, several in one commit, each whole."""

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
from provider.storage.compiled import Pen
from provider.storage.database import Database, insert_row
from provider.storage.group_commit import GroupCommitQueue

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
Body = Callable[[Any], None]  # what is done with a session, or a pen

WITH_PENS = pytest.mark.parametrize("pens", [(), (0, 2), (1, 3), (0, 1, 2, 3)])


@pytest.fixture
def db(services: Services) -> Database:
    if not services.db.is_sqlite:
        pytest.skip("SQLite alone has one writer")
    return services.db


@pytest.fixture
def commits(db: Database) -> list[int]:
    """How many rows there were at each commit."""
    made: list[int] = []
    event.listen(db.engine, "commit", lambda _: made.append(1))
    return made


def write(key: str, then: Body | None = None) -> Body:
    def body(door: Session | Pen) -> None:
        if isinstance(door, Session):
            door.add(SignInAttempt(key=key.encode(), attempted_at=AT))
            door.flush()
        else:
            insert_row(door, SignInAttempt, key=key.encode(), attempted_at=AT)
        if then:
            then(door)

    return body


def end(door: Session | Pen) -> None:
    if isinstance(door, Session):
        door.execute(text("ROLLBACK"))
    else:
        door.run("ROLLBACK")


def refuse(_: object) -> None:
    raise Conflict("no")


def kept(db: Database) -> list[str]:
    with db.reading() as session:
        return sorted(key.decode() for key in session.scalars(select(SignInAttempt.key)))


def line_of(db: Database) -> GroupCommitQueue:
    assert db._commit_queue
    return db._commit_queue


@contextmanager
def lining_up(
    db: Database, *bodies: Body, alone: tuple[int, ...] = (), pens: tuple[int, ...] = ()
) -> Iterator[list[Future[None]]]:
    """Have the first body written while the others stand in line behind it, in their order."""
    pool = ThreadPoolExecutor(len(bodies))
    begun, go = threading.Event(), threading.Event()

    def door(number: int) -> AbstractContextManager[Session | Pen]:
        return db.jotting() if number in pens else db.writing(separate_commit=number in alone)

    def first() -> None:
        with door(0) as opened:
            begun.set()
            assert go.wait(20)
            bodies[0](opened)

    def other(number: int) -> None:
        with door(number) as opened:
            bodies[number](opened)

    with pool:
        done = [pool.submit(first)]
        assert begun.wait(20)
        for number in range(1, len(bodies)):
            done.append(pool.submit(other, number))
            stands(db, number)
        go.set()
        yield done


def stands(db: Database, number: int) -> None:
    tick = threading.Event()
    for _ in range(20_000):
        if len(line_of(db)._waiters) == number:
            return
        tick.wait(0.001)
    raise AssertionError("nobody stands in line")


@WITH_PENS
def test_those_who_stand_in_line_share_a_commit_and_each_hears_of_it(
    db: Database, commits: list[int], pens: tuple[int, ...]
) -> None:
    with lining_up(db, *(write(key) for key in "abcd"), pens=pens) as done:
        for each in done:
            each.result(20)
    assert kept(db) == list("abcd")
    assert len(commits) == 1


def test_nobody_goes_on_before_the_commit(db: Database) -> None:
    seen: list[list[str]] = []

    def look_from_outside(_: Session) -> None:
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(kept, db).result(20))

    with lining_up(db, write("a"), write("b", look_from_outside)) as done:
        done[1].result(20)
        assert seen == [[]]
        done[0].result(20)


@WITH_PENS
def test_one_who_fails_takes_back_his_part_alone(
    db: Database, commits: list[int], pens: tuple[int, ...]
) -> None:
    with lining_up(db, write("a"), write("b", refuse), write("c"), pens=pens) as done:
        done[0].result(20)
        with pytest.raises(Conflict):
            done[1].result(20)
        done[2].result(20)
    assert kept(db) == ["a", "c"]


@WITH_PENS
def test_where_the_first_fails_the_next_begins_anew(db: Database, pens: tuple[int, ...]) -> None:
    with lining_up(db, write("a", refuse), write("b"), pens=pens) as done:
        with pytest.raises(Conflict):
            done[0].result(20)
        done[1].result(20)
    assert kept(db) == ["b"]


@WITH_PENS
def test_a_commit_that_fails_fails_for_all_of_it_and_the_line_goes_on(
    db: Database, pens: tuple[int, ...]
) -> None:
    def fail(_: Session) -> None:
        @event.listens_for(db.engine, "commit", once=True)
        def _full(_: object) -> None:
            raise OSError("the disk is gone")

    with lining_up(db, write("a"), write("b"), write("c", fail), pens=pens) as done:
        for each in done[:2]:
            with pytest.raises(Unavailable, match="not promised"):
                each.result(20)
        with pytest.raises(OSError, match="gone"):
            done[2].result(20)
    assert kept(db) == []
    with db.writing() as session:
        write("d")(session)
    assert kept(db) == ["d"]


@WITH_PENS
def test_what_sqlite_itself_takes_back_is_promised_to_nobody(
    db: Database, pens: tuple[int, ...]
) -> None:
    def fill(door: Session | Pen) -> None:
        end(door)  # as SQLite does when its disk is full
        raise Conflict("full")

    with lining_up(db, write("a"), write("b", fill), write("c"), pens=pens) as done:
        with pytest.raises(Unavailable, match="not promised"):
            done[0].result(20)
        with pytest.raises((Unavailable, Conflict)):
            done[1].result(20)
        done[2].result(20)
    assert kept(db) == ["c"]


def test_a_transaction_that_sqlite_ended_is_not_taken_for_kept(db: Database) -> None:
    def lose() -> None:
        with db.writing() as session:
            write("a")(session)
            session.execute(text("ROLLBACK"))

    with pytest.raises(Unavailable, match="not promised"):
        lose()
    assert kept(db) == []


def test_nobody_waits_for_one_who_commits_alone(db: Database, commits: list[int]) -> None:
    go = threading.Event()

    def slow(_: Session) -> None:
        assert go.wait(20)

    with lining_up(db, write("a"), write("b", slow), write("c"), alone=(1,)) as done:
        done[0].result(20)  # before the slow one is through
        go.set()
        done[1].result(20)
        done[2].result(20)
    assert kept(db) == ["a", "b", "c"]
    assert len(commits) == 3


def test_a_turn_that_comes_too_late_leaves_the_line_whole(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.storage.sqlite.BUSY_TIMEOUT_MS", 1)
    go = threading.Event()

    def hold(_: Session) -> None:
        assert go.wait(20)

    with ThreadPoolExecutor(1) as pool:
        begun = threading.Event()

        def first() -> None:
            with db.writing() as session:
                begun.set()
                hold(session)
                write("a")(session)

        held = pool.submit(first)
        assert begun.wait(20)
        with pytest.raises(Unavailable, match="kept busy"), db.writing() as session:
            write("b")(session)
        go.set()
        held.result(20)
    assert kept(db) == ["a"]
    assert not line_of(db)._waiters


@WITH_PENS
def test_each_hears_of_what_he_wrote_himself_and_only_then(
    db: Database, pens: tuple[int, ...]
) -> None:
    heard: list[tuple[set[str], int]] = []
    said: list[str] = []
    db.on_commit.append(lambda lanes: heard.append((lanes, len(kept(db)))))

    def tell(key: str) -> Body:
        def note(session: Session | Pen) -> None:
            session.info.setdefault("queues", set()).add(key)
            session.info.setdefault("kept", []).append(lambda: said.append(key))
            assert not heard
            assert not said

        return note

    bodies = [write(key, tell(key)) for key in "abc"]
    with lining_up(db, *bodies, write("d", refuse), pens=pens) as done:
        for each in done[:3]:
            each.result(20)
    assert sorted(heard, key=str) == [({key}, 3) for key in "abc"]
    assert sorted(said) == ["a", "b", "c"]


def test_nobody_sees_the_rows_of_others_as_they_were(db: Database) -> None:
    def load(session: Session) -> None:
        row = session.scalars(select(SignInAttempt)).one()
        assert row.key == b"a"

    def change(session: Session) -> None:
        told = update(SignInAttempt).values(key=b"b")
        session.execute(told.execution_options(synchronize_session=False))
        assert session.scalars(select(SignInAttempt)).one().key == b"b"

    with lining_up(db, write("a", load), change) as done:
        for each in done:
            each.result(20)


def test_a_thousand_writers_lose_nothing(db: Database, commits: list[int]) -> None:
    def one(number: int) -> None:
        with db.jotting() if number % 3 else db.writing() as door:
            write(str(number), refuse if number % 10 == 0 else None)(door)

    with ThreadPoolExecutor(16) as pool:
        done = [pool.submit(one, number) for number in range(1000)]
    failed = {number for number, each in enumerate(done) if each.exception()}
    assert failed == set(range(0, 1000, 10))
    assert kept(db) == sorted(str(n) for n in range(1000) if n % 10)
    assert len(commits) < 900


def test_one_connection_serves_every_turn_until_one_fails(db: Database) -> None:
    used: list[object] = []

    def turn(*, fails: bool = False) -> None:
        with db.writing() as session:
            used.append(session.connection().connection.dbapi_connection)
            if fails:
                session.execute(text("ROLLBACK"))

    pool: Any = db.engine.pool

    turn()
    turn()
    assert used[0] is used[1]
    assert pool.checkedout() == 1
    with pytest.raises(Unavailable):
        turn(fails=True)
    assert pool.checkedout() == 0
    turn()
    turn()
    assert used[3] is used[4]
    db.close()
    assert pool.checkedout() == 0
