"""Fixtures of the courier's tests: a receiver of bytes, an exchange, a short deadline."""

import socket
from collections.abc import Callable, Iterator

import pytest

from provider.delivery.http import client as exchange_room
from provider.delivery.http.client import Exchange
from tests.delivery.receivers import SHORT_DEADLINE_SECONDS, ResolvedAddresses, ScriptedReceiver


@pytest.fixture
def http_client() -> Iterator[Exchange]:
    made = Exchange(private=True)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[ScriptedReceiver]:
    made = ScriptedReceiver()
    yield made
    made.close()


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_room, "DEADLINE", SHORT_DEADLINE_SECONDS)


@pytest.fixture
def dialled_addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was dialled; only this machine would answer, and even it is nowhere allowed here."""
    seen: list[str] = []
    connect = socket.socket.connect

    def guard(sock: socket.socket, address: tuple[str, int]) -> None:
        assert (sock.family == socket.AF_INET6) == (":" in address[0])
        seen.append(address[0])
        if address[0] not in ("127.0.0.1", "::1"):
            raise ConnectionRefusedError
        connect(sock, address)

    monkeypatch.setattr(socket.socket, "connect", guard)
    return seen


@pytest.fixture
def fake_resolver(monkeypatch: pytest.MonkeyPatch) -> Callable[[ResolvedAddresses], list[str]]:
    """Return what makes names lead where `answers` says; it returns the list of names asked."""

    def install(answers: ResolvedAddresses) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
            asked.append(host)
            return [_address_info(address, port) for address in answers()]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return install


def _address_info(address: str, port: int) -> tuple[object, ...]:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
