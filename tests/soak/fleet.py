"""Many machines: servers and workers on one PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from provider.house import House
from tests.postgres import Postgres
from tests.soak.proof import Run
from tests.soak.server import Instance

TABLES = ("jobs", "events", "periodic_defers", "workers")  # the engine's
TRIES = 20  # of what ends in a deadlock


@contextmanager
def scaled(run: Run, name: str) -> Iterator[tuple[Instance, Postgres]]:
    """Lend an instance on a PostgreSQL server that is for stopping too."""
    postgres = _server()
    with postgres.nothing() as url:
        try:
            yield Instance(run.part(name), url), postgres
        finally:
            if not postgres.runs():
                postgres.start()


@contextmanager
def instance(run: Run, name: str) -> Iterator[Instance]:
    """Lend an instance on the database that the run is about."""
    if not run.postgresql:
        yield Instance(run.part(name))
        return
    with scaled(run, name) as (made, _):
        yield made


@cache
def _server() -> Postgres:
    """Return the server of all proofs of this process: it ends with it."""
    return Postgres.make()


def engines() -> str:
    """Return the names of the engine's tables, for a statement about all of them."""
    return ", ".join(f"provider_engine.procrastinate_{name}" for name in TABLES)


def tell(instance: Instance, *statements: str) -> None:
    """Change the database in one transaction, as no program of ours would."""
    with instance.house() as house, told(house, *statements):
        """That is all."""


@contextmanager
def told(house: House, *statements: str) -> Iterator[None]:
    """Do something to the database, and keep what it locks until the end."""
    with house.db.engine.connect() as connection:
        for tries in range(TRIES):
            try:
                for statement in statements:
                    connection.execute(text(statement))
                break
            except OperationalError:  # a deadlock with those who work, of which we were the victim
                connection.rollback()
                if tries + 1 == TRIES:
                    raise
        yield
        connection.commit()


def let_time_pass(instance: Instance, time: str) -> None:
    """Act as if so much time had passed since whatever was written last."""
    tell(
        instance,
        f"UPDATE messages SET due_at = due_at - '{time}'::interval, "
        f"created_at = created_at - '{time}'::interval, "
        f"leased_until = leased_until - '{time}'::interval",
        f"UPDATE holds SET until = until - '{time}'::interval",
        "UPDATE provider_engine.procrastinate_workers "
        f"SET last_heartbeat = last_heartbeat - '{time}'::interval",
    )


def end_what_stands_still(instance: Instance) -> None:
    """Have PostgreSQL end the transactions of who stands still, as it does after a minute."""
    tell(
        instance,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'",
    )
