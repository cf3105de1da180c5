"""The one door to the database: whole or not at all, one state at a time, safe on disk."""

import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import Mapped, Session, mapped_column
from structlog.testing import capture_logs

import provider
from provider.core.accounts import Account, AccountToken
from provider.core.staff import SignInAttempt
from provider.errors import Unavailable
from provider.services import Services
from provider.storage import database as door
from provider.storage import sqlite
from provider.storage.database import Database, UtcDateTime, acquire_advisory_lock
from provider.storage.sqlite import is_wal_safe, sqlite_library

pytestmark = pytest.mark.both
AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def db(services: Services) -> Database:
    return services.db


def tried(session: Session, key: bytes = b"x") -> None:
    """Write a row of the simplest table."""
    session.add(SignInAttempt(key=key, attempted_at=AT))


def rows(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(SignInAttempt)) or 0


def counted(db: Database) -> int:
    with db.reading() as session:
        return rows(session)


@contextmanager
def another_process(db: Database, *statements: str) -> Iterator[subprocess.Popen[str]]:
    """Run statements in a process of its own, and hold the connection until the block ends."""
    library, _ = sqlite_library()
    program = (
        f"import sys, {library.__name__} as library\n"
        "connection = library.connect(sys.argv[1], isolation_level=None)\n"
        "for statement in sys.argv[2:]:\n"
        "    connection.execute(statement)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "connection.close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(db.url.database), *statements],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.communicate("\n", timeout=30)
        assert process.returncode == 0


# Whole or not at all


def test_what_is_written_is_there_for_the_next_who_reads(db: Database) -> None:
    with db.writing() as session:
        tried(session)
    assert counted(db) == 1


def test_nothing_half_done_stays_after_an_error(db: Database) -> None:
    def half() -> None:
        with db.writing() as session:
            tried(session)
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert counted(db) == 0
    with db.writing() as session:  # and the doors open again
        tried(session)
    assert counted(db) == 1


def test_nothing_half_done_stays_after_an_error_at_the_commit(db: Database) -> None:
    def orphan() -> None:
        with db.writing() as session:
            tried(session)
            session.add(AccountToken(account_id=4711, prefix="x", token_hash=b"x", created_at=AT))

    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        orphan()
    assert counted(db) == 0


@pytest.mark.sqlite
def test_nothing_half_done_stays_after_a_process_was_killed(db: Database) -> None:
    insert = "INSERT INTO sign_in_attempts (key, attempted_at) VALUES (x'00', '2026-11-23 09:00:00.000000')"
    with another_process(db, "BEGIN IMMEDIATE", insert):
        assert counted(db) == 0
    assert counted(db) == 0
    with db.writing() as session:
        assert rows(session) == 0


def test_objects_stay_readable_after_the_door_is_closed(db: Database) -> None:
    with db.writing() as session:
        row = SignInAttempt(key=b"x", attempted_at=AT)
        session.add(row)
    assert (row.id, row.attempted_at) == (1, AT)


# Only the outermost opens


def opening(name: str) -> Callable[[Database], Any]:
    return lambda db: getattr(db, name)()


@pytest.mark.parametrize("outer", ["reading", "writing", "raw_read", "jotting"])
@pytest.mark.parametrize("inner", ["reading", "writing", "raw_read", "jotting"])
def test_only_the_outermost_opens_a_transaction(db: Database, outer: str, inner: str) -> None:
    with opening(outer)(db):
        with (
            pytest.raises(RuntimeError, match="open already: pass its session on"),
            opening(inner)(db),
        ):
            pytest.fail("the inner door opened")
        other_thread = threading.Thread(target=counted, args=(db,))
        other_thread.start()
        other_thread.join(10)
        assert not other_thread.is_alive()
    assert counted(db) == 0


def test_two_databases_may_be_open_at_once(db: Database, tmp_path: Path) -> None:
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    with db.reading() as session, other.writing() as elsewhere:
        assert rows(session) == 0
        elsewhere.execute(text("CREATE TABLE t (x)"))
    other.close()


# Readers and writers


def test_the_door_for_reading_cannot_write(db: Database) -> None:
    with db.reading() as session:
        tried(session)
        with pytest.raises(DBAPIError, match=r"read.?only"):
            session.flush()
    assert counted(db) == 0


def test_a_reader_sees_one_state_and_never_blocks_a_writer(db: Database) -> None:
    def write() -> None:
        with db.writing() as session:
            tried(session)

    with db.reading() as session:
        assert rows(session) == 0
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(10)
        assert not writer.is_alive(), "the reader holds the writer up"
        assert rows(session) == 0
    assert counted(db) == 1


def test_a_writer_never_blocks_a_reader(db: Database) -> None:
    with db.writing() as session:
        tried(session)
        session.flush()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(counted, db).result(10) == 0
    assert counted(db) == 1


def test_writers_side_by_side_lose_nothing(db: Database) -> None:
    with db.writing() as session:
        session.add(
            Account(name="Groove Tech", ats="workable", created_at=AT, expire_after_seconds=0)
        )
    together = threading.Barrier(20)

    def count(_: int) -> None:
        together.wait(10)
        for _ in range(25):
            with db.writing() as session:
                acquire_advisory_lock(session, "accounts")
                seen = session.scalar(select(Account.expire_after_seconds)) or 0
                session.execute(update(Account).values(expire_after_seconds=seen + 1))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(count, range(20)))
    with db.reading() as session:
        assert session.scalar(select(Account.expire_after_seconds)) == 500


def test_writers_in_two_processes_lose_nothing(db: Database) -> None:
    two = Database(
        db.url.render_as_string(hide_password=False)
    )  # a lock of its own, as another process has
    with db.writing() as session:
        session.add(
            Account(name="Groove Tech", ats="workable", created_at=AT, expire_after_seconds=0)
        )
    together = threading.Barrier(4)

    def count(own: Database) -> None:
        together.wait(10)
        for _ in range(25):
            with own.writing() as session:
                acquire_advisory_lock(session, "accounts")
                seen = session.scalar(select(Account.expire_after_seconds)) or 0
                session.execute(update(Account).values(expire_after_seconds=seen + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, [db, two, db, two]))
    two.close()
    with db.reading() as session:
        assert session.scalar(select(Account.expire_after_seconds)) == 100


# Somebody else writes for long


@pytest.mark.sqlite
def test_a_writer_waits_for_another_processs_writer_and_then_says_so(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    db = Database(str(services.db.url))
    with another_process(db, "BEGIN IMMEDIATE"):
        for _ in range(2):  # the second finds the in-process lock free again
            with (
                pytest.raises(Unavailable, match="kept busy by another program"),
                db.writing() as s,
            ):
                tried(s)
        assert counted(db) == 0
    with db.writing() as session:
        tried(session)
    assert counted(db) == 1
    db.close()


@pytest.mark.sqlite
def test_writers_do_not_line_up_for_ever_behind_one_who_waits(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)

    def write() -> None:
        with db.writing():
            pytest.fail("the lock is held")

    with db.writing(), ThreadPoolExecutor(1) as pool, pytest.raises(Unavailable, match="try again"):
        pool.submit(write).result(10)


@pytest.mark.sqlite
def test_a_full_disk_is_said_plainly_and_leaves_nothing_behind(db: Database) -> None:
    def fill() -> None:
        with db.writing() as session:
            tried(session)
            session.execute(text("PRAGMA max_page_count=1"))  # it stays as large as it is
            session.execute(text("CREATE TABLE more AS SELECT randomblob(100000) AS bytes"))

    with pytest.raises(Unavailable, match="disk fails or is full"):
        fill()
    assert counted(db) == 0


def test_any_other_error_of_the_database_stays_what_it_is(db: Database) -> None:
    with pytest.raises(DBAPIError, match="absent"), db.writing() as session:
        session.execute(text("SELECT * FROM absent"))


# Whoever wants to know of a commit


def told(session: Session, *lanes: str) -> None:
    session.info.setdefault("queues", set()).update(lanes)


def test_a_listener_hears_of_the_lanes_once_it_is_committed(db: Database) -> None:
    heard: list[tuple[set[str], int]] = []
    db.on_commit.append(lambda lanes: heard.append((lanes, counted(db))))
    with db.writing() as session:
        tried(session)
        told(session, "7/email", "7/callback")
        assert heard == []
    assert heard == [({"7/email", "7/callback"}, 1)]


def test_a_listener_hears_nothing_of_what_was_undone_or_put_in_no_lane(db: Database) -> None:
    listener = Mock()
    db.on_commit.append(listener)
    with suppress(ZeroDivisionError), db.writing() as session:
        told(session, "7/email")
        tried(session)
        print(1 / 0)
    with suppress(IntegrityError), db.writing() as session:
        told(session, "7/email")
        session.add(AccountToken(account_id=4711, prefix="x", token_hash=b"x", created_at=AT))
    assert counted(db) == 0
    with db.writing() as session:
        tried(session)
    with db.reading():
        pass
    listener.assert_not_called()


def test_a_listener_that_fails_does_not_undo_what_is_committed(db: Database) -> None:
    second = Mock()
    db.on_commit += [Mock(side_effect=ZeroDivisionError), second]
    with capture_logs() as lines, db.writing() as session:
        tried(session)
        told(session, "7/email")
    assert counted(db) == 1
    second.assert_called_once_with({"7/email"})
    assert [line["event"] for line in lines] == ["a listener did not hear of a commit"]


def test_a_listener_may_write_itself_and_leave(db: Database) -> None:
    second = Mock()

    def leave(_: set[str]) -> None:
        db.on_commit.remove(leave)
        with db.writing() as session:
            tried(session)

    db.on_commit += [leave, second]
    with db.writing() as session:
        told(session, "7/email")
    assert counted(db) == 1
    second.assert_called_once()


# Moments


def test_a_moment_without_a_zone_is_refused(db: Database) -> None:
    naive = datetime(2026, 11, 23, 9, 0)
    with pytest.raises(StatementError, match="a moment needs its zone"), db.writing() as session:
        session.add(SignInAttempt(key=b"x", attempted_at=naive))
    with pytest.raises(StatementError, match="needs its zone"), db.reading() as session:
        session.scalars(select(SignInAttempt).where(SignInAttempt.attempted_at < naive))


def test_a_moment_comes_back_in_utc_to_the_microsecond(db: Database) -> None:
    athens = timezone(timedelta(hours=2))
    moment = datetime(2026, 11, 23, 11, 0, 0, 123456, tzinfo=athens)
    with db.writing() as session:
        session.add(SignInAttempt(key=b"x", attempted_at=moment))
    with db.reading() as session:
        found = session.scalar(select(SignInAttempt.attempted_at))
        assert found == moment
        assert found
        assert found.utcoffset() == timedelta(0)
        assert session.scalar(select(func.max(SignInAttempt.attempted_at))) == moment
        assert rows(session) == session.scalar(
            select(func.count()).where(SignInAttempt.attempted_at == moment.astimezone(UTC))
        )


def test_no_moment_stays_none(db: Database) -> None:
    kind, dialect = UtcDateTime(), db.engine.dialect
    assert kind.process_bind_param(None, dialect) is None
    assert kind.process_result_value(None, dialect) is None
    assert kind.process_result_value(AT, dialect) == AT  # a database that knows zones


def test_a_plain_datetime_in_a_model_is_such_a_moment() -> None:
    class Diary(door.Base):
        __tablename__ = "diary"
        id: Mapped[int] = mapped_column(primary_key=True)
        at: Mapped[datetime]

    assert isinstance(Diary.__table__.c.at.type, UtcDateTime)
    door.Base.metadata.remove(Diary.__table__)  # type: ignore[arg-type]
    door.Base.registry._dispose_cls(Diary)


# SQLite


SAFE = [
    (3, 44, 6),
    (3, 44, 9),
    (3, 50, 7),
    (3, 50, 12),
    (3, 51, 3),
    (3, 51, 9),
    (3, 52, 0),
    (3, 53, 4),
    (4, 0, 0),
]
UNSAFE = [
    (3, 6, 23),
    (3, 7, 0),
    (3, 34, 1),
    (3, 40, 1),
    (3, 43, 2),
    (3, 44, 0),
    (3, 44, 5),
    (3, 45, 0),
    (3, 45, 7),
    (3, 46, 1),
    (3, 49, 2),
    (3, 50, 0),
    (3, 50, 6),
    (3, 51, 0),
    (3, 51, 2),
]


def test_it_is_known_which_sqlite_keeps_a_wal_whole() -> None:
    assert all(map(is_wal_safe, SAFE))
    assert not any(map(is_wal_safe, UNSAFE))


@pytest.mark.parametrize(
    ("own", "wheel", "expected"),
    [
        ((3, 51, 3), (3, 53, 4), ("sqlite3", True)),
        ((3, 40, 1), (3, 53, 4), ("pysqlite3.dbapi2", True)),
        ((3, 40, 1), (3, 51, 2), ("sqlite3", False)),
        ((3, 40, 1), None, ("sqlite3", False)),
    ],
    ids=["own", "wheel", "neither", "no wheel"],
)
def test_the_first_safe_library_is_used(
    monkeypatch: pytest.MonkeyPatch,
    own: tuple[int, ...],
    wheel: tuple[int, ...] | None,
    expected: tuple[str, bool],
) -> None:
    import pysqlite3.dbapi2

    monkeypatch.setattr(sqlite3, "sqlite_version_info", own)
    if wheel:
        monkeypatch.setattr(pysqlite3.dbapi2, "sqlite_version_info", wheel)
    else:
        monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
    library, safe = sqlite_library()
    assert (library.__name__, safe) == expected


def pragmas(engine: Engine) -> dict[str, Any]:
    names = (
        "journal_mode",
        "synchronous",
        "foreign_keys",
        "secure_delete",
        "busy_timeout",
        "query_only",
        "temp_store",
    )
    with engine.connect() as connection:
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}


EXPECTED = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "secure_delete": 1,
    "busy_timeout": 10_000,
    "query_only": 0,
    "temp_store": 2,
}


@pytest.mark.sqlite
def test_every_connection_is_set_up_to_lose_nothing(db: Database) -> None:
    assert sqlite_library()[1], "this machine has no SQLite whose WAL is safe"
    assert pragmas(db.engine) == EXPECTED
    assert pragmas(db._read_engine) == EXPECTED | {"query_only": 1}


def test_an_unsafe_sqlite_is_not_put_in_wal_mode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sqlite, "is_wal_safe", lambda _: False)
    assert sqlite_library() == (sqlite3, False)
    unsafe = Database(f"sqlite:///{tmp_path / 'unsafe.db'}")
    with unsafe.writing() as session:
        session.execute(text("CREATE TABLE t (x)"))
        session.execute(text("INSERT INTO t VALUES (1)"))
        assert not Path(f"{unsafe.url.database}-wal").exists()
    assert pragmas(unsafe.engine) == EXPECTED | {"journal_mode": "delete"}
    assert pragmas(unsafe._read_engine) == EXPECTED | {"journal_mode": "delete", "query_only": 1}
    with unsafe.reading() as session:
        assert session.scalar(text("SELECT x FROM t")) == 1
    unsafe.close()


def test_an_unsafe_sqlite_takes_a_database_out_of_wal_mode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    safe = Database(f"sqlite:///{tmp_path / 'moved.db'}")
    with safe.writing() as session:
        session.execute(text("CREATE TABLE t (x)"))
    safe.close()
    monkeypatch.setattr(sqlite, "is_wal_safe", lambda _: False)
    unsafe = Database(str(safe.url))
    assert pragmas(unsafe.engine)["journal_mode"] == "delete"
    unsafe.close()


@pytest.mark.sqlite
def test_both_doors_use_one_sqlite_library(db: Database) -> None:
    library, _ = sqlite_library()
    for engine in (db.engine, db._read_engine):
        with engine.connect() as connection:
            driver = connection.connection.dbapi_connection
            assert driver
            assert type(driver).__module__.partition(".")[0] == library.__name__.partition(".")[0]


def test_nobody_else_opens_sqlite() -> None:
    # Two SQLite libraries, or a second opening of the file in one process, drop each other's locks.
    package = Path(next(iter(provider.__path__)))
    opening = re.compile(r"^\s*(import|from)\s+(sqlite3|pysqlite3)", re.MULTILINE)
    found = [path for path in package.rglob("*.py") if opening.search(path.read_text("utf-8"))]
    assert found == [package / "sqlite.py"]


@pytest.mark.sqlite
def test_what_is_deleted_is_wiped_from_the_file(db: Database) -> None:
    mark = b"lakita marrero was here"
    with db.writing() as session:
        tried(session, mark)
    with db.writing() as session:
        session.execute(text("DELETE FROM sign_in_attempts"))
    with db.engine.connect() as connection:
        connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert mark not in Path(str(db.url.database)).read_bytes()
