"""TLS of callbacks: whose certificate is taken, and for which name."""

import socket
import ssl
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provider.delivery.http import client as exchange_room
from provider.delivery.http.client import Exchange
from tests.delivery.receivers import (
    SHORT_DEADLINE_SECONDS,
    TIMEOUT_ERROR,
    TLS_ERROR,
    UNREACHABLE_ERROR,
    Behaviour,
    ResolvedAddresses,
    ScriptedReceiver,
    failure_message,
    send_within_deadline,
)
from tests.factories import present


def certificate(name: str, folder: Path, days: int = 1) -> tuple[Path, str]:
    """Return a file with a self-signed certificate and its key, and the certificate itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = present()  # which the TLS library goes by
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "receiver.pem"
    path.write_bytes(pem + secret)
    return path, pem.decode()


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name leads to this machine."""

    def answer(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what makes the exchange trust a certificate, for the length of a test."""
    context = exchange_room._tls.__wrapped__()
    monkeypatch.setattr(exchange_room, "_tls", lambda: context)
    return lambda pem: context.load_verify_locations(cadata=pem)


def encrypted(receiver: ScriptedReceiver, path: Path, names: list[str | None]) -> Behaviour:
    """Return a behaviour that answers over TLS and notes which name was asked for, and how."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _sock, name, _context: names.append(name)

    def play(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as safe:
            names.append(safe.selected_alpn_protocol())
            while receiver.read_request(safe):
                safe.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return play


@pytest.mark.machine_time
def test_tls_is_checked_for_the_name_of_the_address_and_asked_by_it(
    http_client: Exchange,
    receiver: ScriptedReceiver,
    at_home: None,
    trust: Callable[[str], None],
    tmp_path: Path,
) -> None:
    path, pem = certificate("groove.workable.test", tmp_path)
    trust(pem)
    names: list[str | None] = []
    receiver.add_behaviours(encrypted(receiver, path, names))
    url = f"https://groove.workable.test:{receiver.port}/x"
    assert [send_within_deadline(http_client, url).body for _ in range(2)] == ["ok", "ok"]
    assert names == ["groove.workable.test", "http/1.1"]  # one connection
    assert f"Host: groove.workable.test:{receiver.port}\r\n".encode() in receiver.requests[0]
    dotted = f"https://groove.workable.test.:{receiver.port}/x"
    assert send_within_deadline(http_client, dotted).body == "ok"
    assert (
        failure_message(http_client, f"https://other.workable.test:{receiver.port}/x") == TLS_ERROR
    )
    http_client.close()


@pytest.mark.machine_time
@pytest.mark.parametrize(("days", "trusted"), [(1, False), (-1, True)])
def test_a_certificate_that_is_self_signed_or_over_is_not_taken(
    http_client: Exchange,
    receiver: ScriptedReceiver,
    at_home: None,
    trust: Callable[[str], None],
    tmp_path: Path,
    days: int,
    trusted: bool,
) -> None:
    path, pem = certificate("groove.workable.test", tmp_path, days)
    if trusted:
        trust(pem)
    receiver.add_behaviours(encrypted(receiver, path, []))
    assert (
        failure_message(http_client, f"https://groove.workable.test:{receiver.port}/x") == TLS_ERROR
    )
    assert receiver.requests == []


def test_a_receiver_that_speaks_no_tls_is_told_and_one_that_says_nothing_is_left(
    http_client: Exchange, receiver: ScriptedReceiver, short_deadline: None
) -> None:
    receiver.add_behaviours(
        lambda sock: sock.sendall(b"HTTP/1.1 400 No\r\n\r\n"), receiver.keep_open
    )
    url = receiver.url.replace("http://", "https://")
    assert failure_message(http_client, url) == TLS_ERROR
    assert failure_message(http_client, url) == TIMEOUT_ERROR


def test_a_handshake_may_take_all_the_time_that_is_left(
    http_client: Exchange,
    receiver: ScriptedReceiver,
    short_deadline: None,
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    fake_resolver(lambda: ["127.0.0.1", "127.0.0.2"])  # of two, each has half to be connected in
    receiver.add_behaviours(receiver.keep_open)
    exchange_room._tls()  # made once, which takes a moment
    began = time.monotonic()
    assert failure_message(http_client, f"https://two.test:{receiver.port}/x") == TIMEOUT_ERROR
    assert time.monotonic() - began > SHORT_DEADLINE_SECONDS * 0.9


def test_without_anybody_to_trust_no_connection_stays_open(
    http_client: Exchange, receiver: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_room, "_tls", exchange_room._tls.__wrapped__)
    monkeypatch.setattr(exchange_room, "DEFAULT_CA_BUNDLE_PATH", "nowhere.pem")
    receiver.add_behaviours(receiver.keep_open)
    # One that was forgotten, not closed, is a warning and so an error.
    assert (
        failure_message(http_client, receiver.url.replace("http://", "https://"))
        == UNREACHABLE_ERROR
    )
