"""TLS of the HTTP client: which certificates it accepts, and for which name."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provider.delivery.http.client import HttpClient
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
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = present()  # the TLS library uses the machine's clock
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    private_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "receiver.pem"
    path.write_bytes(pem + private_key)
    return path, pem.decode()


@pytest.fixture
def every_name_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def create_client(tmp_path: Path) -> Iterator[Callable[[str], HttpClient]]:
    """Return a function that creates a client which trusts a certificate beside certifi's."""
    clients: list[HttpClient] = []

    def create(pem: str) -> HttpClient:
        ca_file = tmp_path / "ca.pem"
        ca_file.write_text(Path(certifi.where()).read_text() + pem)
        clients.append(HttpClient(allow_private=True, ca_file=str(ca_file)))
        return clients[-1]

    yield create
    for client in clients:
        client.close()


def respond_over_tls(receiver: ScriptedReceiver, path: Path, names: list[str | None]) -> Behaviour:
    """Return a behaviour that responds over TLS; it adds the asked name and protocol to `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _sock, name, _context: names.append(name)

    def behave(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as tls_sock:
            names.append(tls_sock.selected_alpn_protocol())
            while receiver.read_request(tls_sock):
                tls_sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return behave


@pytest.mark.machine_time
def test_tls_uses_and_checks_the_host_name_of_the_url(
    receiver: ScriptedReceiver,
    every_name_is_local: None,
    create_client: Callable[[str], HttpClient],
    tmp_path: Path,
) -> None:
    path, pem = certificate("groove.workable.test", tmp_path)
    http_client = create_client(pem)
    names: list[str | None] = []
    receiver.add_behaviours(respond_over_tls(receiver, path, names))
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
@pytest.mark.parametrize(("days", "is_trusted"), [(1, False), (-1, True)])
def test_self_signed_or_expired_certificate_gives_error(
    receiver: ScriptedReceiver,
    every_name_is_local: None,
    create_client: Callable[[str], HttpClient],
    tmp_path: Path,
    days: int,
    is_trusted: bool,
) -> None:
    path, pem = certificate("groove.workable.test", tmp_path, days)
    http_client = create_client(pem if is_trusted else "")
    receiver.add_behaviours(respond_over_tls(receiver, path, []))
    assert (
        failure_message(http_client, f"https://groove.workable.test:{receiver.port}/x") == TLS_ERROR
    )
    assert receiver.requests == []


def test_receiver_without_tls_gives_error(
    http_client: HttpClient, receiver: ScriptedReceiver, short_deadline: None
) -> None:
    receiver.add_behaviours(
        lambda sock: sock.sendall(b"HTTP/1.1 400 No\r\n\r\n"), receiver.keep_open
    )
    url = receiver.url.replace("http://", "https://")
    assert failure_message(http_client, url) == TLS_ERROR
    assert failure_message(http_client, url) == TIMEOUT_ERROR


def test_handshake_may_use_all_remaining_time(
    http_client: HttpClient,
    receiver: ScriptedReceiver,
    short_deadline: None,
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    fake_resolver(lambda: ["127.0.0.1", "127.0.0.2"])  # each has half of the time to connect
    receiver.add_behaviours(receiver.keep_open)
    started_at = time.monotonic()
    assert failure_message(http_client, f"https://two.test:{receiver.port}/x") == TIMEOUT_ERROR
    assert time.monotonic() - started_at > SHORT_DEADLINE_SECONDS * 0.9


def test_missing_ca_file_gives_error_and_closes_the_connection(
    receiver: ScriptedReceiver, tmp_path: Path
) -> None:
    closed = threading.Event()

    def behave(sock: socket.socket) -> None:
        while sock.recv(65536):
            """libcurl reads the file after the beginning of the handshake."""
        closed.set()

    receiver.add_behaviours(behave)
    http_client = HttpClient(allow_private=True, ca_file=str(tmp_path / "missing.pem"))
    url = receiver.url.replace("http://", "https://")
    assert failure_message(http_client, url) == UNREACHABLE_ERROR
    assert closed.wait(10)
    http_client.close()
