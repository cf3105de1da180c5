"""Preparing messages: errors of a message are returned, errors of the database are raised."""

from typing import Any

import pytest
from sqlalchemy.exc import DatabaseError, OperationalError

from provider.delivery.channels.base import prepare_or_error

ANY: Any = None  # stands for the session and the claim, which are not used


def raising(error: Exception) -> Any:
    def prepare(*_: object) -> None:
        raise error

    return prepare


def test_prepare_or_error_returns_exception_of_message() -> None:
    error = KeyError("result")
    assert prepare_or_error(raising(error), ANY, ANY) is error


@pytest.mark.parametrize("kind", [OperationalError, DatabaseError])
def test_prepare_or_error_raises_database_errors(kind: type[DatabaseError]) -> None:
    with pytest.raises(kind):
        prepare_or_error(raising(kind("SELECT", None, Exception("disk I/O error"))), ANY, ANY)
