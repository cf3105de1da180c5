"""Waiting for what other threads of the house do: looked for again after every commit."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.pool import Pool

from provider.storage.database import Database

Found = TypeVar("Found")

_waiters: dict[threading.Event, int] = {}  # who waits, in which thread


# A connection goes back to its pool when all that was done with it is to be seen. Listened to for
# good: to come and go would change the list of listeners while another thread walks it.
@event.listens_for(Pool, "checkin")
def _wake_waiters(*_: object) -> None:
    for again, thread in list(_waiters.items()):
        if thread != threading.get_ident():  # one's own look is no news
            again.set()


# But who writes to SQLite keeps his connection.
def _notify_listeners_and_waiters(db: Database, info: dict[str, Any]) -> None:
    _notify_listeners(db, info)
    _wake_waiters()


_notify_listeners = Database._notify_listeners
Database._notify_listeners = _notify_listeners_and_waiters  # type: ignore[assignment,method-assign]


def wait_for(condition: Callable[[], Found | None], timeout_seconds: float = 20.0) -> Found:
    """Return what `look` finds, as soon as it finds something; fail after `seconds`."""
    ends, again = monotonic() + timeout_seconds, threading.Event()
    _waiters[again] = threading.get_ident()
    try:
        while not (found := condition()):
            again.wait(max(0, ends - monotonic()))
            assert monotonic() < ends, f"not within {timeout_seconds} s"
            again.clear()
    finally:
        del _waiters[again]
    return found
