"""Fixtures of the courier's tests: a receiver of bytes, an exchange, a short deadline."""

from collections.abc import Iterator

import pytest

from provider.courier import exchange as exchange_room
from provider.courier.exchange import Exchange
from tests.courier.receivers import SHORT, Receiver


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    made = Exchange(private=True)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_room, "DEADLINE", SHORT)
