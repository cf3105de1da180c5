"""An instance on a PostgreSQL server, and changes to its database that no program of ours makes."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from provider.services import Services
from provider.storage.procrastinate_schema import SCHEMA_NAME
from tests.endurance.scenario import Run
from tests.endurance.server import Instance
from tests.postgres_server import PostgresServer

PROCRASTINATE_TABLES = ("jobs", "events", "periodic_defers", "workers")
MAX_DEADLOCK_ATTEMPTS = 20


@contextmanager
def open_postgres_instance(run: Run, name: str) -> Iterator[tuple[Instance, PostgresServer]]:
    """Lend an instance on a PostgreSQL server, and the server, which may be stopped."""
    postgres = _postgres_server()
    with postgres.database() as url:
        try:
            yield Instance(run.create_folder(name), url), postgres
        finally:
            if not postgres.is_running():
                postgres.start()


@contextmanager
def open_instance(run: Run, name: str) -> Iterator[Instance]:
    """Lend an instance on the run's database."""
    if not run.postgresql:
        yield Instance(run.create_folder(name))
        return
    with open_postgres_instance(run, name) as (instance, _):
        yield instance


@cache
def _postgres_server() -> PostgresServer:
    """Return the server that all scenarios of this process share."""
    return PostgresServer.create()


def procrastinate_tables() -> str:
    """Return the names of Procrastinate's tables, separated by commas."""
    return ", ".join(f"{SCHEMA_NAME}.procrastinate_{name}" for name in PROCRASTINATE_TABLES)


def execute_sql(instance: Instance, *statements: str) -> None:
    """Execute statements in one transaction."""
    with instance.open_services() as services, sql_transaction(services, *statements):
        pass


@contextmanager
def sql_transaction(services: Services, *statements: str) -> Iterator[None]:
    """Execute statements; keep the transaction and its locks until the end of the block."""
    with services.db.engine.connect() as connection:
        for attempt in range(MAX_DEADLOCK_ATTEMPTS):
            try:
                for statement in statements:
                    connection.execute(text(statement))
                break
            except OperationalError:  # PostgreSQL ended this transaction to resolve a deadlock
                connection.rollback()
                if attempt + 1 == MAX_DEADLOCK_ATTEMPTS:
                    raise
        yield
        connection.commit()


def simulate_elapsed_time(instance: Instance, interval: str) -> None:
    """Move the database's timestamps back, as if `interval` had passed."""
    execute_sql(
        instance,
        f"UPDATE messages SET due_at = due_at - '{interval}'::interval, "
        f"created_at = created_at - '{interval}'::interval, "
        f"leased_until = leased_until - '{interval}'::interval",
        f"UPDATE delivery_pauses SET retry_at = retry_at - '{interval}'::interval",
        f"UPDATE {SCHEMA_NAME}.procrastinate_workers "
        f"SET last_heartbeat = last_heartbeat - '{interval}'::interval",
    )


def terminate_open_transactions(instance: Instance) -> None:
    """End the transactions of suspended processes, as PostgreSQL does after a minute.

    A statement may still run when its process is suspended; its transaction is ended afterwards.
    """
    end_transactions = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL"
    )
    with instance.open_services() as services, services.db.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        while connection.execute(end_transactions).all():
            continue
