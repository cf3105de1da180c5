"""The bodies of requests through a real socket: in memory, in a piece buffer, in a file."""

import gc
import random
import socket
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from http.client import HTTPConnection
from typing import Any

import pytest

from provider.core.kinds.interview.uploads import MAX_PIECE_BYTES
from provider.web import request_bodies
from provider.web.body_limits import MAX_BODY_BYTES, max_body_bytes
from provider.web.request_bodies import (
    MAX_PIECE_BUFFERS,
    MEMORY_BUFFER_BYTES,
    FileBody,
    PieceBody,
    open_body,
    read_without_copy,
)
from tests.web.test_http_server import TIMEOUT_SECONDS, port_of, serving

PIECE_PATH = f"/c/o/{'x' * 22}/uploads/{'y' * 22}"
PAGE_PATH = f"/c/o/{'x' * 22}/"


@pytest.fixture(autouse=True)
def own_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without a piece buffer: other tests of this process leave some."""
    monkeypatch.setattr(request_bodies, "_free_piece_buffers", [])
    monkeypatch.setattr(request_bodies, "_piece_buffer_count", 0)


def digest_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the digest of the body, and with the way it was read."""
    stream = environ["wsgi.input"]
    view = read_without_copy(stream)
    data = stream.read() if view is None else view
    start_response("200 OK", [("X-Copied", str(view is None))])
    return [sha256(data).hexdigest().encode()]


def empty_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the status that the path names, without a body."""
    start_response(f"{environ['PATH_INFO'][1:]} Empty", [])
    return []


@pytest.fixture
def connection() -> Iterator[HTTPConnection]:
    with serving(digest_app) as url:
        client = HTTPConnection("127.0.0.1", port_of(url), timeout=TIMEOUT_SECONDS)
        yield client
        client.close()


def send(client: HTTPConnection, data: bytes, path: str = PIECE_PATH) -> tuple[str, bool]:
    """Send a body; return the digest that the app has read, and whether it was a copy."""
    client.request("PATCH", path, data)
    response = client.getresponse()
    return response.read().decode(), response.headers["X-Copied"] == "True"


@pytest.mark.parametrize(
    ("size", "is_copied"),
    [
        (MEMORY_BUFFER_BYTES, True),
        (MEMORY_BUFFER_BYTES + 1, False),
        (1_234_567, False),
        (MAX_PIECE_BYTES, False),
    ],
)
def test_piece_is_read_from_its_buffer(
    connection: HTTPConnection, size: int, is_copied: bool
) -> None:
    data = random.Random(size).randbytes(size)
    assert send(connection, data) == (sha256(data).hexdigest(), is_copied)


def test_pieces_of_one_connection_use_one_buffer(connection: HTTPConnection) -> None:
    for size in (3_000_000, 100_000, 2_000_000):
        data = random.Random(size).randbytes(size)
        assert send(connection, data) == (sha256(data).hexdigest(), False)
    assert request_bodies._piece_buffer_count == 1


def test_two_requests_in_one_packet_are_read_apart() -> None:
    bodies = [random.Random(n).randbytes(MEMORY_BUFFER_BYTES + 1 + n) for n in range(3)]
    head = f"PATCH {PIECE_PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: "
    packet = b"".join(f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies)
    with (
        serving(digest_app) as url,
        socket.create_connection(("127.0.0.1", port_of(url)), TIMEOUT_SECONDS) as client,
    ):
        client.sendall(packet)
        received = b""
        while not all(sha256(body).hexdigest().encode() in received for body in bodies):
            chunk = client.recv(100_000)
            assert chunk, received
            received += chunk


def test_body_in_chunks_needs_no_buffer(connection: HTTPConnection) -> None:
    data = random.Random(1).randbytes(300_000)
    connection.request("PATCH", PIECE_PATH, iter([data[:1000], data[1000:]]), encode_chunked=True)
    response = connection.getresponse()
    assert response.read().decode() == sha256(data).hexdigest()
    assert request_bodies._piece_buffer_count == 0


def test_pieces_without_a_free_buffer_go_to_a_file(connection: HTTPConnection) -> None:
    bodies = [open_body(MAX_PIECE_BYTES, PIECE_PATH) for _ in range(MAX_PIECE_BUFFERS)]
    assert all(isinstance(body, PieceBody) for body in bodies)
    data = random.Random(2).randbytes(MAX_PIECE_BYTES)
    assert send(connection, data) == (sha256(data).hexdigest(), True)
    bodies.pop().close()
    assert send(connection, data) == (sha256(data).hexdigest(), False)


def test_buffer_of_an_unfinished_body_is_used_again() -> None:
    for _ in range(MAX_PIECE_BUFFERS + 1):
        body = open_body(MAX_PIECE_BYTES, PIECE_PATH)
        body.append(b"begun")
        assert isinstance(body, PieceBody)
        del body
        gc.collect()
    assert request_bodies._piece_buffer_count == 1


def test_buffer_is_returned_once() -> None:
    body = open_body(MAX_PIECE_BYTES, PIECE_PATH)
    body.close()
    body.close()
    assert len(request_bodies._free_piece_buffers) == 1


@pytest.mark.parametrize("size", [0, MAX_BODY_BYTES + 1, MAX_PIECE_BYTES + 1])
def test_only_a_piece_may_be_larger_than_other_bodies(size: int) -> None:
    assert max_body_bytes(PIECE_PATH) == MAX_PIECE_BYTES
    assert max_body_bytes(PAGE_PATH) == MAX_BODY_BYTES
    assert isinstance(open_body(size, PAGE_PATH), FileBody)


@pytest.mark.parametrize(
    ("request_line", "headers", "is_kept"),
    [
        ("GET /204 HTTP/1.1", "", True),
        ("GET /304 HTTP/1.1", "", True),
        ("GET /204 HTTP/1.1", "Connection: close\r\n", False),
        ("GET /204 HTTP/1.0", "", False),
    ],
)
def test_response_without_a_body_keeps_the_connection(
    request_line: str, headers: str, is_kept: bool
) -> None:
    packet = f"{request_line}\r\nHost: a\r\n{headers}\r\n".encode()
    with (
        serving(empty_app) as url,
        socket.create_connection(("127.0.0.1", port_of(url)), TIMEOUT_SECONDS) as client,
    ):
        for _ in range(2 if is_kept else 1):
            client.sendall(packet)
            head = client.recv(10_000)
            assert head.startswith(b"HTTP/1.")
            assert head.endswith(b"\r\n\r\n")
            assert (b"Connection: close" not in head) == is_kept
        if not is_kept:
            assert client.recv(10_000) == b""
