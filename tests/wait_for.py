"""Waits for the work of other threads: the condition is checked again after every commit."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.pool import Pool

from provider.storage.database import Database

Result = TypeVar("Result")

_waiters: dict[threading.Event, int] = {}  # the event of each waiting thread, and its thread id


# A connection returns to its pool after its transaction has ended. The listener is never removed:
# a removal would change the list of listeners while another thread iterates over it.
@event.listens_for(Pool, "checkin")
def _wake_waiters(*_: object) -> None:
    for changed, thread in list(_waiters.items()):
        if thread != threading.get_ident():  # the condition itself used the connection
            changed.set()


# The SQLite writer keeps its connection, so its commits are observed as well.
def _notify_listeners_and_waiters(db: Database, info: dict[str, Any]) -> None:
    _notify_listeners(db, info)
    _wake_waiters()


_notify_listeners = Database._notify_listeners
Database._notify_listeners = _notify_listeners_and_waiters  # type: ignore[assignment,method-assign]


def wait_for(condition: Callable[[], Result | None], timeout_seconds: float = 20.0) -> Result:
    """Return the condition's first true result; fail after `timeout_seconds`."""
    deadline, changed = monotonic() + timeout_seconds, threading.Event()
    _waiters[changed] = threading.get_ident()
    try:
        while not (result := condition()):
            changed.wait(max(0, deadline - monotonic()))
            assert monotonic() < deadline, f"not within {timeout_seconds} s"
            changed.clear()
    finally:
        del _waiters[changed]
    return result
