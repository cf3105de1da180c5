"""The PostgreSQL schema of Procrastinate, whose jobs distribute the queues among the workers.

The schema holds nothing that cannot be created again: every message is in the outbox.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from provider.storage.postgres import is_behind_pooler

if TYPE_CHECKING:
    from procrastinate.schema import SchemaManager
    from psycopg import Connection as PsycopgConnection

SCHEMA_NAME = "provider_procrastinate"
TIMEOUT_SECONDS = 5  # for connecting, for a lock, and for an idle transaction
# Of the sessions in which jobs are deferred and fetched.
SESSION_SETTINGS = {
    "search_path": SCHEMA_NAME,
    "lock_timeout": f"{TIMEOUT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{TIMEOUT_SECONDS}s",
}
INSTALL_LOCK_ID = 0x70726F76  # an advisory lock

_APPLIED_TABLE = Table(
    "applied_migrations", MetaData(schema=SCHEMA_NAME), Column("migration", Text, primary_key=True)
)


def build_conninfo(url: URL) -> str:
    """Return the libpq connection string with which Procrastinate connects to `url`."""
    from psycopg.conninfo import make_conninfo

    _, connect_args = url.get_dialect()().create_connect_args(url)
    session_options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    options = f"{connect_args.get('options', '')} {session_options}".strip()
    return make_conninfo(**{**connect_args, "options": options, "connect_timeout": TIMEOUT_SECONDS})


def connect(url: URL) -> "tuple[PsycopgConnection[Any], bool]":
    """Return a connection on which jobs can be deferred, and whether a pooler is between.

    Behind a pooler each transaction needs `set_up_transaction`, because nothing may be set on the
    session; a pooler may also refuse a connection string with options.
    """
    from psycopg import Connection as PsycopgConnection  # late: an extra
    from psycopg.conninfo import make_conninfo

    _, connect_args = url.get_dialect()().create_connect_args(url)
    conninfo = make_conninfo(**{**connect_args, "connect_timeout": TIMEOUT_SECONDS})
    connection = PsycopgConnection.connect(conninfo, autocommit=True, prepare_threshold=None)
    is_pooled = is_behind_pooler(connection)
    if not is_pooled:
        _apply_settings(connection, is_local=False)
    return connection, is_pooled


def set_up_transaction(connection: "PsycopgConnection[Any]") -> None:
    _apply_settings(connection, is_local=True)


def _apply_settings(connection: "PsycopgConnection[Any]", *, is_local: bool) -> None:
    for name, value in SESSION_SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, %s)", (name, value, is_local))


def install(engine: Engine) -> None:
    """Create the schema, or upgrade it to the version of the installed Procrastinate."""
    with engine.begin() as connection:
        _acquire_install_lock(connection)
        if not _is_installed(connection):
            _create(connection)
    for migration in _migration_files():
        # One transaction each: a migration may need that the previous one is committed.
        with engine.begin() as connection:
            _acquire_install_lock(connection)
            if migration.name not in _applied_migrations(connection):
                _run_script(connection, migration.read_text("utf-8"))
                _record_applied(connection, migration)


def is_missing_or_outdated(connection: Connection) -> bool:
    required = {migration.name for migration in _migration_files()}
    return not _is_installed(connection) or not required <= _applied_migrations(connection)


def _create(connection: Connection) -> None:
    connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA_NAME}")
    _APPLIED_TABLE.create(connection)
    _run_script(connection, _schema_manager().get_schema())
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
    return sorted(Path(_schema_manager().get_migrations_path()).glob("*.sql"))


def _schema_manager() -> "type[SchemaManager]":
    try:
        from procrastinate.schema import SchemaManager  # late: an extra
    except ImportError as error:
        raise Unavailable(
            "PostgreSQL needs more packages: run `pip install 'provider[scale]'`"
        ) from error
    return SchemaManager
