"""Waiting for what other threads of the house do: looked for again after every commit."""

import threading
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import event
from sqlalchemy.orm import Session

Found = TypeVar("Found")


def until(look: Callable[[], Found | None], seconds: float = 20.0) -> Found:
    """Return what `look` finds, as soon as it finds something; fail after `seconds`."""
    committed = threading.Condition()

    def tell(_: Session) -> None:
        with committed:
            committed.notify_all()

    event.listen(Session, "after_commit", tell)
    try:
        with committed:
            found = committed.wait_for(look, seconds)
    finally:
        event.remove(Session, "after_commit", tell)
    assert found, f"not within {seconds} s"
    return found
