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

from provider.errors import Unavailable

SCHEMA_NAME = "provider_engine"
TIMEOUT_SECONDS = 5  # seconds that a connection of the engine waits for a lock, or to be made
INSTALL_LOCK_ID = 0x70726F76  # the advisory lock of who installs

_APPLIED_TABLE = Table(
    "applied", MetaData(schema=SCHEMA_NAME), Column("migration", Text, primary_key=True)
)


def build_conninfo(url: URL) -> str:
    """Return how the engine reaches the database at `url`, as libpq reads it."""
    from psycopg.conninfo import make_conninfo

    _, told = url.get_dialect()().create_connect_args(url)
    ours = (
        f"-c search_path={SCHEMA_NAME} -c lock_timeout={TIMEOUT_SECONDS}s "
        f"-c idle_in_transaction_session_timeout={TIMEOUT_SECONDS}s"
    )
    options = f"{told.get('options', '')} {ours}".strip()
    return make_conninfo(**{**told, "options": options, "connect_timeout": TIMEOUT_SECONDS})


def install(engine: Engine) -> None:
    """Create the engine's schema, or bring it to the version of the Procrastinate that is here."""
    with engine.begin() as connection:
        _acquire_install_lock(connection)
        if not _is_installed(connection):
            _create(connection)
    for migration in _migration_files():
        # Each in a transaction of its own: one may need what the one before it has committed.
        with engine.begin() as connection:
            _acquire_install_lock(connection)
            if migration.name not in _applied_migrations(connection):
                _run_script(connection, migration.read_text("utf-8"))
                _record_applied(connection, migration)


def is_missing_or_outdated(connection: Connection) -> bool:
    """Say whether the engine's schema is missing or older than the Procrastinate that is here."""
    wanted = {migration.name for migration in _migration_files()}
    return not _is_installed(connection) or not wanted <= _applied_migrations(connection)


def _create(connection: Connection) -> None:
    connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA_NAME}")
    _APPLIED_TABLE.create(connection)
    _run_script(connection, (_procrastinate_sql_folder() / "schema.sql").read_text("utf-8"))
    for migration in _migration_files():
        _record_applied(connection, migration)


def _run_script(connection: Connection, script: str) -> None:
    connection.exec_driver_sql(f"SET LOCAL search_path TO {SCHEMA_NAME}")
    connection.exec_driver_sql(script.replace("%", "%%"))


def _record_applied(connection: Connection, migration: Path) -> None:
    connection.execute(insert(_APPLIED_TABLE).values(migration=migration.name))


def _acquire_install_lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({INSTALL_LOCK_ID})")


def _is_installed(connection: Connection) -> bool:
    return inspect(connection).has_table(_APPLIED_TABLE.name, SCHEMA_NAME)


def _applied_migrations(connection: Connection) -> set[str]:
    return set(connection.scalars(select(_APPLIED_TABLE.c.migration)))


@cache
def _migration_files() -> list[Path]:
    return sorted((_procrastinate_sql_folder() / "migrations").glob("*.sql"))


@cache
def _procrastinate_sql_folder() -> Path:
    # Looked for, not imported: `/ready` asks for it, and the whole of it takes a while to load.
    found = find_spec("procrastinate")
    if found is None or found.origin is None:
        raise Unavailable(
            "PostgreSQL needs what `pip install 'provider[scale]'` brings: install that"
        )
    return Path(found.origin).parent / "sql"
