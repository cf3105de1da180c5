"""Fixtures of the delivery tests: a scripted receiver, an HTTP client, a short deadline."""

import socket
from collections.abc import Callable, Iterator

import pytest

from provider.delivery.http import client as client_module
from provider.delivery.http.client import Exchange
from tests.delivery.receivers import SHORT_DEADLINE_SECONDS, ResolvedAddresses, ScriptedReceiver


@pytest.fixture
def http_client() -> Iterator[Exchange]:
    client = Exchange(private=True)
    yield client
    client.close()


@pytest.fixture
def receiver() -> Iterator[ScriptedReceiver]:
    receiver = ScriptedReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "DEADLINE", SHORT_DEADLINE_SECONDS)


@pytest.fixture
def dialled_addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that sockets connected to; only connections to this machine are let through."""
    connected: list[str] = []
    connect = socket.socket.connect

    def record_connect(sock: socket.socket, address: tuple[str, int]) -> None:
        assert (sock.family == socket.AF_INET6) == (":" in address[0])
        connected.append(address[0])
        if address[0] not in ("127.0.0.1", "::1"):
            raise ConnectionRefusedError
        connect(sock, address)

    monkeypatch.setattr(socket.socket, "connect", record_connect)
    return connected


@pytest.fixture
def fake_resolver(monkeypatch: pytest.MonkeyPatch) -> Callable[[ResolvedAddresses], list[str]]:
    """Return a function that installs DNS answers and returns the list of looked-up names."""

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
