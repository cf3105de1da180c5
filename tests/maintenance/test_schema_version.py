"""The database's version: every earlier one becomes this one, and nothing is lost on the way."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from provider.core import kinds
from provider.errors import Unavailable
from provider.maintenance import schema_version
from provider.storage.database import Base, Database

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ROWS = 3  # of every table


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = Database(f"sqlite:///{tmp_path / 'deep' / 'provider.db'}")
    yield db
    db.close()


@pytest.fixture
def more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Add a revision, given by its body, to a copy of the program's own."""
    here = tmp_path / "migrations"
    (here / "versions").mkdir(parents=True)
    for path in (
        schema_version.MIGRATIONS_FOLDER / "env.py",
        *(schema_version.MIGRATIONS_FOLDER / "versions").glob("*.py"),
    ):
        (here / path.relative_to(schema_version.MIGRATIONS_FOLDER)).write_text(
            path.read_text("utf-8"), "utf-8"
        )

    def add(revision: str, body: str) -> None:
        before = schema_version.head()
        (here / "versions" / f"{revision}.py").write_text(
            "from alembic import op\nimport sqlalchemy as sa\n"
            f"revision, down_revision = {revision!r}, {before!r}\n"
            f"def upgrade():\n    {body}\n"
        )

    monkeypatch.setattr(schema_version, "MIGRATIONS_FOLDER", here)
    return add


# What any database holds, read from the database itself: the models may be of another version.


def tables(connection: Connection) -> list[sa.Table]:
    """Return the tables that are there, parents first, without alembic's own."""
    there = sa.MetaData()
    there.reflect(connection)
    return [table for table in there.sorted_tables if table.name != "alembic_version"]


def fill(db: Database) -> None:
    """Put rows into every table, every column of them filled."""
    with db.engine.begin() as connection:
        for table in tables(connection):
            for number in range(1, ROWS + 1):
                connection.execute(table.insert().values(row(table, number)))


def row(table: sa.Table, number: int) -> dict[str, Any]:
    return {
        column.name: number if column.foreign_keys or column.primary_key else some(column, number)
        for column in table.columns
    }


def some(column: sa.Column[Any], number: int) -> Any:
    """Return a value of the column's type that no other row has."""
    if isinstance(column.type, sa.Boolean):
        return number % 2 == 0
    if isinstance(column.type, sa.DateTime):
        return AT.replace(tzinfo=None, minute=number)
    kind = column.type.python_type
    made: dict[type, Any] = {
        int: number,
        float: number / 2,
        bytes: bytes([number]),
        object: {"number": number},
        str: f"{number} {column.name}"[: getattr(column.type, "length", None)],
    }
    return made[kind]


def content(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table."""
    with db.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))]
            for table in tables(connection)
        }


def counts(db: Database) -> dict[str, int]:
    return {name: len(rows) for name, rows in content(db).items()}


def version(db: Database) -> str | None:
    with db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def broken_references(db: Database) -> list[Any]:
    with db.engine.connect() as connection:
        return list(connection.exec_driver_sql("PRAGMA foreign_key_check").all())


# Upgrading


def loses_nothing(db: Database, revision: str) -> None:
    """Fill a database of a revision, upgrade it, and hold every table against what it was."""
    schema_version.upgrade(db, revision)
    fill(db)
    before = counts(db)
    assert before
    assert set(before.values()) == {ROWS}
    schema_version.upgrade(db)
    after = counts(db)
    assert {name: after[name] for name in before} == before
    assert broken_references(db) == []
    schema_version.require_current(db)


def test_the_files_names_say_the_order_that_the_revisions_themselves_say() -> None:
    chain = ScriptDirectory(str(schema_version.MIGRATIONS_FOLDER)).walk_revisions()
    assert schema_version.revisions() == [script.revision for script in chain][::-1]


@pytest.mark.parametrize("revision", schema_version.revisions())
def test_a_database_of_every_earlier_revision_is_upgraded_without_loss(
    db: Database, revision: str
) -> None:
    loses_nothing(db, revision)


REBUILT = """with op.batch_alter_table("orders", recreate="always") as batch:
        batch.add_column(sa.Column("colour", sa.String(10), nullable=True))"""


def test_rebuilding_a_table_takes_no_child_with_it(
    db: Database, more: Callable[[str, str], None]
) -> None:
    first = schema_version.head()
    more("9001", REBUILT)
    assert schema_version.revisions()[-2:] == [first, "9001"]
    loses_nothing(db, first)
    with db.engine.connect() as connection:
        parents = {table.name for table in tables(connection) if "colour" in table.columns}
    assert parents == {"orders"}


CASCADES = """op.create_table("shelves", sa.Column("id", sa.Integer, primary_key=True))
    op.create_table("books", sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("shelf_id", sa.Integer,
            sa.ForeignKey("shelves.id", ondelete="CASCADE"), nullable=False))"""
SHELVES = REBUILT.replace('"orders"', '"shelves"')


def test_not_even_where_a_child_would_go_with_its_parent(
    db: Database, more: Callable[[str, str], None]
) -> None:
    more("9001", CASCADES)
    more("9002", SHELVES)
    loses_nothing(db, "9001")


def test_this_very_test_notices_when_children_go_with_their_parent(
    db: Database, more: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    more("9001", CASCADES)
    more("9002", SHELVES)
    # As it would be without the care that is taken: the keys are on while a parent is rebuilt.
    monkeypatch.setattr(schema_version, "_without_foreign_keys", lambda *_, **__: nullcontext())
    with pytest.raises(AssertionError):
        loses_nothing(db, "9001")
    assert counts(db)["books"] == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('op.execute("DELETE FROM books WHERE id > 2")', AssertionError),
        ('op.execute("DELETE FROM shelves")', Unavailable),
        ('op.execute("DROP TABLE books")', KeyError),
    ],
    ids=["rows", "parents", "a table"],
)
def test_a_revision_that_loses_something_is_noticed(
    db: Database, more: Callable[[str, str], None], body: str, said: type[Exception]
) -> None:
    more("9001", CASCADES)
    more("9002", body)
    with pytest.raises(said):
        loses_nothing(db, "9001")


def test_an_upgrade_that_would_leave_orphans_is_undone_whole(
    db: Database, more: Callable[[str, str], None]
) -> None:
    schema_version.upgrade(db)
    fill(db)
    before, first = content(db), schema_version.head()
    more("9001", REBUILT + '\n    op.execute("DELETE FROM accounts WHERE id = 1")')
    with pytest.raises(Unavailable, match=r"would leave \d+ rows without their parent: undone"):
        schema_version.upgrade(db)
    assert content(db) == before
    assert version(db) == first


def test_an_upgrade_that_fails_midway_leaves_the_database_as_it_was(
    db: Database, more: Callable[[str, str], None]
) -> None:
    schema_version.upgrade(db)
    fill(db)
    before, first = content(db), schema_version.head()
    more(
        "9001",
        REBUILT
        + '\n    op.create_table("odd", sa.Column("id", sa.Integer))\n    raise ZeroDivisionError',
    )
    with pytest.raises(ZeroDivisionError):
        schema_version.upgrade(db)
    assert content(db) == before
    assert version(db) == first


def test_foreign_keys_hold_again_after_an_upgrade(db: Database) -> None:
    schema_version.upgrade(db)
    with pytest.raises(sa.exc.IntegrityError), db.writing() as session:
        session.execute(sa.text("INSERT INTO account_products VALUES (4711, 4711)"))


def test_the_same_upgrade_again_changes_nothing(db: Database) -> None:
    schema_version.upgrade(db)
    fill(db)
    before = content(db)
    schema_version.upgrade(db)
    schema_version.upgrade(db, schema_version.revisions()[0])  # an older one neither
    assert content(db) == before
    assert version(db) == schema_version.head()


def test_the_models_and_the_migrations_say_the_same(db: Database) -> None:
    assert kinds.KINDS
    schema_version.upgrade(db)
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert {table.name for table in tables(connection)} == set(Base.metadata.tables)


def test_every_constraint_has_a_name_by_which_a_migration_can_drop_it(db: Database) -> None:
    schema_version.upgrade(db)
    with db.engine.connect() as connection:
        for table in tables(connection):
            for constraint in table.constraints:
                assert constraint.name, (table.name, constraint)


def test_a_folder_of_the_program_may_be_called_anything(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "100%(odd)s folder"
    odd.symlink_to(schema_version.MIGRATIONS_FOLDER)
    monkeypatch.setattr(schema_version, "MIGRATIONS_FOLDER", odd)
    schema_version.upgrade(db)
    assert version(db) == schema_version.head()


def test_a_new_databases_folder_is_its_owners_alone(db: Database) -> None:
    schema_version.upgrade(db)
    assert Path(str(db.url.database)).parent.stat().st_mode & 0o777 == 0o700


# Refusing what is not of this version


def put_version(db: Database, revision: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": revision})


def test_a_database_of_this_version_is_fine(db: Database) -> None:
    schema_version.upgrade(db)
    schema_version.require_current(db)


def test_where_there_is_no_database_the_command_is_named_and_none_is_made(db: Database) -> None:
    with pytest.raises(Unavailable, match="no database yet: run `provider init`"):
        schema_version.require_current(db)
    assert not Path(str(db.url.database)).exists()


def test_an_empty_database_is_refused(db: Database) -> None:
    Path(str(db.url.database)).parent.mkdir()
    Path(str(db.url.database)).touch()
    with pytest.raises(Unavailable, match="is empty: run `provider init`"):
        schema_version.require_current(db)


def test_an_older_database_is_refused(db: Database, more: Callable[[str, str], None]) -> None:
    schema_version.upgrade(db)
    first = schema_version.head()
    more("9001", REBUILT)
    with pytest.raises(Unavailable, match=f"version {first}, .* needs 9001: run `provider init`"):
        schema_version.require_current(db)
    schema_version.upgrade(db)
    schema_version.require_current(db)


def test_a_newer_database_is_refused_and_left_alone(db: Database) -> None:
    schema_version.upgrade(db)
    put_version(db, "9999")
    for ask in (schema_version.require_current, schema_version.upgrade):
        with pytest.raises(Unavailable, match=r"9999.* is newer than this program"):
            ask(db)
    assert version(db) == "9999"


def test_an_unknown_revision_cannot_be_asked_for(db: Database) -> None:
    with pytest.raises(CommandError, match="4711"):
        schema_version.upgrade(db, "4711")
    assert version(db) is None


def test_asking_for_the_version_needs_no_lock(db: Database) -> None:
    schema_version.upgrade(db)
    other = Database(str(db.url))
    with other.writing() as session:
        session.execute(sa.text("DELETE FROM accounts"))
        schema_version.require_current(db)
    other.close()


# Two at once


INIT_AT_ONCE = """
import os, sys
from provider import kinds, schema
from provider.db import Database

wait, go = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        os.close(go)
        os.read(wait, 1)  # until all have been started
        db = Database(sys.argv[1])
        schema.upgrade(db)
        schema.require_current(db)
        db.close()
        os._exit(0)
os.close(go)
sys.exit(any([os.wait()[1] for _ in range(4)]))
"""


def test_processes_that_upgrade_at_once_all_succeed(db: Database) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INIT_AT_ONCE, str(db.url)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    schema_version.require_current(db)
    assert set(counts(db).values()) == {0}


def test_an_upgrade_while_somebody_writes_for_long_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.storage.sqlite.BUSY_TIMEOUT_MS", 50)
    db, other = (Database(f"sqlite:///{tmp_path / 'provider.db'}") for _ in range(2))
    with other.writing() as session:
        session.execute(sa.text("CREATE TABLE t (x)"))
        with pytest.raises(Unavailable, match="kept busy by another program"):
            schema_version.upgrade(db)
    db.close()
    other.close()
