"""Moved: an instance goes to PostgreSQL and back; killed on the way, it arrives all the same."""

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
from tests.endurance.actors import PROCESS_CONTEXT
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.postgres_server import PostgresServer

ORDERS_PER_COMMIT = 1000  # orders of one commit
LONG_KILL_COUNT = 5
LONG_SIZES, SHORT_SIZES = (
    (100_000, row_codec.BATCH_SIZE),
    (20, 4),
)  # orders, and rows of one commit of the move


class KillAfterBatches:
    """Kills its process a moment after so many batches were copied."""

    def __init__(self, batches: int, delay_seconds: float) -> None:
        self.remaining_batches, self.delay_seconds = batches, delay_seconds

    def __call__(self, label: str, *_: int) -> None:
        self.remaining_batches -= label.startswith("Copying")
        if self.remaining_batches == 0:
            threading.Timer(self.delay_seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()


def instance_copy(run: Run) -> ScenarioVerdict:
    """What arrives is complete and equal, and what went back is the same to the byte."""
    orders, batch = SHORT_SIZES if run.short else LONG_SIZES
    instance = Instance(run.create_folder("moved"))
    with instance.open_services() as services:
        _fill_database(services, orders)
        with services.db.writing() as session:
            counts = [row_codec.count_rows(session, table) for table in all_tables()]
    steps = sum(math.ceil(count / batch) for count in counts)
    run.print_progress(f"{sum(counts):,} rows are there")
    postgres = PostgresServer.create()
    try:
        with postgres.empty_database() as url:
            return _copy_and_compare(run, instance, url, orders, steps, batch)
    finally:
        postgres.release()


def _copy_and_compare(
    run: Run, instance: Instance, url: str, orders: int, steps: int, batch: int
) -> ScenarioVerdict:
    source, back = instance.settings.database_url, f"sqlite:///{instance.folder / 'back.db'}"
    luck, began = run.rng("kills"), time.monotonic()
    ends = []
    for number in range(1 if run.short else LONG_KILL_COUNT):
        share = (number + luck.uniform(0.3, 0.9)) / LONG_KILL_COUNT
        ends.append(
            _copy_in_process(
                source, url, batch, KillAfterBatches(round(steps * share), luck.uniform(0, 0.05))
            )
        )
        run.print_progress(f"killed at {share:.0%}")
    ends.append(_copy_in_process(source, url, batch, KillAfterBatches(0, 0)))
    seconds = time.monotonic() - began
    ends.append(_copy_in_process(url, back, batch, KillAfterBatches(0, 0)))
    differ = [
        pair for pair in zip_longest(_dump_rows(source), _dump_rows(back)) if pair[0] != pair[1]
    ]
    kills = ends.count(-signal.SIGKILL)
    count = sum(1 for _ in _dump_rows(source))
    verdict = ScenarioVerdict(
        f"{orders:,} orders, {count:,} rows, killed {kills} times, {seconds:.0f} s in all, "
        f"{len(differ)} rows differ, seed {run.seed}"
    )
    verdict.require(
        ends == [-signal.SIGKILL] * (len(ends) - 2) + [0, 0], f"moves ended with {ends}"
    )
    verdict.require(count > orders * 4, "there is hardly anything")
    verdict.problems += [f"{one} became {other}"[:300] for one, other in differ[:5]]
    return verdict


def _fill_database(services: Services, orders: int) -> None:
    account, product = factories.create_account(services)[0], factories.create_test(services)
    for begin in range(0, orders, ORDERS_PER_COMMIT):
        with services.db.writing() as session:
            caller = Caller.from_account(session.get_one(Account, account))
            for number in range(begin, min(begin + ORDERS_PER_COMMIT, orders)):
                url = f"https://groove-tech.workable.com/{number}"
                wish = Placement(
                    product=product,
                    external_key=url,
                    reply_context={"callback_url": url},
                    callback_host="groove-tech.workable.com",
                    email=f"{number}@provider.test",
                    first_name="Lakita",
                    last_name=f"Märréro {number}",
                    job_title="Operations",
                )
                place(session, services.secret_box, "assessment", wish, caller, services.now())


def _copy_in_process(source: str, target: str, batch: int, killer: KillAfterBatches) -> int | None:
    """Move in a process of its own; return how it ended."""
    process = PROCESS_CONTEXT.Process(target=_run_copy, args=(source, target, batch, killer))
    process.start()
    process.join()
    return process.exitcode


def _run_copy(source: str, target: str, batch: int, killer: KillAfterBatches) -> None:
    row_codec.BATCH_SIZE = batch
    with closing(Database(source)) as here, closing(Database(target)) as there:
        copy_instance(here, there, killer)


def _dump_rows(url: str) -> Iterator[str]:
    """Return all rows of an SQLite database, as its own tool writes them."""
    with closing(sqlite3.connect(Path(url.removeprefix("sqlite:///")))) as connection:
        yield from (line for line in connection.iterdump() if line.startswith("INSERT"))
