"""Procrastinate, by which workers on many machines share the lanes: its place in our PostgreSQL.

It lives in a schema of its own and holds nothing of worth: what must go out stands in the outbox,
and whatever is lost here is found again there.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
)

from provider.errors import Unready

SCHEMA = "provider_engine"
PATIENCE = 5  # seconds that a connection of the engine waits for a lock, or to be made
ONE_AT_A_TIME = 0x70726F76  # the advisory lock of who installs

_APPLIED = Table("applied", MetaData(schema=SCHEMA), Column("migration", Text, primary_key=True))


def address(url: URL) -> str:
    """Return how the engine reaches the database at `url`, as libpq reads it."""
    from psycopg.conninfo import make_conninfo

    _, told = url.get_dialect()().create_connect_args(url)
    ours = (
        f"-c search_path={SCHEMA} -c lock_timeout={PATIENCE}s "
        f"-c idle_in_transaction_session_timeout={PATIENCE}s"
    )
    options = f"{told.get('options', '')} {ours}".strip()
    return make_conninfo(**{**told, "options": options, "connect_timeout": PATIENCE})


def install(database: Engine) -> None:
    """Create the engine's schema, or bring it to the version of the Procrastinate that is here."""
    with database.begin() as connection:
        _take_turns(connection)
        if not _is_there(connection):
            _create(connection)
    for migration in _migrations():
        # Each in a transaction of its own: one may need what the one before it has committed.
        with database.begin() as connection:
            _take_turns(connection)
            if migration.name not in _applied(connection):
                _run(connection, migration.read_text("utf-8"))
                _note(connection, migration)


def lacks(connection: Connection) -> bool:
    """Say whether the engine's schema is missing or older than the Procrastinate that is here."""
    wanted = {migration.name for migration in _migrations()}
    return not _is_there(connection) or not wanted <= _applied(connection)


def _create(connection: Connection) -> None:
    connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
    _APPLIED.create(connection)
    _run(connection, (_home() / "schema.sql").read_text("utf-8"))
    for migration in _migrations():
        _note(connection, migration)


def _run(connection: Connection, script: str) -> None:
    connection.exec_driver_sql(f"SET LOCAL search_path TO {SCHEMA}")
    connection.exec_driver_sql(script.replace("%", "%%"))


def _note(connection: Connection, migration: Path) -> None:
    connection.execute(insert(_APPLIED).values(migration=migration.name))


def _take_turns(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})")


def _is_there(connection: Connection) -> bool:
    return inspect(connection).has_table(_APPLIED.name, SCHEMA)


def _applied(connection: Connection) -> set[str]:
    return set(connection.scalars(select(_APPLIED.c.migration)))


@cache
def _migrations() -> list[Path]:
    return sorted((_home() / "migrations").glob("*.sql"))


@cache
def _home() -> Path:
    # Looked for, not imported: `/ready` asks for it, and the whole of it takes a while to load.
    found = find_spec("procrastinate")
    if found is None or found.origin is None:
        raise Unready("PostgreSQL needs what `pip install 'provider[scale]'` brings: install that")
    return Path(found.origin).parent / "sql"
