"""`provider copy-instance`: a whole instance from one database to another, and nothing else than equal."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.kinds.interview import READY, Recording
from provider.core.orders import Candidate
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
from provider.storage.media import MediaStore
from tests.maintenance import test_schema_version
from tests.postgres_server import PostgresServer

AT = datetime(2026, 11, 23, 9, 0, 0, 7, tzinfo=UTC)
CASES = ["first", "second", "third"]


def quiet(*_: object) -> None:
    """Hear how far it is, and say nothing."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, fresh_database: Path) -> Path:
    """An SQLite database with rows in every table, every column of them filled."""
    path = tmp_path_factory.mktemp("filled") / "provider.db"
    path.write_bytes(fresh_database.read_bytes())
    with closing(Database(f"sqlite:///{path}")) as db:
        test_schema_version.fill(db)
    return path


@pytest.fixture
def source(tmp_path: Path, filled: Path) -> Iterator[Database]:
    """The filled database, to be moved."""
    path = tmp_path / "source.db"
    path.write_bytes(filled.read_bytes())
    with closing(Database(f"sqlite:///{path}")) as db:
        yield db


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[Database]:
    """An SQLite database that is not there yet, nor is its folder."""
    with closing(Database(f"sqlite:///{tmp_path / 'deep' / 'nowhere.db'}")) as db:
        yield db


@pytest.fixture
def target(tmp_path: Path, fresh_database: Path) -> Iterator[Database]:
    """An SQLite database with no rows."""
    path = tmp_path / "target.db"
    path.write_bytes(fresh_database.read_bytes())
    with closing(Database(f"sqlite:///{path}")) as db:
        yield db


@pytest.fixture
def postgres_db(postgres_url: str) -> Iterator[Database]:
    """A database of PostgreSQL with no rows."""
    with closing(Database(postgres_url)) as db:
        yield db


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Database:
    """A database with no rows, of each kind."""
    name = "target" if request.param == "sqlite" else "postgres_db"
    db: Database = request.getfixturevalue(name)
    return db


def moved(source: Database, target: Database, tell: ProgressCallback = quiet) -> InstanceCopyReport:
    """Move, as a command does: nobody has anything open afterwards."""
    try:
        return copy_instance(source, target, tell)
    finally:
        source.close()
        target.close()


def dump(db: Database) -> list[str]:
    """Return all rows of an SQLite database, as its own tool writes them."""
    with closing(sqlite3.connect(path_of(db))) as connection:
        return sorted(line for line in connection.iterdump() if line.startswith("INSERT"))


def path_of(db: Database) -> Path:
    return Path(str(db.url.database))


def account(name: str, **columns: Any) -> Account:
    return Account(name=name, ats="workable", created_at=AT, **columns)


def said(error: pytest.ExceptionInfo[ProviderError]) -> str:
    """Return an error's sentence; it is one line."""
    assert "\n" not in str(error.value)
    return str(error.value)


# Equal


def test_an_instance_that_went_to_postgresql_and_back_is_the_same_to_the_byte(
    source: Database, postgres: PostgresServer, nowhere: Database
) -> None:
    with source.writing() as session:
        odd = {"ж": [1, 1.0, -5e-10, None, True, "\0 \ud83d"], "": {}}
        signs = "Ünïcode 👩‍💻 “quoted” \\ \t\n %s ? :x"
        session.add(account(signs, options=odd, callback_rate=0.1 + 0.2, callback_token=b""))
        session.add(
            account("Highest", expire_after_seconds=2**31 - 1, callback_token=bytes(range(256)))
        )
        session.add(Candidate(email="", email_digest=b"\0"))
    before = dump(source)
    with postgres.empty_database() as url, closing(Database(url)) as empty:
        there = moved(source, empty)
        schema_version.require_current(empty)
        back = moved(empty, nowhere)
    assert dump(nowhere) == before == dump(source)
    assert there.tables == back.tables
    schema_version.require_current(nowhere)


def test_every_table_takes_part(source: Database, target: Database) -> None:
    taken = moved(source, target).tables
    assert {name for name, each in taken.items() if each.rows} == set(Base.metadata.tables)


def test_every_table_is_known_to_the_command_too(target: Database) -> None:
    """Not only here, where all of the program is loaded."""
    code = "from provider.maintenance.table_copy import all_tables; print(*(each.name for each in all_tables()))"
    known = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(known.stdout.split()) == set(test_schema_version.counts(target))


def test_every_type_of_column_is_known_to_go_both_ways() -> None:
    """Whoever uses another type sees to it in `provider/maintenance/row_codec.py`, then names it here."""
    used = {type(each.type) for table in Base.metadata.tables.values() for each in table.columns}
    known = {sa.Integer, sa.Double, sa.String, sa.Text, sa.Boolean, sa.JSON, sa.LargeBinary}
    assert used == known | {UtcDateTime}


def test_keys_of_text_keep_one_order_on_every_database(
    source: Database, postgres_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_codec, "BATCH_SIZE", 2)
    with source.writing() as session:
        for subject in ("a", "B", "Z", "z", "é", "ｚ", "😀", "_", "-"):
            told = {"s": subject, "at": "2026-11-23 09:00:00.000000"}
            session.execute(
                sa.text("INSERT INTO delivery_pauses VALUES (:s, 'why', :at, :at, 0)"), told
            )
    assert moved(source, postgres_db).tables["delivery_pauses"].rows == test_schema_version.ROWS + 9


def test_new_rows_are_numbered_after_those_that_came(source: Database, empty: Database) -> None:
    moved(source, empty)
    with empty.writing() as session:
        session.add(new := account("A new one"))
        session.flush()
        assert new.id == test_schema_version.ROWS + 1


def test_a_copy_that_differs_is_never_taken_for_whole(source: Database, target: Database) -> None:
    with target.writing() as session:
        session.execute(
            sa.text(
                "CREATE TRIGGER thief AFTER INSERT ON order_events WHEN new.id = 2 "
                "BEGIN UPDATE order_events SET actor = 'nobody' WHERE id = 2; END"
            )
        )
    with pytest.raises(Conflict, match="differs in order_events") as error:
        moved(source, target)
    assert said(error)
    with pytest.raises(Unavailable, match="not whole yet"):
        schema_version.require_current(target)


# Broken off


class Death:
    """A listener that kills its process when it is called for the so-many-th time."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __call__(self, *_: object) -> None:
        self.calls -= 1
        if self.calls <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def in_a_process(act: Callable[[], object]) -> int:
    """Do something in a process of its own; return how that ended, with 0 if it went well."""
    child = os.fork()
    if not child:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def anew(db: Database) -> Database:
    """Return the same database, for another process."""
    return Database(db.url.render_as_string(hide_password=False))


def test_a_move_that_is_killed_again_and_again_goes_on_and_is_equal(
    source: Database, empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_codec, "BATCH_SIZE", 2)
    source.close()
    kills = 0
    while code := in_a_process(partial(_move_and_die, source, empty, 9 + 30 * kills)):
        assert code == -signal.SIGKILL
        with pytest.raises(Unavailable, match="not whole yet: run the `provider copy-instance`"):
            schema_version.require_current(empty)
        with pytest.raises(Unavailable, match="not whole yet"):
            schema_version.upgrade(empty)
        empty.close()
        kills += 1
    assert kills > 2
    schema_version.require_current(empty)
    with closing(Database(f"sqlite:///{path_of(source).with_name('back.db')}")) as back:
        moved(empty, back)
        assert dump(back) == dump(source)


def _move_and_die(source: Database, target: Database, calls: int) -> None:
    copy_instance(anew(source), anew(target), Death(calls))


def test_a_second_run_writes_only_what_is_missing(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.close()
    assert in_a_process(partial(_move_and_die, source, target, 12)) == -signal.SIGKILL
    written: list[str] = []

    def put(session: Session, table: sa.Table, batch: list[row_codec.Row]) -> None:
        written.append(table.name)
        row_codec.insert_rows(session, table, batch)

    monkeypatch.setattr("provider.maintenance.table_copy.insert_rows", put)
    told = moved(source, target).tables
    assert 0 < len(written) < len(told)
    assert dump(target) == dump(source)


def test_a_source_that_changed_since_is_noticed_and_the_target_stays_unfinished(
    source: Database, target: Database
) -> None:
    source.close()
    assert in_a_process(partial(_move_and_die, source, target, 40)) == -signal.SIGKILL
    with source.writing() as session:
        session.execute(sa.text("UPDATE accounts SET name = 'Another' WHERE id = 1"))
    with pytest.raises(Conflict, match="holds in accounts what the source does not") as error:
        moved(source, target)
    assert "begin again" in said(error)
    with pytest.raises(Unavailable, match="not whole yet"):
        schema_version.require_current(target)


def test_a_target_that_another_version_began_to_fill_is_refused(
    source: Database, target: Database
) -> None:
    test_schema_version.put_version(target, f"{schema_version.UNFINISHED_PREFIX} 0001")
    with pytest.raises(Conflict, match="Another version of this program began") as error:
        moved(source, target)
    assert said(error)


# Refused


def test_a_target_that_holds_something_is_refused_and_left_alone(
    source: Database, empty: Database
) -> None:
    with empty.writing() as session:
        session.add(account("Already here"))
    with pytest.raises(Conflict, match=r"holds something already \(accounts\)") as error:
        moved(source, empty)
    assert said(error)
    assert test_schema_version.counts(empty)["accounts"] == 1
    schema_version.require_current(empty)


def test_an_empty_target_of_an_earlier_version_is_brought_to_this_one(
    source: Database, nowhere: Database
) -> None:
    schema_version.upgrade(nowhere, schema_version.revisions()[0])
    moved(source, nowhere)
    assert dump(nowhere) == dump(source)


def test_the_same_database_is_refused(source: Database, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path_of(source))
    for other in (path_of(source), tmp_path / "link.db"):
        with pytest.raises(Invalid, match="the same database"):
            moved(source, Database(f"sqlite:///{other}"))


def test_a_source_that_is_not_there_or_not_of_this_version_is_refused(
    source: Database, nowhere: Database, tmp_path: Path
) -> None:
    for version, words in (("9999", "newer than this program"), ("0001", "run `provider init`")):
        test_schema_version.put_version(source, version)
        with pytest.raises(Unavailable, match=words):
            moved(source, nowhere)
    with pytest.raises(Unavailable, match="no database"):
        moved(Database(f"sqlite:///{tmp_path / 'missing.db'}"), nowhere)
    assert not path_of(nowhere).parent.exists()


def test_a_source_or_target_that_a_server_has_open_is_refused(
    source: Database, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    for held in (source, target):
        with closing(anew(held)) as idle:
            schema_version.require_current(idle)
            with pytest.raises(Conflict, match=r"has .* open: stop the server") as error:
                moved(source, target)
            assert said(error)
    moved(source, target)


def test_a_source_or_target_on_postgresql_that_a_server_has_open_is_refused(
    source: Database, postgres_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive_access, "MAX_CONNECTION_CHECKS", 2)
    with closing(anew(postgres_db)) as idle, idle.engine.connect():
        with pytest.raises(Conflict, match="has 1 other connections: stop") as error:
            moved(source, postgres_db)
        assert said(error)
    moved(source, postgres_db)


def test_nobody_writes_to_the_source_meanwhile(
    source: Database, postgres_db: Database, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    refused: list[str] = []
    sql = "UPDATE accounts SET name = 'Another' WHERE id = 1"

    def on_sqlite(*_: object) -> None:
        if not refused:
            with closing(anew(source)) as other:
                with pytest.raises(Unavailable), other.writing() as session:
                    session.execute(sa.text(sql))
                refused.append("sqlite")

    def on_postgres(*_: object) -> None:
        if refused == ["sqlite"]:
            url = anew(postgres_db).url.set(drivername="postgresql").render_as_string(False)
            with psycopg.connect(url, options="-c lock_timeout=50ms") as other:
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    other.execute(sql)
                refused.append("postgresql")

    moved(source, postgres_db, on_sqlite)
    moved(postgres_db, target, on_postgres)
    assert refused == ["sqlite", "postgresql"]
    assert dump(target) == dump(source)


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("name", "a\0b", "there is a NUL character in its name"),
        ("name", "n" * 101, "its name is 101 characters long, the most is 100"),
        (
            "expire_after_seconds",
            2**31,
            "its expire_after_seconds is 2147483648, the most is 2147483647",
        ),
        ("options", "{no json", "invalid input syntax for type json"),
    ],
)
def test_what_postgresql_cannot_hold_is_named_by_its_row(
    source: Database, postgres_db: Database, column: str, value: Any, why: str
) -> None:
    with source.writing() as session:
        session.execute(sa.text(f"UPDATE accounts SET {column} = :v WHERE id = 2"), {"v": value})
    with pytest.raises(Conflict, match=f"does not take accounts id 2: {why}"):
        moved(source, postgres_db)
    with source.writing() as session:  # mended, it goes on
        session.execute(sa.text(f"UPDATE accounts SET {column} = '7' WHERE id = 2"))
    moved(source, postgres_db)


def test_a_row_without_its_parent_is_named(source: Database, target: Database) -> None:
    with closing(sqlite3.connect(path_of(source))) as connection, connection:
        connection.execute("UPDATE order_events SET order_id = 4711 WHERE id = 3")
    with pytest.raises(Conflict, match="does not take order_events id 3: FOREIGN KEY") as error:
        moved(source, target)
    assert said(error)


# Files


@pytest.fixture
def stores(tmp_path: Path) -> tuple[MediaStore, MediaStore]:
    return MediaStore(f"file:{tmp_path / 'here'}"), MediaStore(f"file:{tmp_path / 'there'}")


def record(source: Database, media: MediaStore) -> dict[str, bytes]:
    """Keep the files that the recordings name; return them by their keys."""
    with source.writing() as session:
        first, second, third = session.scalars(sa.select(Recording).order_by(Recording.id))
        first.state = second.state = READY
        files = {
            first.original_key: b"first" * 1000,
            first.copy_key: b"copy",
            first.poster_key: b"picture",
            second.original_key: b"second",
            second.copy_key: b"another copy",  # without a picture
            third.original_key: b"third",
        }
        for each in (first, second, third):
            each.sha256 = media.put(each.original_key, [files[each.original_key]]).sha256
    for key, content in files.items():
        media.put(key, [content])
    return files


def held(media: MediaStore) -> dict[str, bytes]:
    return {key: b"".join(media.read_range(key, 0, size)) for key, size in [*media.list_files()]}


def test_the_files_that_rows_name_go_along(
    source: Database, target: Database, stores: tuple[MediaStore, MediaStore]
) -> None:
    files = record(source, stores[0])
    stores[0].put("coming/nobody-names-it", [b"a draft"])
    taken = copy_instance(source, target, quiet, files=stores)
    assert held(stores[1]) == files
    assert taken.files.stored_files.keys() == files.keys()
    assert taken.files.problems == {}


def test_files_that_are_there_already_are_not_sent_again(
    source: Database, target: Database, stores: tuple[MediaStore, MediaStore], tmp_path: Path
) -> None:
    files = record(source, stores[0])
    for key in list(files)[:3]:
        stores[1].put(key, [files[key]])
    stores[1].put(list(files)[3], [b"cut"])
    old = {path: path.stat().st_ino for path in (tmp_path / "there").rglob("*") if path.is_file()}
    copy_instance(source, target, quiet, files=stores)
    assert held(stores[1]) == files
    assert [path.stat().st_ino == number for path, number in old.items()].count(True) == 3


def test_a_file_that_is_missing_or_damaged_is_told(
    source: Database, target: Database, stores: tuple[MediaStore, MediaStore]
) -> None:
    files = record(source, stores[0])
    gone, damaged, *_ = (key for key in files if key.endswith("original"))
    stores[0].delete(gone)
    stores[0].put(damaged, [b"seconds"])
    taken = copy_instance(source, target, quiet, files=stores)
    assert taken.files.problems == {
        gone: "is not there",
        damaged: "is not what was sent: its SHA-256 differs",
    }
