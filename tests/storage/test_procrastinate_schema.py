"""The engine's place in PostgreSQL: made, upgraded and asked for beside our own tables."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Connection, make_url, text

from provider.errors import Unavailable
from provider.maintenance import schema_version
from provider.storage import procrastinate_schema
from provider.storage.database import Database
from tests.postgres_server import PostgresServer

SHAPE = """
SELECT 'column', table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'provider_engine'
UNION ALL SELECT 'index', indexname, indexdef, '' FROM pg_indexes
    WHERE schemaname = 'provider_engine'
UNION ALL SELECT 'function', proname, md5(prosrc), '' FROM pg_proc
    WHERE pronamespace = 'provider_engine'::regnamespace
UNION ALL SELECT 'trigger', tgname, tgrelid::regclass::text, '' FROM pg_trigger
    WHERE NOT tgisinternal
ORDER BY 1, 2, 3
"""


def shape(db: Database) -> list[tuple[object, ...]]:
    with db.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(SHAPE)]


def lacks(db: Database) -> bool:
    with db.engine.connect() as connection:
        return procrastinate_schema.is_missing_or_outdated(connection)


def forget(connection: Connection) -> None:
    """Leave the schema as somebody has it who never installed anything into it."""
    connection.exec_driver_sql("DROP SCHEMA provider_engine CASCADE")
    connection.exec_driver_sql("CREATE SCHEMA provider_engine")
    connection.exec_driver_sql("CREATE TABLE provider_engine.applied (migration text PRIMARY KEY)")


def test_init_makes_it_and_again_changes_nothing(postgres: PostgresServer) -> None:
    with postgres.empty_database() as url:
        db = Database(url)
        assert lacks(db)
        schema_version.upgrade(db)
        assert not lacks(db)
        made = shape(db)
        assert ("column", "procrastinate_jobs", "queueing_lock", "text") in made
        schema_version.upgrade(db)
        assert shape(db) == made
        schema_version.require_current(db)
        db.close()


def test_two_who_install_at_once_are_one_after_the_other(postgres: PostgresServer) -> None:
    with postgres.empty_database() as url, ThreadPoolExecutor(4) as threads:
        db = Database(url)
        for done in [threads.submit(procrastinate_schema.install, db.engine) for _ in range(4)]:
            done.result()
        assert not lacks(db)
        db.close()


def test_an_older_one_is_refused_and_brought_up_to_what_a_new_one_is(
    postgres: PostgresServer,
) -> None:
    with postgres.empty_database() as url:
        db = Database(url)
        schema_version.upgrade(db)
        new = shape(db)
        with db.engine.begin() as connection:
            forget(connection)
        with pytest.raises(Unavailable, match=r"older than this program: run `provider init`"):
            schema_version.require_current(db)
        schema_version.upgrade(db)
        assert shape(db) == new
        schema_version.require_current(db)
        db.close()


def test_who_stands_still_in_a_transaction_keeps_its_locks_for_a_minute_at_most(
    postgres_url: str,
) -> None:
    db = Database(postgres_url)
    with db.writing() as session:
        shown = session.scalar(text("SHOW idle_in_transaction_session_timeout"))
    assert shown == "1min"
    db.close()


def test_a_connection_of_its_lives_in_its_schema_and_waits_for_nobody_for_long() -> None:
    url = make_url(
        "postgresql+psycopg://us:p%40ss@/orders?host=/sockets&options=-c%20geqo=off&connect_timeout=9"
    )
    assert psycopg.conninfo.conninfo_to_dict(procrastinate_schema.build_conninfo(url)) == {
        "user": "us",
        "password": "p@ss",
        "dbname": "orders",
        "host": "/sockets",
        "connect_timeout": "5",
        "options": "-c geqo=off -c search_path=provider_engine -c lock_timeout=5s"
        " -c idle_in_transaction_session_timeout=5s",
    }


def test_without_procrastinate_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for kept in (
        procrastinate_schema._procrastinate_sql_folder,
        procrastinate_schema._migration_files,
    ):
        kept.cache_clear()
    monkeypatch.setattr(procrastinate_schema, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"pip install 'provider\[scale\]'"):
        procrastinate_schema._migration_files()
