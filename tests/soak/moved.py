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

from provider.accounts import Account, Caller
from provider.db import Database
from provider.house import House
from provider.orders import Placement, place
from provider.transfer import move, rows
from provider.transfer.tables import tables
from tests import cast
from tests.postgres import Postgres
from tests.soak.actor import SPAWN
from tests.soak.proof import Run, Verdict
from tests.soak.server import Instance

AT_ONCE = 1000  # orders of one commit
KILLS = 5
LONG, SHORT = (100_000, rows.BATCH), (20, 4)  # orders, and rows of one commit of the move


class Reaper:
    """Kills its process a moment after so many batches were copied."""

    def __init__(self, batches: int, moment: float) -> None:
        self.left, self.moment = batches, moment

    def __call__(self, what: str, *_: int) -> None:
        self.left -= what.startswith("Copying")
        if self.left == 0:
            threading.Timer(self.moment, os.kill, (os.getpid(), signal.SIGKILL)).start()


def moved(run: Run) -> Verdict:
    """What arrives is complete and equal, and what went back is the same to the byte."""
    orders, batch = SHORT if run.short else LONG
    instance = Instance(run.part("moved"))
    with instance.house() as house:
        _fill(house, orders)
        with house.db.writing() as session:
            counts = [rows.count(session, table) for table in tables()]
    steps = sum(math.ceil(count / batch) for count in counts)
    run.say(f"{sum(counts):,} rows are there")
    postgres = Postgres.make()
    try:
        with postgres.nothing() as url:
            return _judged(run, instance, url, orders, steps, batch)
    finally:
        postgres.let_go()


def _judged(run: Run, instance: Instance, url: str, orders: int, steps: int, batch: int) -> Verdict:
    source, back = instance.settings.database_url, f"sqlite:///{instance.folder / 'back.db'}"
    luck, began = run.luck("kills"), time.monotonic()
    ends = []
    for number in range(1 if run.short else KILLS):
        share = (number + luck.uniform(0.3, 0.9)) / KILLS
        ends.append(_move(source, url, batch, Reaper(round(steps * share), luck.uniform(0, 0.05))))
        run.say(f"killed at {share:.0%}")
    ends.append(_move(source, url, batch, Reaper(0, 0)))
    seconds = time.monotonic() - began
    ends.append(_move(url, back, batch, Reaper(0, 0)))
    differ = [pair for pair in zip_longest(_rows(source), _rows(back)) if pair[0] != pair[1]]
    kills = ends.count(-signal.SIGKILL)
    count = sum(1 for _ in _rows(source))
    verdict = Verdict(
        f"{orders:,} orders, {count:,} rows, killed {kills} times, {seconds:.0f} s in all, "
        f"{len(differ)} rows differ, seed {run.seed}"
    )
    verdict.claim(ends == [-signal.SIGKILL] * (len(ends) - 2) + [0, 0], f"moves ended with {ends}")
    verdict.claim(count > orders * 4, "there is hardly anything")
    verdict.problems += [f"{one} became {other}"[:300] for one, other in differ[:5]]
    return verdict


def _fill(house: House, orders: int) -> None:
    account, product = cast.account(house)[0], cast.test(house)
    for begin in range(0, orders, AT_ONCE):
        with house.db.writing() as session:
            caller = Caller.of(session.get_one(Account, account))
            for number in range(begin, min(begin + AT_ONCE, orders)):
                url = f"https://groove-tech.workable.com/{number}"
                wish = Placement(
                    product=product, origin=url, reply={"callback_url": url},
                    host="groove-tech.workable.com", email=f"{number}@provider.test",
                    first_name="Lakita", last_name=f"Märréro {number}", job_title="Operations",
                )  # fmt: skip
                place(session, house.vault, "assessment", wish, caller, house.now())


def _move(source: str, target: str, batch: int, reaper: Reaper) -> int | None:
    """Move in a process of its own; return how it ended."""
    process = SPAWN.Process(target=_live, args=(source, target, batch, reaper))
    process.start()
    process.join()
    return process.exitcode


def _live(source: str, target: str, batch: int, reaper: Reaper) -> None:
    rows.BATCH = batch
    with closing(Database(source)) as here, closing(Database(target)) as there:
        move(here, there, reaper)


def _rows(url: str) -> Iterator[str]:
    """Return all rows of an SQLite database, as its own tool writes them."""
    with closing(sqlite3.connect(Path(url.removeprefix("sqlite:///")))) as connection:
        yield from (line for line in connection.iterdump() if line.startswith("INSERT"))
