"""An instance is copied to PostgreSQL and back; a copy that was killed can be started again."""

import math
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

from provider.core.accounts import Account, Caller
from provider.core.orders import Placement, place
from provider.maintenance import copy_instance, row_codec
from provider.maintenance.table_copy import all_tables
from provider.services import Services
from provider.storage.database import Database
from tests import factories
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.forked_program import PROCESS_CONTEXT
from tests.postgres_server import PostgresServer

ORDERS_PER_COMMIT = 1000
LONG_KILL_COUNT = 5
# Orders, and rows that the copy writes in one commit.
LONG_SIZES, SHORT_SIZES = (100_000, row_codec.BATCH_SIZE), (20, 4)


class KillAfterBatches:
    """Kills its process shortly after a number of copied batches; never with 0 batches."""

    def __init__(self, batches: int, delay_seconds: float) -> None:
        self.remaining_batches, self.delay_seconds = batches, delay_seconds

    def __call__(self, label: str, *_: int) -> None:
        self.remaining_batches -= label.startswith("Copying")
        if self.remaining_batches == 0:
            threading.Timer(self.delay_seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()


def instance_copy(run: Run) -> ScenarioVerdict:
    """The copy is complete, and a copy of the copy equals the source row by row."""
    orders, batch_size = SHORT_SIZES if run.short else LONG_SIZES
    instance = Instance(run.create_folder("instance-copy"))
    with instance.open_services() as services:
        _fill_database(services, orders)
        with services.db.writing() as session:
            counts = [row_codec.count_rows(session, table) for table in all_tables()]
    batches = sum(math.ceil(count / batch_size) for count in counts)
    run.print_progress(f"{sum(counts):,} rows to copy")
    postgres = PostgresServer.create()
    try:
        with postgres.empty_database() as url:
            return _copy_and_compare(run, instance, url, orders, batches, batch_size)
    finally:
        postgres.release()


def _copy_and_compare(
    run: Run, instance: Instance, url: str, orders: int, batches: int, batch_size: int
) -> ScenarioVerdict:
    source, back = instance.settings.database_url, f"sqlite:///{instance.folder / 'back.db'}"
    rng, started_at = run.rng("kills"), time.monotonic()
    exit_codes = []
    for number in range(1 if run.short else LONG_KILL_COUNT):
        share = (number + rng.uniform(0.3, 0.9)) / LONG_KILL_COUNT
        killer = KillAfterBatches(round(batches * share), rng.uniform(0, 0.05))
        exit_codes.append(_copy_in_process(source, url, batch_size, killer))
        run.print_progress(f"killed at {share:.0%}")
    exit_codes.append(_copy_in_process(source, url, batch_size, KillAfterBatches(0, 0)))
    seconds = time.monotonic() - started_at
    exit_codes.append(_copy_in_process(url, back, batch_size, KillAfterBatches(0, 0)))
    differences = [
        pair for pair in zip_longest(_dump_rows(source), _dump_rows(back)) if pair[0] != pair[1]
    ]
    kills = exit_codes.count(-signal.SIGKILL)
    count = sum(1 for _ in _dump_rows(source))
    verdict = ScenarioVerdict(
        f"{orders:,} orders, {count:,} rows, killed {kills} times, {seconds:.0f} s in all, "
        f"{len(differences)} rows differ, seed {run.seed}"
    )
    verdict.require(
        exit_codes == [-signal.SIGKILL] * (len(exit_codes) - 2) + [0, 0],
        f"the copies ended with {exit_codes}",
    )
    verdict.require(count > orders * 4, "too few rows were copied")
    verdict.problems += [f"{row} became {copy}"[:300] for row, copy in differences[:5]]
    return verdict


def _fill_database(services: Services, orders: int) -> None:
    account_id, product = factories.create_account(services)[0], factories.create_test(services)
    for first in range(0, orders, ORDERS_PER_COMMIT):
        with services.db.writing() as session:
            caller = Caller.from_account(session.get_one(Account, account_id))
            for number in range(first, min(first + ORDERS_PER_COMMIT, orders)):
                url = f"https://groove-tech.workable.com/{number}"
                placement = Placement(
                    product=product,
                    external_key=url,
                    reply_context={"callback_url": url},
                    callback_host="groove-tech.workable.com",
                    email=f"{number}@provider.test",
                    first_name="Lakita",
                    last_name=f"Märréro {number}",
                    job_title="Operations",
                )
                place(
                    session, services.secret_box, ("assessment",), placement, caller, services.now()
                )


def _copy_in_process(
    source: str, target: str, batch_size: int, killer: KillAfterBatches
) -> int | None:
    """Copy in a process of its own; return its exit code."""
    process = PROCESS_CONTEXT.Process(target=_run_copy, args=(source, target, batch_size, killer))
    process.start()
    process.join()
    return process.exitcode


def _run_copy(source: str, target: str, batch_size: int, killer: KillAfterBatches) -> None:
    row_codec.BATCH_SIZE = batch_size
    with closing(Database(source)) as source_db, closing(Database(target)) as target_db:
        copy_instance(source_db, target_db, killer)


def _dump_rows(url: str) -> Iterator[str]:
    """Return all rows of an SQLite database as INSERT statements."""
    with closing(sqlite3.connect(Path(url.removeprefix("sqlite:///")))) as connection:
        yield from (line for line in connection.iterdump() if line.startswith("INSERT"))
