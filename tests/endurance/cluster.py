"""Many machines: servers and workers on one PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from provider.services import Services
from tests.endurance.scenario import Run
from tests.endurance.server import Instance
from tests.postgres_server import PostgresServer

PROCRASTINATE_TABLES = ("jobs", "events", "periodic_defers", "workers")  # the engine's
MAX_DEADLOCK_ATTEMPTS = 20  # of what ends in a deadlock


@contextmanager
def open_postgres_instance(run: Run, name: str) -> Iterator[tuple[Instance, PostgresServer]]:
    """Lend an instance on a PostgreSQL server that is for stopping too."""
    postgres = _postgres_server()
    with postgres.empty_database() as url:
        try:
            yield Instance(run.create_folder(name), url), postgres
        finally:
            if not postgres.is_running():
                postgres.start()


@contextmanager
def open_instance(run: Run, name: str) -> Iterator[Instance]:
    """Lend an instance on the database that the run is about."""
    if not run.postgresql:
        yield Instance(run.create_folder(name))
        return
    with open_postgres_instance(run, name) as (made, _):
        yield made


@cache
def _postgres_server() -> PostgresServer:
    """Return the server of all proofs of this process: it ends with it."""
    return PostgresServer.create()


def procrastinate_tables() -> str:
    """Return the names of the engine's tables, for a statement about all of them."""
    return ", ".join(f"provider_engine.procrastinate_{name}" for name in PROCRASTINATE_TABLES)


def execute_sql(instance: Instance, *statements: str) -> None:
    """Change the database in one transaction, as no program of ours would."""
    with instance.open_services() as services, sql_transaction(services, *statements):
        """That is all."""


@contextmanager
def sql_transaction(services: Services, *statements: str) -> Iterator[None]:
    """Do something to the database, and keep what it locks until the end."""
    with services.db.engine.connect() as connection:
        for tries in range(MAX_DEADLOCK_ATTEMPTS):
            try:
                for statement in statements:
                    connection.execute(text(statement))
                break
            except OperationalError:  # a deadlock with those who work, of which we were the victim
                connection.rollback()
                if tries + 1 == MAX_DEADLOCK_ATTEMPTS:
                    raise
        yield
        connection.commit()


def simulate_elapsed_time(instance: Instance, interval: str) -> None:
    """Act as if so much time had passed since whatever was written last."""
    execute_sql(
        instance,
        f"UPDATE messages SET due_at = due_at - '{interval}'::interval, "
        f"created_at = created_at - '{interval}'::interval, "
        f"leased_until = leased_until - '{interval}'::interval",
        f"UPDATE delivery_pauses SET retry_at = retry_at - '{interval}'::interval",
        "UPDATE provider_engine.procrastinate_workers "
        f"SET last_heartbeat = last_heartbeat - '{interval}'::interval",
    )


def terminate_idle_transactions(instance: Instance) -> None:
    """Have PostgreSQL end the transactions of who stands still, as it does after a minute."""
    execute_sql(
        instance,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'",
    )
