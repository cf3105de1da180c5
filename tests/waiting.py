"""Waiting for what other threads of the house do: looked for again after every commit."""

import threading
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import event
from sqlalchemy.pool import Pool

Found = TypeVar("Found")


def until(look: Callable[[], Found | None], seconds: float = 20.0) -> Found:
    """Return what `look` finds, as soon as it finds something; fail after `seconds`."""
    committed = threading.Condition()

    def tell(*_: object) -> None:
        with committed:
            committed.notify_all()

    # A connection goes back to its pool when all that was written with it is to be seen.
    event.listen(Pool, "checkin", tell)
    try:
        with committed:
            found = committed.wait_for(look, seconds)
    finally:
        event.remove(Pool, "checkin", tell)
    assert found, f"not within {seconds} s"
    return found
