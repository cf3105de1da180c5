"""Waiting for what other threads of the house do: looked for again after every commit."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.pool import Pool

from provider.db import Database

Found = TypeVar("Found")

_waiting: dict[threading.Event, int] = {}  # who waits, in which thread


# A connection goes back to its pool when all that was done with it is to be seen. Listened to for
# good: to come and go would change the list of listeners while another thread walks it.
@event.listens_for(Pool, "checkin")
def _tell(*_: object) -> None:
    for again, thread in list(_waiting.items()):
        if thread != threading.get_ident():  # one's own look is no news
            again.set()


# But who writes to SQLite keeps his connection.
def _said(db: Database, told: dict[str, Any]) -> None:
    _say(db, told)
    _tell()


_say = Database._say
Database._say = _said  # type: ignore[assignment,method-assign]


def until(look: Callable[[], Found | None], seconds: float = 20.0) -> Found:
    """Return what `look` finds, as soon as it finds something; fail after `seconds`."""
    ends, again = monotonic() + seconds, threading.Event()
    _waiting[again] = threading.get_ident()
    try:
        while not (found := look()):
            again.wait(max(0, ends - monotonic()))
            assert monotonic() < ends, f"not within {seconds} s"
            again.clear()
    finally:
        del _waiting[again]
    return found
