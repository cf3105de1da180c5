"""Transactions: atomic, isolated and durable; listeners, datetimes and SQLite's settings."""

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
from provider.storage import database, sqlite
from provider.storage.database import Database, UtcDateTime, acquire_advisory_lock
from provider.storage.sqlite import is_wal_safe, sqlite_library

pytestmark = pytest.mark.both
AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def db(services: Services) -> Database:
    return services.db


def add_row(session: Session, key: bytes = b"x") -> None:
    """Add a row to the simplest table."""
    session.add(SignInAttempt(key=key, attempted_at=AT))


def count_rows(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(SignInAttempt)) or 0


def committed_rows(db: Database) -> int:
    with db.reading() as session:
        return count_rows(session)


@contextmanager
def another_process(db: Database, *statements: str) -> Iterator[subprocess.Popen[str]]:
    """Run statements in another process, which keeps its connection until the block ends."""
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


# Atomic transactions


def test_writing_is_visible_to_next_reader(db: Database) -> None:
    with db.writing() as session:
        add_row(session)
    assert committed_rows(db) == 1


def test_writing_with_error_rolls_back(db: Database) -> None:
    def half() -> None:
        with db.writing() as session:
            add_row(session)
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert committed_rows(db) == 0
    with db.writing() as session:  # a new transaction can begin
        add_row(session)
    assert committed_rows(db) == 1


def test_writing_with_error_at_commit_rolls_back(db: Database) -> None:
    def orphan() -> None:
        with db.writing() as session:
            add_row(session)
            session.add(AccountToken(account_id=4711, prefix="x", token_hash=b"x", created_at=AT))

    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        orphan()
    assert committed_rows(db) == 0


@pytest.mark.sqlite
def test_transaction_of_ended_process_is_rolled_back(db: Database) -> None:
    insert = (
        "INSERT INTO sign_in_attempts (key, attempted_at) "
        "VALUES (x'00', '2026-11-23 09:00:00.000000')"
    )
    with another_process(db, "BEGIN IMMEDIATE", insert):
        assert committed_rows(db) == 0
    assert committed_rows(db) == 0
    with db.writing() as session:
        assert count_rows(session) == 0


def test_objects_stay_readable_after_commit(db: Database) -> None:
    with db.writing() as session:
        row = SignInAttempt(key=b"x", attempted_at=AT)
        session.add(row)
    assert (row.id, row.attempted_at) == (1, AT)


# Nested transactions are refused


def opener(name: str) -> Callable[[Database], Any]:
    return lambda db: getattr(db, name)()


@pytest.mark.parametrize("outer", ["reading", "writing", "raw_read"])
@pytest.mark.parametrize("inner", ["reading", "writing", "raw_read"])
def test_nested_transaction_is_refused(db: Database, outer: str, inner: str) -> None:
    with opener(outer)(db):
        with (
            pytest.raises(RuntimeError, match="open already: pass its session on"),
            opener(inner)(db),
        ):
            pytest.fail("the inner transaction began")
        other_thread = threading.Thread(target=committed_rows, args=(db,))
        other_thread.start()
        other_thread.join(10)
        assert not other_thread.is_alive()
    assert committed_rows(db) == 0


def test_transactions_on_two_databases_may_be_nested(db: Database, tmp_path: Path) -> None:
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    with db.reading() as session, other.writing() as other_session:
        assert count_rows(session) == 0
        other_session.execute(text("CREATE TABLE t (x)"))
    other.close()


# Readers and writers


def test_reading_refuses_writes(db: Database) -> None:
    with db.reading() as session:
        add_row(session)
        with pytest.raises(DBAPIError, match=r"read.?only"):
            session.flush()
    assert committed_rows(db) == 0


def test_reader_sees_one_snapshot_and_blocks_no_writer(db: Database) -> None:
    def write() -> None:
        with db.writing() as session:
            add_row(session)

    with db.reading() as session:
        assert count_rows(session) == 0
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(10)
        assert not writer.is_alive(), "the reader blocks the writer"
        assert count_rows(session) == 0
    assert committed_rows(db) == 1


def test_writer_blocks_no_reader(db: Database) -> None:
    with db.writing() as session:
        add_row(session)
        session.flush()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(committed_rows, db).result(10) == 0
    assert committed_rows(db) == 1


def test_concurrent_writers_lose_no_update(db: Database) -> None:
    with db.writing() as session:
        session.add(
            Account(name="Groove Tech", ats="workable", created_at=AT, expire_after_seconds=0)
        )
    barrier = threading.Barrier(20)

    def count(_: int) -> None:
        barrier.wait(10)
        for _ in range(25):
            with db.writing() as session:
                acquire_advisory_lock(session, "accounts")
                value = session.scalar(select(Account.expire_after_seconds)) or 0
                session.execute(update(Account).values(expire_after_seconds=value + 1))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(count, range(20)))
    with db.reading() as session:
        assert session.scalar(select(Account.expire_after_seconds)) == 500


def test_writers_of_two_processes_lose_no_update(db: Database) -> None:
    # A second Database has its own lock, as another process has.
    second_db = Database(db.url.render_as_string(hide_password=False))
    with db.writing() as session:
        session.add(
            Account(name="Groove Tech", ats="workable", created_at=AT, expire_after_seconds=0)
        )
    barrier = threading.Barrier(4)

    def count(own_db: Database) -> None:
        barrier.wait(10)
        for _ in range(25):
            with own_db.writing() as session:
                acquire_advisory_lock(session, "accounts")
                value = session.scalar(select(Account.expire_after_seconds)) or 0
                session.execute(update(Account).values(expire_after_seconds=value + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, [db, second_db, db, second_db]))
    second_db.close()
    with db.reading() as session:
        assert session.scalar(select(Account.expire_after_seconds)) == 100


# Another process locks the database


@pytest.mark.sqlite
def test_writing_beside_locking_process_is_unavailable_after_timeout(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    db = Database(str(services.db.url))
    with another_process(db, "BEGIN IMMEDIATE"):
        for _ in range(2):  # the first timeout frees the lock within this process
            with (
                pytest.raises(Unavailable, match="Another program is writing"),
                db.writing() as session,
            ):
                add_row(session)
        assert committed_rows(db) == 0
    with db.writing() as session:
        add_row(session)
    assert committed_rows(db) == 1
    db.close()


@pytest.mark.sqlite
def test_writer_in_queue_is_unavailable_after_timeout(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)

    def write() -> None:
        with db.writing():
            pytest.fail("two writers at once")

    with db.writing(), ThreadPoolExecutor(1) as pool, pytest.raises(Unavailable, match="try again"):
        pool.submit(write).result(10)


@pytest.mark.sqlite
def test_full_disk_is_unavailable_and_rolled_back(db: Database) -> None:
    def fill() -> None:
        with db.writing() as session:
            add_row(session)
            session.execute(text("PRAGMA max_page_count=1"))  # the file cannot grow
            session.execute(text("CREATE TABLE more AS SELECT randomblob(100000) AS bytes"))

    with pytest.raises(Unavailable, match="disk fails or is full"):
        fill()
    assert committed_rows(db) == 0


def test_other_database_error_is_not_translated(db: Database) -> None:
    with pytest.raises(DBAPIError, match="absent"), db.writing() as session:
        session.execute(text("SELECT * FROM absent"))


# Commit listeners


def mark_queues(session: Session, *queues: str) -> None:
    session.info.setdefault("queues", set()).update(queues)


def test_commit_listener_receives_queues_after_commit(db: Database) -> None:
    calls: list[tuple[set[str], int]] = []
    db.on_commit.append(lambda queues: calls.append((queues, committed_rows(db))))
    with db.writing() as session:
        add_row(session)
        mark_queues(session, "7/email", "7/callback")
        assert calls == []
    assert calls == [({"7/email", "7/callback"}, 1)]


def test_commit_listener_is_not_called_after_rollback_or_without_queues(db: Database) -> None:
    listener = Mock()
    db.on_commit.append(listener)
    with suppress(ZeroDivisionError), db.writing() as session:
        mark_queues(session, "7/email")
        add_row(session)
        print(1 / 0)
    with suppress(IntegrityError), db.writing() as session:
        mark_queues(session, "7/email")
        session.add(AccountToken(account_id=4711, prefix="x", token_hash=b"x", created_at=AT))
    assert committed_rows(db) == 0
    with db.writing() as session:
        add_row(session)
    with db.reading():
        pass
    listener.assert_not_called()


def test_failing_commit_listener_is_logged_and_others_are_called(db: Database) -> None:
    second = Mock()
    db.on_commit += [Mock(side_effect=ZeroDivisionError), second]
    with capture_logs() as lines, db.writing() as session:
        add_row(session)
        mark_queues(session, "7/email")
    assert committed_rows(db) == 1
    second.assert_called_once_with({"7/email"})
    assert [line["event"] for line in lines] == ["commit_listener_failed"]


def test_commit_listener_may_write_and_remove_itself(db: Database) -> None:
    second = Mock()

    def leave(_: set[str]) -> None:
        db.on_commit.remove(leave)
        with db.writing() as session:
            add_row(session)

    db.on_commit += [leave, second]
    with db.writing() as session:
        mark_queues(session, "7/email")
    assert committed_rows(db) == 1
    second.assert_called_once()


# Datetimes


def test_naive_datetime_is_refused(db: Database) -> None:
    naive = datetime(2026, 11, 23, 9, 0)
    with (
        pytest.raises(StatementError, match="a datetime needs a time zone"),
        db.writing() as session,
    ):
        session.add(SignInAttempt(key=b"x", attempted_at=naive))
    with pytest.raises(StatementError, match="needs a time zone"), db.reading() as session:
        session.scalars(select(SignInAttempt).where(SignInAttempt.attempted_at < naive))


def test_datetime_is_returned_in_utc_with_microseconds(db: Database) -> None:
    athens = timezone(timedelta(hours=2))
    moment = datetime(2026, 11, 23, 11, 0, 0, 123456, tzinfo=athens)
    with db.writing() as session:
        session.add(SignInAttempt(key=b"x", attempted_at=moment))
    with db.reading() as session:
        stored = session.scalar(select(SignInAttempt.attempted_at))
        assert stored == moment
        assert stored
        assert stored.utcoffset() == timedelta(0)
        assert session.scalar(select(func.max(SignInAttempt.attempted_at))) == moment
        assert count_rows(session) == session.scalar(
            select(func.count()).where(SignInAttempt.attempted_at == moment.astimezone(UTC))
        )


def test_utc_datetime_keeps_none(db: Database) -> None:
    column_type, dialect = UtcDateTime(), db.engine.dialect
    assert column_type.process_bind_param(None, dialect) is None
    assert column_type.process_result_value(None, dialect) is None
    assert column_type.process_result_value(AT, dialect) == AT  # PostgreSQL returns time zones


def test_datetime_column_of_model_is_utc_datetime() -> None:
    class Entry(database.Base):
        __tablename__ = "entries"
        id: Mapped[int] = mapped_column(primary_key=True)
        created_at: Mapped[datetime]

    assert isinstance(Entry.__table__.c.created_at.type, UtcDateTime)
    database.Base.metadata.remove(Entry.__table__)  # type: ignore[arg-type]
    database.Base.registry._dispose_cls(Entry)


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


def test_is_wal_safe_knows_fixed_versions() -> None:
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
def test_sqlite_library_is_first_safe_one(
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
    library, is_safe = sqlite_library()
    assert (library.__name__, is_safe) == expected


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
def test_sqlite_connections_have_durable_settings(db: Database) -> None:
    assert sqlite_library()[1], "this machine has no SQLite whose WAL is safe"
    assert pragmas(db.engine) == EXPECTED
    assert pragmas(db._read_engine) == EXPECTED | {"query_only": 1}


def test_unsafe_sqlite_does_not_use_wal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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


def test_unsafe_sqlite_takes_database_out_of_wal(
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
def test_both_engines_use_one_sqlite_library(db: Database) -> None:
    library, _ = sqlite_library()
    for engine in (db.engine, db._read_engine):
        with engine.connect() as connection:
            driver = connection.connection.dbapi_connection
            assert driver
            assert type(driver).__module__.partition(".")[0] == library.__name__.partition(".")[0]


def test_only_storage_sqlite_imports_sqlite() -> None:
    # Two SQLite libraries in one process drop each other's locks on the file.
    package = Path(next(iter(provider.__path__)))
    sqlite_import = re.compile(r"^\s*(import|from)\s+(sqlite3|pysqlite3)", re.MULTILINE)
    importers = [
        path for path in package.rglob("*.py") if sqlite_import.search(path.read_text("utf-8"))
    ]
    assert importers == [package / "storage" / "sqlite.py"]


@pytest.mark.sqlite
def test_deleted_row_is_overwritten_in_the_file(db: Database) -> None:
    key = b"lakita marrero was here"
    with db.writing() as session:
        add_row(session, key)
    with db.writing() as session:
        session.execute(text("DELETE FROM sign_in_attempts"))
    with db.engine.connect() as connection:
        connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert key not in Path(str(db.url.database)).read_bytes()
