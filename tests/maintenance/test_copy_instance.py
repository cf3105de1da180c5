"""Copying an instance: equality, interruption, refused sources and targets, files."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.kinds.answer_files import AnswerFile
from provider.core.kinds.interview import READY, Recording
from provider.core.orders import Candidate
from provider.core.orders.filters import OrderFilters
from provider.core.orders.search import OrderSearch, _Search, find_order_ids
from provider.core.products.draft import DraftFile
from provider.core.products.files import ProductFile, media_key
from provider.errors import Conflict, Invalid, ProviderError, Unavailable
from provider.maintenance import (
    InstanceCopyReport,
    copy_instance,
    exclusive_access,
    row_codec,
    schema_version,
)
from provider.maintenance.table_copy import ProgressCallback
from provider.storage import sqlite
from provider.storage.database import Base, Database, UtcDateTime
from provider.storage.encrypted import Encrypted, KeyedDigest
from provider.storage.media import MediaStore
from tests.maintenance import test_schema_version
from tests.maintenance.backup_processes import KillAfter, ignore_progress
from tests.postgres_server import PostgresServer

NOW = datetime(2026, 11, 23, 9, 0, 0, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def filled_database(tmp_path_factory: pytest.TempPathFactory, fresh_database: Path) -> Path:
    """An SQLite database with rows in every table, and a value in every column."""
    path = tmp_path_factory.mktemp("filled") / "provider.db"
    path.write_bytes(fresh_database.read_bytes())
    with closing(Database(f"sqlite:///{path}")) as db:
        test_schema_version.fill(db)
    return path


@pytest.fixture
def source(tmp_path: Path, filled_database: Path) -> Iterator[Database]:
    """A copy of the filled database."""
    path = tmp_path / "source.db"
    path.write_bytes(filled_database.read_bytes())
    with closing(Database(f"sqlite:///{path}")) as db:
        yield db


@pytest.fixture
def missing_database(tmp_path: Path) -> Iterator[Database]:
    """An SQLite database whose file and folder do not exist yet."""
    with closing(Database(f"sqlite:///{tmp_path / 'deep' / 'nowhere.db'}")) as db:
        yield db


@pytest.fixture
def target(tmp_path: Path, fresh_database: Path) -> Iterator[Database]:
    """An SQLite database without rows."""
    path = tmp_path / "target.db"
    path.write_bytes(fresh_database.read_bytes())
    with closing(Database(f"sqlite:///{path}")) as db:
        yield db


@pytest.fixture
def postgres_db(postgres_url: str) -> Iterator[Database]:
    """A PostgreSQL database without rows."""
    with closing(Database(postgres_url)) as db:
        yield db


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Database:
    """A database without rows, on SQLite and on PostgreSQL."""
    name = "target" if request.param == "sqlite" else "postgres_db"
    db: Database = request.getfixturevalue(name)
    return db


def copy(
    source: Database, target: Database, report_progress: ProgressCallback = ignore_progress
) -> InstanceCopyReport:
    """Copy, then close both databases as a command does."""
    try:
        return copy_instance(source, target, report_progress)
    finally:
        source.close()
        target.close()


def dump(db: Database) -> list[str]:
    """Return all rows of an SQLite database as INSERT statements, without the index of words."""
    with closing(sqlite3.connect(path_of(db))) as connection:
        inserts = (line for line in connection.iterdump() if line.startswith("INSERT"))
        return sorted(line for line in inserts if "order_search_index" not in line)


def path_of(db: Database) -> Path:
    return Path(str(db.url.database))


def new_account(name: str, **columns: Any) -> Account:
    return Account(name=name, ats="workable", created_at=NOW, **columns)


def error_line(error: pytest.ExceptionInfo[ProviderError]) -> str:
    """Return an error's message; check that it is one line."""
    assert "\n" not in str(error.value)
    return str(error.value)


# Equality


def test_copy_to_postgresql_and_back_is_equal(
    source: Database, postgres: PostgresServer, missing_database: Database
) -> None:
    with source.writing() as session:
        options = {"ж": [1, 1.0, -5e-10, None, True, "\0 \ud83d"], "": {}}
        name = "Ünïcode 👩‍💻 “quoted” \\ \t\n %s ? :x"
        session.add(new_account(name, options=options, callback_rate=0.1 + 0.2, callback_token=b""))
        session.add(
            new_account("Highest", expire_after_seconds=2**31 - 1, callback_token=bytes(range(256)))
        )
        session.add(Candidate(email="", email_digest=b"\0"))
    before = dump(source)
    with postgres.empty_database() as url, closing(Database(url)) as empty:
        first_report = copy(source, empty)
        schema_version.require_current(empty)
        second_report = copy(empty, missing_database)
    assert dump(missing_database) == before == dump(source)
    assert first_report.tables == second_report.tables
    schema_version.require_current(missing_database)


def test_copy_includes_every_table(source: Database, target: Database) -> None:
    tables = copy(source, target).tables
    assert {name for name, checksum in tables.items() if checksum.rows} == set(Base.metadata.tables)


def test_copied_orders_are_found_by_their_words(source: Database, empty: Database) -> None:
    with source.writing() as session:
        session.get_one(OrderSearch, 2).words = "marrero zenobia"
    copy(source, empty)
    with empty.reading() as session:
        assert find_order_ids(session, ("zen",), OrderFilters(), 9) == [2]
        index = _Search(session, ("zen", "marr"), OrderFilters(), 9, before=None, after=None)
        assert index.read_index() == [2]


def test_table_copy_module_imports_every_table(target: Database) -> None:
    """Uses another process, because this one has imported the whole program."""
    code = (
        "from provider.maintenance.table_copy import all_tables; "
        "print(*(table.name for table in all_tables()))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert set(process.stdout.split()) == set(test_schema_version.row_counts(target))


def test_row_codec_supports_every_column_type() -> None:
    """A new type needs support in `provider/maintenance/row_codec.py`; then add it here."""
    used_types = {
        type(column.type) for table in Base.metadata.tables.values() for column in table.columns
    }
    numbers = {sa.Integer, sa.BigInteger, sa.Double, sa.Boolean}
    texts = {sa.String, sa.Text, sa.JSON, sa.LargeBinary, Encrypted, KeyedDigest}
    assert used_types == numbers | texts | {UtcDateTime, sa.Date}


def test_text_keys_have_one_order_on_every_database(
    source: Database, postgres_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_codec, "BATCH_SIZE", 2)
    with source.writing() as session:
        for scope in ("a", "B", "Z", "z", "é", "ｚ", "😀", "_", "-"):
            params = {"scope": scope, "now": "2026-11-23 09:00:00.000000"}
            session.execute(
                sa.text("INSERT INTO delivery_pauses VALUES (:scope, 'reason', :now, :now, 0)"),
                params,
            )
    assert (
        copy(source, postgres_db).tables["delivery_pauses"].rows
        == test_schema_version.ROWS_PER_TABLE + 9
    )


def test_new_rows_get_ids_after_the_copied_ones(source: Database, empty: Database) -> None:
    copy(source, empty)
    with empty.writing() as session:
        session.add(added := new_account("New"))
        session.flush()
        assert added.id == test_schema_version.ROWS_PER_TABLE + 1


def test_copy_that_differs_stays_incomplete(source: Database, target: Database) -> None:
    with target.writing() as session:
        session.execute(
            sa.text(
                "CREATE TRIGGER change_copy AFTER INSERT ON order_events WHEN new.id = 2 "
                "BEGIN UPDATE order_events SET actor = 'nobody' WHERE id = 2; END"
            )
        )
    with pytest.raises(Conflict, match="differs in order_events") as error:
        copy(source, target)
    assert error_line(error)
    with pytest.raises(Unavailable, match="is incomplete"):
        schema_version.require_current(target)


# Interruption


def run_in_process(action: Callable[[], object]) -> int:
    """Run an action in a forked process; return its exit code."""
    child = os.fork()
    if not child:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def reopen(db: Database) -> Database:
    """Return another Database on the same URL, as another process has."""
    return Database(db.url.render_as_string(hide_password=False))


def test_copy_that_is_killed_repeatedly_continues_and_is_equal(
    source: Database, empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_codec, "BATCH_SIZE", 2)
    source.close()
    kills = 0
    while code := run_in_process(partial(_copy_and_die, source, empty, 9 + 60 * kills)):
        assert code == -signal.SIGKILL
        with pytest.raises(Unavailable, match="incomplete: run the same `provider copy-instance`"):
            schema_version.require_current(empty)
        with pytest.raises(Unavailable, match="is incomplete"):
            schema_version.upgrade(empty)
        empty.close()
        kills += 1
    assert kills > 2
    schema_version.require_current(empty)
    with closing(Database(f"sqlite:///{path_of(source).with_name('back.db')}")) as back:
        copy(empty, back)
        assert dump(back) == dump(source)


def _copy_and_die(source: Database, target: Database, calls: int) -> None:
    copy_instance(reopen(source), reopen(target), KillAfter(calls))


def test_continued_copy_writes_only_missing_rows(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.close()
    assert run_in_process(partial(_copy_and_die, source, target, 12)) == -signal.SIGKILL
    written: list[str] = []

    def record_insert(session: Session, table: sa.Table, batch: list[row_codec.Row]) -> None:
        written.append(table.name)
        row_codec.insert_rows(session, table, batch)

    monkeypatch.setattr("provider.maintenance.table_copy.insert_rows", record_insert)
    tables = copy(source, target).tables
    assert 0 < len(written) < len(tables)
    assert dump(target) == dump(source)


def test_continued_copy_refuses_changed_source(source: Database, target: Database) -> None:
    source.close()
    assert run_in_process(partial(_copy_and_die, source, target, 40)) == -signal.SIGKILL
    with source.writing() as session:
        session.execute(sa.text("UPDATE accounts SET name = 'Another' WHERE id = 1"))
    with pytest.raises(Conflict, match="The source has changed in accounts") as error:
        copy(source, target)
    assert "begin again" in error_line(error)
    with pytest.raises(Unavailable, match="is incomplete"):
        schema_version.require_current(target)


def test_copy_begun_by_another_version_is_refused(source: Database, target: Database) -> None:
    test_schema_version.put_version(target, f"{schema_version.UNFINISHED_PREFIX} 0000")
    with pytest.raises(Conflict, match="Another version of this program began") as error:
        copy(source, target)
    assert error_line(error)


# Refused sources and targets


def test_target_with_rows_is_refused_and_unchanged(source: Database, empty: Database) -> None:
    with empty.writing() as session:
        session.add(new_account("Existing"))
    with pytest.raises(Conflict, match=r"has rows already \(accounts\)") as error:
        copy(source, empty)
    assert error_line(error)
    assert test_schema_version.row_counts(empty)["accounts"] == 1
    schema_version.require_current(empty)


def test_empty_target_of_earlier_version_is_upgraded(
    source: Database, missing_database: Database
) -> None:
    schema_version.upgrade(missing_database, schema_version.revisions()[0])
    copy(source, missing_database)
    assert dump(missing_database) == dump(source)


def test_same_source_and_target_is_refused(source: Database, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path_of(source))
    for other in (path_of(source), tmp_path / "link.db"):
        with pytest.raises(Invalid, match="the same database"):
            copy(source, Database(f"sqlite:///{other}"))


def test_source_that_is_missing_or_of_another_version_is_refused(
    source: Database, missing_database: Database, tmp_path: Path
) -> None:
    test_schema_version.put_version(source, "9999")
    with pytest.raises(Unavailable, match="newer than this program"):
        copy(source, missing_database)
    (tmp_path / "empty.db").touch()
    for name, message in (("empty.db", "is empty: run `provider init`"), ("x.db", "no database")):
        with pytest.raises(Unavailable, match=message):
            copy(Database(f"sqlite:///{tmp_path / name}"), missing_database)
    assert not path_of(missing_database).parent.exists()


def test_sqlite_database_that_is_open_elsewhere_is_refused(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    for locked in (source, target):
        with closing(reopen(locked)) as idle:
            schema_version.require_current(idle)
            with pytest.raises(Conflict, match=r"has .* open: stop the server") as error:
                copy(source, target)
            assert error_line(error)
    copy(source, target)


def test_postgresql_database_that_is_open_elsewhere_is_refused(
    source: Database, postgres_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive_access, "MAX_CONNECTION_CHECKS", 2)
    with closing(reopen(postgres_db)) as idle, idle.engine.connect():
        with pytest.raises(Conflict, match="has 1 other connections: stop") as error:
            copy(source, postgres_db)
        assert error_line(error)
    copy(source, postgres_db)


def test_source_is_locked_against_writes_during_copy(
    source: Database, postgres_db: Database, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    refused: list[str] = []
    sql = "UPDATE accounts SET name = 'Another' WHERE id = 1"

    def write_on_sqlite(*_: object) -> None:
        if not refused:
            with closing(reopen(source)) as other:
                with pytest.raises(Unavailable), other.writing() as session:
                    session.execute(sa.text(sql))
                refused.append("sqlite")

    def write_on_postgres(*_: object) -> None:
        if refused == ["sqlite"]:
            url = reopen(postgres_db).url.set(drivername="postgresql").render_as_string(False)
            with psycopg.connect(url, options="-c lock_timeout=50ms") as other:
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    other.execute(sql)
                refused.append("postgresql")

    copy(source, postgres_db, write_on_sqlite)
    copy(postgres_db, target, write_on_postgres)
    assert refused == ["sqlite", "postgresql"]
    assert dump(target) == dump(source)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("name", "a\0b", "its name contains a NUL character"),
        ("name", "n" * 101, "its name is 101 characters long, the maximum is 100"),
        (
            "expire_after_seconds",
            2**31,
            "its expire_after_seconds is 2147483648, the maximum is 2147483647",
        ),
        ("options", "{no json", "invalid input syntax for type json"),
    ],
)
def test_row_that_postgresql_refuses_is_named(
    source: Database, postgres_db: Database, column: str, value: Any, reason: str
) -> None:
    with source.writing() as session:
        session.execute(
            sa.text(f"UPDATE accounts SET {column} = :value WHERE id = 2"), {"value": value}
        )
    with pytest.raises(Conflict, match=f"refuses accounts id 2: {reason}"):
        copy(source, postgres_db)
    with source.writing() as session:  # after the correction the copy continues
        session.execute(sa.text(f"UPDATE accounts SET {column} = '7' WHERE id = 2"))
    copy(source, postgres_db)


def test_row_without_parent_is_named(source: Database, target: Database) -> None:
    with closing(sqlite3.connect(path_of(source))) as connection, connection:
        connection.execute("UPDATE order_events SET order_id = 4711 WHERE id = 3")
    with pytest.raises(Conflict, match="refuses order_events id 3: FOREIGN KEY") as error:
        copy(source, target)
    assert error_line(error)


# Files


@pytest.fixture
def stores(tmp_path: Path) -> tuple[MediaStore, MediaStore]:
    return MediaStore(f"file:{tmp_path / 'source'}"), MediaStore(f"file:{tmp_path / 'target'}")


def store_recordings(source: Database, media: MediaStore) -> dict[str, bytes]:
    """Store the files that recordings and versions name; return their content by key."""
    with source.writing() as session:
        first, second, third = session.scalars(sa.select(Recording).order_by(Recording.id))
        first.state = second.state = READY
        files = {
            first.original_key: b"first" * 1000,
            first.copy_key: b"copy",
            first.poster_key: b"picture",
            second.original_key: b"second",
            second.copy_key: b"another copy",  # without a poster
            third.original_key: b"third",
        }
        for recording in (first, second, third):
            key = recording.original_key
            recording.sha256 = media.put(key, [files[key]]).sha256
        for answer in session.scalars(sa.select(AnswerFile).where(~AnswerFile.is_deleted)):
            answer.sha256 = sha256(b"answer").hexdigest()
            files[answer.media_key] = b"answer"
        product_files = (
            *session.scalars(sa.select(ProductFile)),
            *session.scalars(sa.select(DraftFile)),
        )
        for file in product_files:
            content = file.name.encode()
            file.sha256 = sha256(content).hexdigest()
            files[media_key(file.sha256)] = content
    for key, content in files.items():
        media.put(key, [content])
    return files


def read_files(media: MediaStore) -> dict[str, bytes]:
    return {key: b"".join(media.read_range(key, 0, size)) for key, size in [*media.list_files()]}


def test_copy_includes_referenced_files_only(
    source: Database, target: Database, stores: tuple[MediaStore, MediaStore]
) -> None:
    files = store_recordings(source, stores[0])
    stores[0].put("recordings/unreferenced", [b"x"])
    report = copy_instance(source, target, ignore_progress, files=stores)
    assert read_files(stores[1]) == files
    assert report.files.stored_files.keys() == files.keys()
    assert report.files.problems == {}


def test_existing_files_are_not_copied_again(
    source: Database, target: Database, stores: tuple[MediaStore, MediaStore], tmp_path: Path
) -> None:
    files = store_recordings(source, stores[0])
    for key in list(files)[:3]:
        stores[1].put(key, [files[key]])
    stores[1].put(list(files)[3], [b"cut"])
    inodes = {
        path: path.stat().st_ino for path in (tmp_path / "target").rglob("*") if path.is_file()
    }
    copy_instance(source, target, ignore_progress, files=stores)
    assert read_files(stores[1]) == files
    assert [path.stat().st_ino == inode for path, inode in inodes.items()].count(True) == 3


def test_missing_and_damaged_files_are_reported(
    source: Database, target: Database, stores: tuple[MediaStore, MediaStore]
) -> None:
    files = store_recordings(source, stores[0])
    missing, damaged, *_ = (key for key in files if key.endswith("original"))
    stores[0].delete(missing)
    stores[0].put(damaged, [b"seconds"])
    report = copy_instance(source, target, ignore_progress, files=stores)
    assert report.files.problems == {
        missing: "is missing",
        damaged: "is damaged: its SHA-256 differs",
    }
