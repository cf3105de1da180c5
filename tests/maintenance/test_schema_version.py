"""The schema version: upgrades from every revision, without loss, and refused versions."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
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
from provider.outbox import Message
from provider.storage.database import Base, Database
from provider.storage.secrets import SecretBox
from tests.postgres_server import PostgresServer

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ROWS_PER_TABLE = 3
DROPPED_TABLES = {"tallies"}  # the counters of earlier versions
# The rows of these tables went into new ones.
RENAMED_TABLES = {"uploads": "take_uploads", "upload_pieces": "take_pieces"}
# SQLite's full-text index and its own tables: triggers fill them.
INDEX_PREFIX = "order_search_index"
SECRET_BOX = SecretBox([b"k" * 32])
SQLITE_DEFINITIONS = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
POSTGRES_DEFINITIONS = (
    "SELECT relname, string_agg(concat_ws(' ', attname, atttypid, atttypmod, attnotnull), ','"
    " ORDER BY attnum) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
    " AND attnum > 0 AND NOT attisdropped GROUP BY relname"
)

AddRevision = Callable[[str, str], None]  # revision, body of its upgrade()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = Database(f"sqlite:///{tmp_path / 'deep' / 'provider.db'}")
    yield db
    db.close()


@pytest.fixture
def current_db(db: Database, fresh_database: Path) -> Database:
    """The database, with this program's version: a copy, because an upgrade takes longer."""
    path = Path(str(db.url.database))
    path.parent.mkdir()
    shutil.copy(fresh_database, path)
    return db


@pytest.fixture
def add_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddRevision:
    """Return a function that adds a revision to a copy of the program's migrations."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for path in (
        schema_version.MIGRATIONS_FOLDER / "env.py",
        *(schema_version.MIGRATIONS_FOLDER / "versions").glob("*.py"),
    ):
        (folder / path.relative_to(schema_version.MIGRATIONS_FOLDER)).write_text(
            path.read_text("utf-8"), "utf-8"
        )

    def add(revision: str, body: str) -> None:
        previous = schema_version.head()
        (folder / "versions" / f"{revision}.py").write_text(
            "from alembic import op\nimport sqlalchemy as sa\n"
            f"revision, down_revision = {revision!r}, {previous!r}\n"
            f"def upgrade():\n    {body}\n"
        )

    monkeypatch.setattr(schema_version, "MIGRATIONS_FOLDER", folder)
    return add


# These helpers reflect the tables, because the models may have another version than the database.


def reflect_tables(connection: Connection, names: Collection[str] = ()) -> list[sa.Table]:
    """Return the tables of these names and their parents, or all tables; parents first.

    Those of alembic and of an index are left out.
    """
    metadata = sa.MetaData()
    metadata.reflect(connection, only=lambda name, _: name in names if names else is_content(name))
    return metadata.sorted_tables


def fill(
    db: Database,
    numbers: Sequence[int] = range(1, 1 + ROWS_PER_TABLE),
    names: Collection[str] = (),
) -> None:
    """Insert a row of each number into the tables and their parents, with every column."""
    with db.engine.begin() as connection:
        for table in reflect_tables(connection, names):
            connection.execute(table.insert(), [row_values(table, number) for number in numbers])


def read_definitions(db: Database) -> dict[str, str]:
    """Return a text for each table that differs when its columns differ."""
    with db.engine.connect() as connection:
        query = SQLITE_DEFINITIONS if db.is_sqlite else POSTGRES_DEFINITIONS
        rows = connection.exec_driver_sql(query).all()
    return {name: definition for name, definition in rows if is_content(name)}


def row_values(table: sa.Table, number: int) -> dict[str, Any]:
    return {
        column.name: number
        if column.foreign_keys or column.primary_key
        else unique_value(column, number)
        for column in table.columns
    }


def unique_value(column: sa.Column[Any], number: int) -> Any:
    """Return a value of the column's type that no other row has."""
    if isinstance(column.type, sa.Boolean):
        return number % 2 == 0
    if isinstance(column.type, sa.DateTime):
        return NOW.replace(tzinfo=None) + timedelta(minutes=number)
    if isinstance(column.type, sa.Date):
        return NOW.date() + timedelta(days=number)
    if column.name == "pages" and isinstance(column.type, sa.JSON):
        return []  # of a document: each would be a file
    python_type = column.type.python_type
    values: dict[type, Any] = {
        int: number,
        float: number / 2,
        bytes: bytes([number]),
        object: {"number": number},
        str: f"{number} {column.name}"[: getattr(column.type, "length", None)],
    }
    return values[python_type]


def read_rows(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table."""
    with db.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))]
            for table in reflect_tables(connection)
        }


def row_counts(db: Database) -> dict[str, int]:
    with db.engine.connect() as connection:
        names = [name for name in sa.inspect(connection).get_table_names() if is_content(name)]
        if not names:
            return {}
        counts = [
            sa.select(sa.func.count()).select_from(sa.table(name)).scalar_subquery().label(name)
            for name in names
        ]
        return dict(connection.execute(sa.select(*counts)).one()._mapping)


def is_content(table_name: str) -> bool:
    return table_name != "alembic_version" and not table_name.startswith(INDEX_PREFIX)


def stored_version(db: Database) -> str | None:
    with db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def broken_references(db: Database) -> list[Any]:
    with db.engine.connect() as connection:
        return list(connection.exec_driver_sql("PRAGMA foreign_key_check").all())


# Upgrading


def check_upgrade_keeps_rows(db: Database, revision: str) -> None:
    """Fill a database of a revision, upgrade it, and compare the tables' row counts."""
    schema_version.upgrade(db, revision)
    fill(db)
    before = row_counts(db)
    assert before
    assert set(before.values()) == {ROWS_PER_TABLE}
    schema_version.upgrade(db, secret_box=SECRET_BOX)
    require_rows(db, before)
    schema_version.require_current(db)


def require_rows(db: Database, expected: dict[str, int], revision: str = "head") -> None:
    """Compare the tables' row counts after an upgrade, and check the references of the rows."""
    counts = row_counts(db)
    expected = {
        name if name in counts else RENAMED_TABLES.get(name, name): count
        for name, count in expected.items()
    }
    remaining = expected.keys() - DROPPED_TABLES
    assert {name: counts[name] for name in remaining} == {
        name: expected[name] for name in remaining
    }, f"the upgrade to {revision}"
    if db.is_sqlite:
        assert broken_references(db) == []


def check_upgrades_keep_rows(db: Database) -> None:
    """Upgrade revision by revision, add rows at each, and compare the tables' row counts.

    A row is added to each table whose columns the revision changed. So a row of every form goes
    through all the later revisions.
    """
    counts: dict[str, int] = {}
    definitions: dict[str, str] = {}
    for number, revision in enumerate(schema_version.revisions()):
        schema_version.upgrade(db, revision, secret_box=SECRET_BOX)
        require_rows(db, counts, revision)
        earlier, definitions = definitions, read_definitions(db)
        if changed := [name for name in definitions if definitions[name] != earlier.get(name)]:
            fill(db, [1 + number], changed)
        counts = row_counts(db)
    assert 0 not in counts.values()
    schema_version.require_current(db)


def test_revisions_are_in_the_order_of_their_file_names() -> None:
    chain = ScriptDirectory(str(schema_version.MIGRATIONS_FOLDER)).walk_revisions()
    assert schema_version.revisions() == [script.revision for script in chain][::-1]


def test_upgrades_from_every_revision_keep_rows(db: Database) -> None:
    check_upgrades_keep_rows(db)


def test_upgrades_on_postgresql_keep_rows(postgres: PostgresServer) -> None:
    with postgres.empty_database() as url:
        db = Database(url)
        check_upgrades_keep_rows(db)
        db.close()


REBUILD_ORDERS = """with op.batch_alter_table("orders", recreate="always") as batch:
        batch.add_column(sa.Column("colour", sa.String(10), nullable=True))"""


def test_upgrade_that_rebuilds_a_table_keeps_its_child_rows(
    db: Database, add_revision: AddRevision
) -> None:
    first = schema_version.head()
    add_revision("9001", REBUILD_ORDERS)
    assert schema_version.revisions()[-2:] == [first, "9001"]
    check_upgrade_keeps_rows(db, first)
    with db.engine.connect() as connection:
        parents = {table.name for table in reflect_tables(connection) if "colour" in table.columns}
    assert parents == {"orders"}


CREATE_CASCADING_TABLES = """
    op.create_table("parents", sa.Column("id", sa.Integer, primary_key=True))
    op.create_table("children", sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent_id", sa.Integer,
            sa.ForeignKey("parents.id", ondelete="CASCADE"), nullable=False))"""
REBUILD_PARENTS = REBUILD_ORDERS.replace('"orders"', '"parents"')


def test_upgrade_that_rebuilds_a_parent_keeps_cascading_children(
    db: Database, add_revision: AddRevision
) -> None:
    add_revision("9001", CREATE_CASCADING_TABLES)
    add_revision("9002", REBUILD_PARENTS)
    check_upgrade_keeps_rows(db, "9001")


def test_check_notices_children_deleted_with_their_parent(
    db: Database, add_revision: AddRevision, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_revision("9001", CREATE_CASCADING_TABLES)
    add_revision("9002", REBUILD_PARENTS)
    # Foreign keys stay on while the parent is rebuilt.
    monkeypatch.setattr(schema_version, "_without_foreign_keys", lambda *_, **__: nullcontext())
    with pytest.raises(AssertionError):
        check_upgrade_keeps_rows(db, "9001")
    assert row_counts(db)["children"] == 0


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('op.execute("DELETE FROM children WHERE id > 2")', AssertionError),
        ('op.execute("DELETE FROM parents")', Unavailable),
        ('op.execute("DROP TABLE children")', KeyError),
    ],
    ids=["rows", "parents", "a table"],
)
def test_check_notices_revision_that_loses_rows(
    db: Database, add_revision: AddRevision, body: str, error: type[Exception]
) -> None:
    add_revision("9001", CREATE_CASCADING_TABLES)
    add_revision("9002", body)
    with pytest.raises(error):
        check_upgrade_keeps_rows(db, "9001")


def test_upgrade_that_leaves_orphans_is_rolled_back(
    current_db: Database, add_revision: AddRevision
) -> None:
    fill(current_db)
    before, first = read_rows(current_db), schema_version.head()
    add_revision("9001", REBUILD_ORDERS + '\n    op.execute("DELETE FROM accounts WHERE id = 1")')
    with pytest.raises(Unavailable, match=r"undone: it would leave \d+ rows without their parent"):
        schema_version.upgrade(current_db)
    assert read_rows(current_db) == before
    assert stored_version(current_db) == first


def test_failing_upgrade_is_rolled_back(current_db: Database, add_revision: AddRevision) -> None:
    fill(current_db)
    before, first = read_rows(current_db), schema_version.head()
    add_revision(
        "9001",
        REBUILD_ORDERS
        + '\n    op.create_table("odd", sa.Column("id", sa.Integer))\n    raise ZeroDivisionError',
    )
    with pytest.raises(ZeroDivisionError):
        schema_version.upgrade(current_db)
    assert read_rows(current_db) == before
    assert stored_version(current_db) == first


def test_foreign_keys_are_enforced_after_upgrade(db: Database) -> None:
    schema_version.upgrade(db)
    with pytest.raises(sa.exc.IntegrityError), db.writing() as session:
        session.execute(sa.text("INSERT INTO account_products VALUES (4711, 4711)"))


def test_repeated_upgrade_changes_nothing(db: Database) -> None:
    schema_version.upgrade(db)
    fill(db)
    before = read_rows(db)
    schema_version.upgrade(db)
    schema_version.upgrade(
        db, schema_version.revisions()[0]
    )  # a lower target changes nothing either
    assert read_rows(db) == before
    assert stored_version(db) == schema_version.head()


def test_models_and_migrations_agree(current_db: Database) -> None:
    assert kinds.KINDS
    with current_db.engine.connect() as connection:
        options = {
            "compare_type": True,
            "include_name": lambda name, *_: not str(name).startswith(INDEX_PREFIX),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
        assert {table.name for table in reflect_tables(connection)} == set(Base.metadata.tables)


def test_every_constraint_has_a_name(current_db: Database) -> None:
    with current_db.engine.connect() as connection:
        for table in reflect_tables(connection):
            for constraint in table.constraints:
                assert constraint.name, (table.name, constraint)


def test_upgrade_works_in_folder_with_special_characters(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "100%(odd)s folder"
    odd.symlink_to(schema_version.MIGRATIONS_FOLDER)
    monkeypatch.setattr(schema_version, "MIGRATIONS_FOLDER", odd)
    schema_version.upgrade(db)
    assert stored_version(db) == schema_version.head()


def test_folder_of_new_database_has_mode_0700(db: Database) -> None:
    schema_version.upgrade(db)
    assert Path(str(db.url.database)).parent.stat().st_mode & 0o777 == 0o700


# Refused versions


def put_version(db: Database, revision: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": revision})


def test_require_current_accepts_this_version(current_db: Database) -> None:
    schema_version.require_current(current_db)


def test_require_current_without_database_names_command(db: Database) -> None:
    with pytest.raises(Unavailable, match="no database yet: run `provider init`"):
        schema_version.require_current(db)
    assert not Path(str(db.url.database)).exists()


def test_require_current_refuses_empty_database(db: Database) -> None:
    Path(str(db.url.database)).parent.mkdir()
    Path(str(db.url.database)).touch()
    with pytest.raises(Unavailable, match="is empty: run `provider init`"):
        schema_version.require_current(db)


def test_require_current_refuses_older_database(
    current_db: Database, add_revision: AddRevision
) -> None:
    first = schema_version.head()
    add_revision("9001", REBUILD_ORDERS)
    with pytest.raises(Unavailable, match=f"version {first}, .* needs 9001: run `provider init`"):
        schema_version.require_current(current_db)
    schema_version.upgrade(current_db)
    schema_version.require_current(current_db)


def test_newer_database_is_refused_and_unchanged(current_db: Database) -> None:
    put_version(current_db, "9999")
    for function in (schema_version.require_current, schema_version.upgrade):
        with pytest.raises(Unavailable, match=r"9999.* is newer than this program"):
            function(current_db)
    assert stored_version(current_db) == "9999"


def test_upgrade_to_unknown_revision_is_refused(db: Database) -> None:
    with pytest.raises(CommandError, match="4711"):
        schema_version.upgrade(db, "4711")
    assert stored_version(db) is None


def test_require_current_needs_no_lock(current_db: Database) -> None:
    other = Database(str(current_db.url))
    with other.writing() as session:
        session.execute(sa.text("DELETE FROM accounts"))
        schema_version.require_current(current_db)
    other.close()


# Concurrent upgrades


UPGRADE_IN_FOUR_PROCESSES = """
import os, sys
from provider.maintenance import schema_version
from provider.storage.database import Database

wait, go = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        os.close(go)
        os.read(wait, 1)  # until the parent closes the pipe
        db = Database(sys.argv[1])
        schema_version.upgrade(db)
        schema_version.require_current(db)
        db.close()
        os._exit(0)
os.close(go)
sys.exit(any([os.wait()[1] for _ in range(4)]))
"""


def test_concurrent_upgrades_of_processes_all_succeed(db: Database) -> None:
    process = subprocess.run(
        [sys.executable, "-c", UPGRADE_IN_FOUR_PROCESSES, str(db.url)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (process.returncode, process.stderr) == (0, "")
    schema_version.require_current(db)
    assert set(row_counts(db).values()) == {0}


def test_upgrade_beside_long_writer_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.storage.sqlite.BUSY_TIMEOUT_MS", 50)
    db, other = (Database(f"sqlite:///{tmp_path / 'provider.db'}") for _ in range(2))
    with other.writing() as session:
        session.execute(sa.text("CREATE TABLE t (x)"))
        with pytest.raises(Unavailable, match="Another program is writing"):
            schema_version.upgrade(db)
    db.close()
    other.close()


# Encrypting the messages (revision 0006)


@pytest.fixture(params=["sqlite", "postgresql"])
def old_db(db: Database, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of the first revision with rows in every table."""
    if request.param == "sqlite":
        schema_version.upgrade(db, "0001")
        fill(db)
        yield db
        return
    with request.getfixturevalue("postgres").empty_database() as url:
        database = Database(url)
        schema_version.upgrade(database, "0001")
        fill(database)
        yield database
        database.close()


def test_upgrade_encrypts_payloads_and_bodies(old_db: Database) -> None:
    schema_version.upgrade(old_db, secret_box=SECRET_BOX)
    schema_version.require_current(old_db)
    with old_db.reading() as session:
        messages = session.scalars(sa.select(Message).order_by(Message.id)).all()
        assert [message.get_payload(SECRET_BOX) for message in messages] == [
            {"number": number} for number in (1, 2, 3)
        ]
        bodies = [message.get_body(SECRET_BOX) for message in messages]
        assert bodies == [b"\x01", b"\x02", b"\x03"]
        digests = [message.body_digest for message in messages]
        assert digests == [hashlib.sha256(body or b"").digest() for body in bodies]


def test_upgrade_stores_no_body_for_an_empty_one(old_db: Database) -> None:
    with old_db.engine.begin() as connection:
        connection.execute(sa.text("UPDATE messages SET body = :empty"), {"empty": b""})
    schema_version.upgrade(old_db, secret_box=SECRET_BOX)
    with old_db.reading() as session:
        columns = sa.select(Message.body_encrypted, Message.body_digest)
        assert set(session.execute(columns)) == {(None, None)}


def test_upgrade_keeps_indexes_and_attempts_of_messages(old_db: Database) -> None:
    with old_db.engine.connect() as connection:
        before = index_conditions(connection)
    schema_version.upgrade(old_db, secret_box=SECRET_BOX)
    with old_db.engine.connect() as connection:
        after = index_conditions(connection)
        attempts = connection.execute(sa.text("SELECT count(*) FROM attempts")).scalar()
    assert after.pop("ix_messages_body")
    assert after == before
    assert attempts == ROWS_PER_TABLE


def index_conditions(connection: Connection) -> dict[str, str]:
    """Return the WHERE of each partial index of the messages, empty for the others."""
    sql = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'messages' "
        "AND sql IS NOT NULL"
        if connection.dialect.name == "sqlite"
        else "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'messages'"
    )
    return {
        name: definition.partition(" WHERE ")[2]
        for name, definition in connection.execute(sa.text(sql)).all()
    }


def test_upgrade_of_messages_without_keys_is_refused(old_db: Database) -> None:
    before = read_rows(old_db)
    with pytest.raises(RuntimeError, match="needs the secret keys"):
        schema_version.upgrade(old_db)
    assert read_rows(old_db) == before
