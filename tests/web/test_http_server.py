"""The HTTP server with a real app: limits of bodies, hostile clients, and a clean stop."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from time import monotonic
from typing import Any

import pytest
import requests
from werkzeug.wsgi import wrap_file

from provider.app import ContractFlask
from provider.core.kinds.interview.uploads import MAX_PIECE_BYTES
from provider.services import Services
from provider.web import body_limits, http_server
from provider.web.body_limits import MAX_BODY_BYTES, MAX_DISCARDED_BYTES, MAX_DOCUMENT_BODY_BYTES
from provider.web.http_server import REQUEST_THREADS, HttpServer
from provider.web.request_time import RECEIVE_SECONDS_KEY
from tests import factories
from tests.hostile_clients import (
    HostileClient,
    HostileClients,
    dripped_body,
    slow_upload,
    unread_download,
)

TIMEOUT_SECONDS = 10
# More than the threads can take, and more than the sockets' buffers.
CLIENTS_OF_A_KIND, DOWNLOAD_BYTES = 2 * REQUEST_THREADS, 20_000_000
PIECE_PATH = "/c/o/x/uploads/y"
DRIPPED_PATHS = ("/console/sign-in", "/s/x", "/c/o/x/decline", "/assessments")


@pytest.fixture
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for connections to close at every turn of the main thread."""
    monkeypatch.setattr(http_server, "CHECK_INTERVAL_SECONDS", 0)


WsgiApp = Callable[..., Iterable[bytes]]


@contextmanager
def serving(app: WsgiApp, request_timeout_seconds: float = 60.0) -> Iterator[str]:
    """Serve an app; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = HttpServer(app, listener, request_timeout_seconds)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.effective_port}"
        finally:
            server.stop()
            thread.join()


def downloads_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer `/file` from a file, `/generated` from a generator, and others with a word."""
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    if path == "/file":
        return wrap_file(environ, BytesIO(bytes(DOWNLOAD_BYTES)))
    if path == "/generated":
        return (bytes(100_000) for _ in range(DOWNLOAD_BYTES // 100_000))
    return [b"answered"]


def read_until_closed(connection: socket.socket) -> bytes:
    """Return whatever arrives before the server closes or resets the connection."""
    received = []
    with suppress(ConnectionResetError):
        while chunk := connection.recv(1_000_000):
            received.append(chunk)
    return b"".join(received)


def get(url: str, **options: Any) -> requests.Response:
    return requests.get(url, timeout=TIMEOUT_SECONDS, **options)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_server_answers_beside_hostile_clients(app: ContractFlask, services: Services) -> None:
    test = factories.create_test(services)
    _, token = factories.create_account(services)
    headers = {"Authorization": f"Bearer {token}"}
    clients = [dripped_body(path) for path in DRIPPED_PATHS for _ in range(CLIENTS_OF_A_KIND)]
    clients += [slow_upload(PIECE_PATH, 1_000_000, 1000)] * CLIENTS_OF_A_KIND
    clients += [unread_download("/static/theme.css")] * CLIENTS_OF_A_KIND
    order = {
        "test_id": test,
        "callback_url": "https://groove-tech.workable.com/assessments/1",
        "candidate": {"email": "lakita_marrero@gmail.com"},
    }
    with (
        serving(app) as url,
        HostileClients(port_of(url), clients, tick_seconds=0.05) as hostile,
    ):
        assert get(f"{url}/health").json() == {"status": "alive"}
        response = requests.post(
            f"{url}/assessments", json=order, headers=headers, timeout=TIMEOUT_SECONDS
        )
        assert response.status_code == 201
        path = f"/assessments/{response.json()['assessment_id']}"
        assert get(url + path, headers=headers).json() == {"status": "pending"}
        assert get(f"{url}/console/sign-in").ok
        assert hostile.closed_count == 0


@pytest.mark.parametrize("path", ["/file", "/generated"])
def test_server_answers_beside_unread_downloads(path: str) -> None:
    clients = [unread_download(path)] * CLIENTS_OF_A_KIND
    with serving(downloads_app) as url, HostileClients(port_of(url), clients, tick_seconds=1):
        assert get(f"{url}/").text == "answered"
        assert len(get(url + path).content) == DOWNLOAD_BYTES


@pytest.mark.usefixtures("frequent_checks")
def test_server_closes_connection_whose_request_is_overdue() -> None:
    endless_header = HostileClient(b"GET / HTTP/1.1\r\nHost: ", b"x")
    clients = [*map(dripped_body, DRIPPED_PATHS), endless_header]
    with (
        serving(downloads_app, request_timeout_seconds=0.2) as url,
        HostileClients(port_of(url), clients, tick_seconds=0.05) as hostile,
    ):
        assert hostile.wait_until_closed(len(clients), TIMEOUT_SECONDS)
        assert get(f"{url}/").text == "answered"


@pytest.mark.usefixtures("frequent_checks")
def test_server_answers_overdue_request_with_408() -> None:
    with (
        serving(downloads_app, request_timeout_seconds=0.2) as url,
        socket.create_connection(("127.0.0.1", port_of(url)), TIMEOUT_SECONDS) as client,
    ):
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123")
        head, _, body = read_until_closed(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body) == {"status": 408, "message": "The request should arrive faster"}


@pytest.mark.usefixtures("frequent_checks")
def test_server_closes_idle_connection_of_unread_download(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed, close = threading.Event(), http_server._Channel.handle_close

    def observed_close(channel: http_server._Channel) -> None:
        close(channel)
        closed.set()

    monkeypatch.setattr(http_server, "IDLE_TIMEOUT_SECONDS", 0)
    monkeypatch.setattr(http_server._Channel, "handle_close", observed_close)
    clients = [unread_download("/file")]
    with serving(downloads_app) as url, HostileClients(port_of(url), clients, tick_seconds=1):
        assert closed.wait(TIMEOUT_SECONDS)


def test_server_keeps_no_second_large_response_unread() -> None:
    with (
        serving(downloads_app) as url,
        socket.create_connection(("127.0.0.1", port_of(url))) as client,
    ):
        client.settimeout(TIMEOUT_SECONDS)
        client.sendall(b"GET /generated HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        received = read_until_closed(client)
    assert DOWNLOAD_BYTES < len(received) < 2 * DOWNLOAD_BYTES


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10_000_000, MAX_DISCARDED_BYTES])
def test_too_large_body_is_answered_with_413(
    app: ContractFlask, services: Services, size: int, chunked: bool
) -> None:
    _, token = factories.create_account(services)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    form_type = {"Content-Type": "application/x-www-form-urlencoded"}
    with serving(app) as url, requests.Session() as session:
        for path, path_headers in (("/assessments", headers), ("/console/sign-in", form_type)):
            body = bytes(size)
            response = session.post(
                url + path,
                data=iter([body]) if chunked else body,
                headers=path_headers,
                timeout=TIMEOUT_SECONDS,
            )
            assert response.status_code == 413
            is_json = response.headers["Content-Type"] == "application/json"
            assert is_json == (path == "/assessments")
            if is_json:
                message = f"The body should have at most {MAX_BODY_BYTES} bytes"
                assert response.json() == {"status": 413, "message": message}


def length_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with the number of bytes of the body."""
    length = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(length).encode()]


def test_only_form_of_document_may_be_large(monkeypatch: pytest.MonkeyPatch) -> None:
    body = bytes(MAX_DOCUMENT_BODY_BYTES)

    def send(url: str, path: str, size: int) -> str:
        return requests.post(url + path, data=body[:size], timeout=TIMEOUT_SECONDS).text

    with serving(length_app) as url:
        order = f"/c/o/{'x' * 22}"
        assert send(url, f"{order}/documents/identity", len(body)) == str(len(body))
        for path in (f"{order}/consent", f"{order}/documents/identity/x/remove", "/assessments"):
            assert send(url, path, MAX_BODY_BYTES + 1) == "0"
        monkeypatch.setattr(body_limits, "MAX_LARGE_BODIES", 0)
        assert send(url, f"{order}/documents/identity", MAX_PIECE_BYTES + 1) == "0"
        assert send(url, f"{order}/documents/identity", 1000) == "1000"


def test_request_that_is_no_http_is_answered_with_json() -> None:
    with (
        serving(downloads_app) as url,
        socket.create_connection(("127.0.0.1", port_of(url))) as client,
    ):
        client.settimeout(TIMEOUT_SECONDS)
        client.sendall(b"nonsense\r\n\r\n")
        head, _, body = read_until_closed(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400")
    assert json.loads(body) == {"status": 400, "message": "Bad Request"}


def test_preface_of_http_2_is_answered_with_an_error(app: ContractFlask) -> None:
    settings_frame = bytes(3) + b"\x04" + bytes(5)
    with serving(app) as url:
        with socket.create_connection(("127.0.0.1", port_of(url))) as client:
            client.settimeout(TIMEOUT_SECONDS)
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings_frame)
            head, _, body = read_until_closed(client).partition(b"\r\n\r\n")
        assert get(f"{url}/health").json() == {"status": "alive"}
    assert head.startswith(b"HTTP/1.0 4")
    assert json.loads(body)["status"] >= 400


def test_stop_finishes_running_request_and_unsent_response() -> None:
    started, may_end = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        started.set()
        may_end.wait(TIMEOUT_SECONDS)
        return downloads_app(environ, start_response)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = HttpServer(app, listener, 60.0)
        serving_thread = threading.Thread(target=server.run)
        serving_thread.start()
        responses: list[requests.Response] = []
        url = f"http://127.0.0.1:{server.effective_port}/file"
        client_thread = threading.Thread(target=lambda: responses.append(get(url)))
        client_thread.start()
        assert started.wait(TIMEOUT_SECONDS)
        server.stop()
        may_end.set()
        client_thread.join()
        serving_thread.join()
    assert [len(response.content) for response in responses] == [DOWNLOAD_BYTES]


def test_stop_does_not_wait_for_unfinished_body() -> None:
    with (
        serving(downloads_app) as url,
        HostileClients(port_of(url), [dripped_body("/")], tick_seconds=0.05),
    ):
        assert get(f"{url}/").ok


def test_app_is_told_how_long_a_request_took_to_arrive() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [str(environ[RECEIVE_SECONDS_KEY]).encode()]

    with (
        serving(app) as url,
        socket.create_connection(("127.0.0.1", port_of(url)), TIMEOUT_SECONDS) as slow,
    ):
        slow.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\na"
        )
        quick_seconds = float(get(url).text)  # the main thread has seen the first byte by now
        seen_at = monotonic()
        for _ in range(20):
            get(url)
        waited_seconds = monotonic() - seen_at
        slow.sendall(b"b")
        slow_seconds = float(read_until_closed(slow).partition(b"\r\n\r\n")[2])
    assert quick_seconds < waited_seconds <= slow_seconds
