"""Acts of candidates and staff without pages, in a process that dies with the server's group.

Pages would cost more than what is tested. An act is acknowledged after its commit, as by a page.
The server learns of an act as it learns of any other program that writes to the database.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from multiprocessing.connection import Connection

from sqlalchemy.orm import Session

from provider import config
from provider.core.kinds.assessment import Assessment
from provider.core.kinds.check import Check
from provider.core.orders import Order
from provider.errors import ProviderError
from provider.services import Services
from tests.factories import build_services
from tests.forked_program import PROCESS_CONTEXT

STAFF_EMAIL = "sam@provider.test"


class ActorProcess:
    """Performs steps on an instance's database while the server runs."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def start(self, process_group: int) -> None:
        """Start a process in the server's process group."""
        connection, child_connection = PROCESS_CONTEXT.Pipe()
        process = PROCESS_CONTEXT.Process(
            target=_run_steps,
            args=(child_connection, self._environment, process_group),
            daemon=True,
        )
        process.start()
        child_connection.close()
        self.close()
        self._connection = connection

    def close(self) -> None:
        """End the current process, unless it is dead already."""
        with self._lock:
            if self._connection:
                self._connection.close()
            self._connection = None

    def perform(self, order: str, step: str) -> str:
        """Perform a step. Return why it was refused, or "". BrokenPipeError: the process died."""
        with self._lock:
            if self._connection is None:
                raise BrokenPipeError
            try:
                self._connection.send((order, step))
                return str(self._connection.recv())
            except (OSError, EOFError) as error:
                self._connection.close()
                self._connection = None
                raise BrokenPipeError from error


def _run_steps(connection: Connection, environment: dict[str, str], process_group: int) -> None:
    with suppress(ProcessLookupError, PermissionError, EOFError, OSError):
        os.setpgid(0, process_group)  # fails when the group is dead already
        services = build_services(config.load_settings(environment))
        while True:
            connection.send(_perform(services, *connection.recv()))


def _perform(services: Services, order: str, step: str) -> str:
    try:
        for act in STEPS[step]:
            with services.db.writing() as session:
                act(services, session, order, services.now())
    except ProviderError as error:
        return str(error) or type(error).__name__
    return ""


StepFunction = Callable[[Services, Session, str, datetime], None]


def _decline(services: Services, session: Session, order: str, now: datetime) -> None:
    Order.find(session, order).decline(session, "No time", now)


def _reopen(services: Services, session: Session, order: str, now: datetime) -> None:
    Order.find(session, order).reopen(session, services.secret_box, STAFF_EMAIL, "Asked for", now)


def _cancel(services: Services, session: Session, order: str, now: datetime) -> None:
    Order.find(session, order).cancel(session, STAFF_EMAIL, "Filled", now)


def _start(services: Services, session: Session, order: str, now: datetime) -> None:
    test = Assessment.find(session, order)
    if not test.is_running(now):
        test.start(session, now)


def _submit(services: Services, session: Session, order: str, now: datetime) -> None:
    Assessment.find(session, order).submit(session, services.secret_box, now)


def _consent(services: Services, session: Session, order: str, now: datetime) -> None:
    Check.find(session, order).give_consent(
        session,
        services.secret_box,
        "Lakita Marrero",
        {},
        ip_address="192.0.2.7",
        user_agent="",
        now=now,
    )


def _conclude(services: Services, session: Session, order: str, now: datetime) -> None:
    check = Check.find(session, order)
    check.record_finding(session, services.secret_box, "criminal", "clear", "", STAFF_EMAIL, now)
    check.conclude(session, services.secret_box, STAFF_EMAIL, now)


STEPS: dict[str, tuple[StepFunction, ...]] = {
    "decline": (_decline,),
    "reopen": (_reopen,),
    "cancel": (_cancel,),
    "finish": (_start, _submit),
    "consent": (_consent,),
    "conclude": (_conclude,),
}
