"""Procrastinate's schema in PostgreSQL: installed, upgraded and checked beside our tables."""

import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Connection, make_url, text

from provider.errors import Unavailable
from provider.maintenance import schema_version
from provider.storage import procrastinate_schema
from provider.storage.database import Database
from tests.postgres_server import PostgresServer

SCHEMA_QUERY = """
SELECT 'column', table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'provider_procrastinate'
UNION ALL SELECT 'index', indexname, indexdef, '' FROM pg_indexes
    WHERE schemaname = 'provider_procrastinate'
UNION ALL SELECT 'function', proname, md5(prosrc), '' FROM pg_proc
    WHERE pronamespace = 'provider_procrastinate'::regnamespace
UNION ALL SELECT 'trigger', tgname, tgrelid::regclass::text, '' FROM pg_trigger
    WHERE NOT tgisinternal
ORDER BY 1, 2, 3
"""


def read_schema(db: Database) -> list[tuple[object, ...]]:
    with db.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(SCHEMA_QUERY)]


def needs_install(db: Database) -> bool:
    with db.engine.connect() as connection:
        return procrastinate_schema.is_missing_or_outdated(connection)


def empty_schema(connection: Connection) -> None:
    """Leave the schema with no applied migration."""
    connection.exec_driver_sql("DROP SCHEMA provider_procrastinate CASCADE")
    connection.exec_driver_sql("CREATE SCHEMA provider_procrastinate")
    connection.exec_driver_sql(
        "CREATE TABLE provider_procrastinate.applied_migrations (migration text PRIMARY KEY)"
    )


def test_upgrade_installs_schema_once(postgres: PostgresServer) -> None:
    with postgres.empty_database() as url:
        db = Database(url)
        assert needs_install(db)
        schema_version.upgrade(db)
        assert not needs_install(db)
        installed = read_schema(db)
        assert ("column", "procrastinate_jobs", "queueing_lock", "text") in installed
        schema_version.upgrade(db)
        assert read_schema(db) == installed
        schema_version.require_current(db)
        db.close()


def test_concurrent_installs_are_serialised(postgres: PostgresServer) -> None:
    with postgres.empty_database() as url, ThreadPoolExecutor(4) as threads:
        db = Database(url)
        for future in [threads.submit(procrastinate_schema.install, db.engine) for _ in range(4)]:
            future.result()
        assert not needs_install(db)
        db.close()


def test_outdated_schema_is_refused_until_upgrade(
    postgres: PostgresServer,
) -> None:
    with postgres.empty_database() as url:
        db = Database(url)
        schema_version.upgrade(db)
        current = read_schema(db)
        with db.engine.begin() as connection:
            empty_schema(connection)
        with pytest.raises(Unavailable, match=r"older than this program: run `provider init`"):
            schema_version.require_current(db)
        schema_version.upgrade(db)
        assert read_schema(db) == current
        schema_version.require_current(db)
        db.close()


def test_idle_transaction_ends_after_a_minute(
    postgres_url: str,
) -> None:
    db = Database(postgres_url)
    with db.writing() as session:
        timeout = session.scalar(text("SHOW idle_in_transaction_session_timeout"))
    assert timeout == "1min"
    db.close()


def test_build_conninfo_sets_schema_and_timeouts() -> None:
    url = make_url(
        "postgresql+psycopg://us:p%40ss@/orders?host=/sockets&options=-c%20geqo=off&connect_timeout=9"
    )
    assert psycopg.conninfo.conninfo_to_dict(procrastinate_schema.build_conninfo(url)) == {
        "user": "us",
        "password": "p@ss",
        "dbname": "orders",
        "host": "/sockets",
        "connect_timeout": "5",
        "options": "-c geqo=off -c search_path=provider_procrastinate -c lock_timeout=5s"
        " -c idle_in_transaction_session_timeout=5s",
    }


def test_missing_procrastinate_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    procrastinate_schema._migration_files.cache_clear()
    monkeypatch.setitem(sys.modules, "procrastinate.schema", None)
    with pytest.raises(Unavailable, match=r"pip install 'provider\[scale\]'"):
        procrastinate_schema._migration_files()
