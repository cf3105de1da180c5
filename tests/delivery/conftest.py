"""Fixtures of the delivery tests: a scripted receiver, an HTTP client, a short deadline."""

import socket
from collections.abc import Callable, Iterator

import pycurl
import pytest

from provider.delivery.http import client as client_module
from provider.delivery.http import curl_handle
from provider.delivery.http.client import HttpClient
from tests.delivery.receivers import SHORT_DEADLINE_SECONDS, ResolvedAddresses, ScriptedReceiver


@pytest.fixture
def http_client() -> Iterator[HttpClient]:
    client = HttpClient(allow_private=True)
    yield client
    client.close()


@pytest.fixture
def receiver() -> Iterator[ScriptedReceiver]:
    receiver = ScriptedReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", SHORT_DEADLINE_SECONDS)


@pytest.fixture
def dialled_addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of the client's connections; only this machine's addresses are let through."""
    connected: list[str] = []
    create_socket = curl_handle.create_socket

    def record_socket(target: "pycurl.CurlSockAddr") -> socket.socket:
        address = str(target.addr[0])
        connected.append(address)
        if address not in ("127.0.0.1", "::1"):
            raise ConnectionRefusedError
        return create_socket(target)

    monkeypatch.setattr(curl_handle, "create_socket", record_socket)
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
