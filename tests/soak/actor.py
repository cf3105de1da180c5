"""Candidates and staff without pages: a process that dies with the server's group.

Pages cost more than what is proved by them. An act is acknowledged after its commit, as a page
would; the server hears of it as of any other program that works on the database.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection

from sqlalchemy.orm import Session

from provider import config
from provider.errors import ProviderError
from provider.house import House
from provider.kinds.assessment import Assessment
from provider.kinds.check import Check
from provider.orders import Order

STAFF = "sam@provider.test"
SPAWN = get_context("forkserver")
SPAWN.set_forkserver_preload(["tests.soak.mortal"])


class Actor:
    """Does what it is told on an instance's database while the server lives."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._one_at_a_time = threading.Lock()
        self._line: Connection | None = None

    def join(self, group: int) -> None:
        """Begin a new life in a process group."""
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=_work, args=(theirs, self._environment, group), daemon=True)
        process.start()
        theirs.close()
        self.leave()
        self._line = ours

    def leave(self) -> None:
        """Let the actor of this life end, if it has not died."""
        with self._one_at_a_time:
            if self._line:
                self._line.close()
            self._line = None

    def do(self, order: str, step: str) -> str:
        """Do a step; return why it could not be done, or nothing. BrokenPipeError on its death."""
        with self._one_at_a_time:
            if self._line is None:
                raise BrokenPipeError
            try:
                self._line.send((order, step))
                return str(self._line.recv())
            except (OSError, EOFError) as error:
                self._line.close()
                self._line = None
                raise BrokenPipeError from error


def _work(line: Connection, environment: dict[str, str], group: int) -> None:
    with suppress(ProcessLookupError, PermissionError, EOFError, OSError):
        os.setpgid(0, group)  # refused when that group is dead already
        house = House.build(config.read(environment))
        while True:
            line.send(_do(house, *line.recv()))


def _do(house: House, order: str, step: str) -> str:
    try:
        for part in STEPS[step]:
            with house.db.writing() as session:
                part(house, session, order, house.now())
    except ProviderError as error:
        return str(error) or type(error).__name__
    return ""


Part = Callable[[House, Session, str, datetime], None]


def _decline(house: House, session: Session, order: str, at: datetime) -> None:
    Order.find(session, order).decline(session, "No time", at)


def _reopen(house: House, session: Session, order: str, at: datetime) -> None:
    Order.find(session, order).reopen(session, house.vault, STAFF, "Asked for", at)


def _cancel(house: House, session: Session, order: str, at: datetime) -> None:
    Order.find(session, order).cancel(session, STAFF, "Filled", at)


def _start(house: House, session: Session, order: str, at: datetime) -> None:
    test = Assessment.find(session, order)
    if not test.running(at):
        test.start(session, at)


def _submit(house: House, session: Session, order: str, at: datetime) -> None:
    Assessment.find(session, order).submit(session, house.vault, at)


def _consent(house: House, session: Session, order: str, at: datetime) -> None:
    Check.find(session, order).consent(
        session, house.vault, "Lakita Marrero", {}, address="192.0.2.7", agent="", at=at
    )


def _conclude(house: House, session: Session, order: str, at: datetime) -> None:
    check = Check.find(session, order)
    check.find_out(session, house.vault, "criminal", "clear", "", STAFF, at)
    check.conclude(session, house.vault, STAFF, at)


STEPS: dict[str, tuple[Part, ...]] = {
    "decline": (_decline,), "reopen": (_reopen,), "cancel": (_cancel,),
    "finish": (_start, _submit), "consent": (_consent,), "conclude": (_conclude,),
}  # fmt: skip
