"""Preparing messages side by side: whose fault it is when one cannot be."""

from typing import Any

import pytest
from sqlalchemy.exc import DatabaseError, OperationalError

from provider.delivery.channels.base import prepare_or_error

ANY: Any = None  # neither the session nor the claim is looked at


def raising(error: Exception) -> Any:
    def prepare(*_: object) -> None:
        raise error

    return prepare


def test_what_is_wrong_with_one_message_is_returned_in_its_place() -> None:
    error = KeyError("result")
    assert prepare_or_error(raising(error), ANY, ANY) is error


@pytest.mark.parametrize("kind", [OperationalError, DatabaseError])
def test_a_disk_that_cannot_be_read_parks_no_message(kind: type[DatabaseError]) -> None:
    with pytest.raises(kind):
        prepare_or_error(raising(kind("SELECT", None, Exception("disk I/O error"))), ANY, ANY)
