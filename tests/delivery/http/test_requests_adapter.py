"""`requests` over the HTTP client: the same guard, and what sessions must not do."""

import gzip
import socket
from collections.abc import Callable, Iterator

import pytest
import requests

from provider.delivery.http import client as client_module
from provider.delivery.http.client import HttpClient
from provider.delivery.http.requests_adapter import create_session, mount_client
from tests.delivery.receivers import (
    NO_RESPONSE_ERROR,
    TIMEOUT_ERROR,
    ResolvedAddresses,
    ScriptedReceiver,
)
from tests.fake_ats import FakeAts

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n"
BODY = b'{"name": "\xc3\xa9"}'


@pytest.fixture
def session(http_client: HttpClient) -> Iterator[requests.Session]:
    with create_session(http_client) as session:
        yield session


def test_session_post_sends_body_and_returns_response(
    session: requests.Session, ats: FakeAts
) -> None:
    response = session.post(f"{ats.url}/a?b=1", json={"c": 2}, params={"d": 3}, auth=("e", "f"))
    assert response.json() == {}
    assert (response.status_code, response.url) == (200, f"{ats.url}/a?b=1&d=3")
    (received,) = ats.received
    assert (received.method, received.path, received.json) == ("POST", "/a?b=1&d=3", {"c": 2})
    assert received.headers["Authorization"] == "Basic ZTpm"
    assert received.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_session_without_body_sends_no_content_type(
    session: requests.Session, receiver: ScriptedReceiver, method: str
) -> None:
    requests_seen: list[bytes] = []

    def behave(sock: socket.socket) -> None:
        requests_seen.append(sock.recv(65536))
        sock.sendall(OK + (b"" if method == "HEAD" else b'{"name": "abc"}'[:14]))

    receiver.add_behaviours(behave)
    response = session.request(method, receiver.url)
    assert len(response.content) == (0 if method == "HEAD" else 14)
    assert requests_seen[0].startswith(f"{method} /x HTTP/1.1\r\n".encode())
    assert b"Content-Type" not in requests_seen[0]


def test_session_decodes_a_compressed_response_once(
    session: requests.Session, receiver: ScriptedReceiver
) -> None:
    body = gzip.compress(BODY)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    receiver.add_behaviours(receiver.respond_with(head + body))
    assert session.put(receiver.url, data="{}").json() == {"name": "é"}
    assert b"Accept-Encoding: gzip, deflate" in receiver.requests[0]


def test_session_follows_no_redirect_and_keeps_no_cookie(
    session: requests.Session, receiver: ScriptedReceiver
) -> None:
    redirect = (
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    receiver.add_behaviours(receiver.respond_with(redirect, redirect))
    for _ in range(2):
        response = session.put(receiver.url, data="{}", allow_redirects=True)
        assert (response.status_code, response.headers["Location"]) == (302, "/elsewhere")
    assert len(receiver.requests) == 2
    assert b"Cookie" not in b"".join(receiver.requests)
    assert not session.cookies


def test_session_ignores_environment_proxies(
    session: requests.Session, ats: FakeAts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert session.get(ats.url).status_code == 200


@pytest.mark.parametrize(
    ("url", "addresses", "error"),
    [
        ("http://a.test/", ["93.184.215.14"], "The address is not https on port 443"),
        ("https://a.test/", ["127.0.0.1"], "The host's address is not a public one"),
        ("https://a.test/", ["93.184.215.14", "::1"], "The host's address is not a public one"),
    ],
)
def test_library_session_is_guarded_against_special_addresses(
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
    url: str,
    addresses: list[str],
    error: str,
) -> None:
    class LibrarySession(requests.Session):
        """A session of another library, as authlib has one."""

    fake_resolver(lambda: addresses)
    client = HttpClient(allow_private=False)
    with LibrarySession() as session:
        mount_client(session, client)
        with pytest.raises(requests.ConnectionError, match=error):
            session.get(url, verify=False)
    assert dialled_addresses == []
    client.close()


def test_session_raises_the_exceptions_of_requests(
    session: requests.Session, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(receiver.keep_open, receiver.respond_with(b""))
    with pytest.raises(requests.Timeout, match=TIMEOUT_ERROR):
        session.put(receiver.url, data="{}", timeout=0.2)
    with pytest.raises(requests.ConnectionError, match=NO_RESPONSE_ERROR):
        session.put(receiver.url, data="{}", timeout=(3, 3))


def test_session_without_timeout_has_the_timeout_of_the_client(
    session: requests.Session, receiver: ScriptedReceiver, short_deadline: None
) -> None:
    receiver.add_behaviours(receiver.respond_slowly(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"))
    assert client_module.TIMEOUT_SECONDS < 1
    with pytest.raises(requests.Timeout):
        session.put(receiver.url, data="{}")


@pytest.mark.parametrize("sent_bytes", [13, 15])
def test_session_refuses_a_response_that_is_cut(
    http_client: HttpClient, receiver: ScriptedReceiver, sent_bytes: int
) -> None:
    length = 14 if sent_bytes < 14 else sent_bytes
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
    receiver.add_behaviours(receiver.respond_with(head + b"x" * sent_bytes))
    session = create_session(http_client, max_response_bytes=14)
    with pytest.raises(requests.ConnectionError, match="broke off or is too long"):
        session.put(receiver.url, data="{}")


def test_session_refuses_a_streamed_body(session: requests.Session, ats: FakeAts) -> None:
    with pytest.raises(TypeError, match="not a stream"):
        session.post(ats.url, data=iter([b"{}"]))
    assert ats.received == []
