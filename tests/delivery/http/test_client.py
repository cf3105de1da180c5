"""Faulty and hostile receivers: each request ends in time, with a response or a plain error."""

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.ats import CallbackRequest
from provider.ats.base import parse_retry_after
from provider.delivery.channels.callback import send_callback
from provider.delivery.http import client as client_module
from provider.delivery.http.client import (
    MAX_CALLBACK_RESPONSE_BYTES,
    HttpClient,
    RequestFailed,
)
from provider.storage import secrets
from tests.delivery.receivers import (
    INVALID_HTTP_ERROR,
    NO_RESPONSE_ERROR,
    SHORT_DEADLINE_SECONDS,
    TIMEOUT_ERROR,
    UNREACHABLE_ERROR,
    ResolvedAddresses,
    ScriptedReceiver,
    failure_message,
    put_request,
    send_within_deadline,
)
from tests.fake_ats import FakeAts

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


def test_send_transmits_exactly_the_given_request(http_client: HttpClient, ats: FakeAts) -> None:
    response = send_callback(
        http_client, put_request(f"{ats.url}/a/1?b=2#c"), b'{"a": 1}', {"X-One": "1"}
    )
    assert (response.status_code, json.loads(response.body)) == (200, {})
    assert response.headers["content-length"] == "2"
    (received,) = ats.received
    assert (received.method, received.path, received.json) == ("PUT", "/a/1?b=2", {"a": 1})
    assert received.headers == {
        "Host": ats.url.removeprefix("http://"),
        "Accept-Encoding": "identity",
        "Authorization": "Bearer cb-token",
        "X-One": "1",
        "Content-Length": "8",
    }


def test_send_to_silent_receiver_ends_at_the_deadline(
    http_client: HttpClient, receiver: ScriptedReceiver, short_deadline: None
) -> None:
    receiver.add_behaviours(receiver.keep_open)
    assert failure_message(http_client, receiver.url) == TIMEOUT_ERROR


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"),
        (b"HTTP/1.1 2", b"0"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_send_with_dripping_headers_ends_at_the_deadline(
    http_client: HttpClient,
    receiver: ScriptedReceiver,
    short_deadline: None,
    head: bytes,
    chunk: bytes,
) -> None:
    receiver.add_behaviours(receiver.respond_slowly(head, chunk))
    assert failure_message(http_client, receiver.url) in (TIMEOUT_ERROR, INVALID_HTTP_ERROR)


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100000", b"X-Length: none", b"Transfer-Encoding: chunked"]
)
def test_send_with_dripping_body_returns_status_at_the_deadline(
    http_client: HttpClient, receiver: ScriptedReceiver, short_deadline: None, head: bytes
) -> None:
    receiver.add_behaviours(
        receiver.respond_slowly(b"HTTP/1.1 202 Accepted\r\n%b\r\n\r\n" % head, b"1")
    )
    assert send_within_deadline(http_client, receiver.url).status_code == 202


def test_send_to_receiver_that_reads_nothing_ends_at_the_deadline(
    http_client: HttpClient, receiver: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 204 Fine\r\n\r\n", then=receiver.keep_open)
    )
    send_within_deadline(http_client, receiver.url)
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", SHORT_DEADLINE_SECONDS)
    started_at = time.monotonic()
    with pytest.raises(RequestFailed, match=TIMEOUT_ERROR):
        send_callback(http_client, put_request(receiver.url), b"x" * 50_000_000, {})
    assert time.monotonic() - started_at < SHORT_DEADLINE_SECONDS + 1


@contextmanager
def limited_to_50_mb() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_send_reads_little_of_a_gigabyte_response(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    sent_sizes: list[int] = []

    def flood(sock: socket.socket) -> None:
        chunk = b"x" * 65536
        for _ in range(2**30 // len(chunk)):
            sock.sendall(chunk)
            sent_sizes.append(len(chunk))

    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"
    receiver.add_behaviours(receiver.respond_with(head, then=flood))
    with limited_to_50_mb():
        response = send_within_deadline(http_client, receiver.url)
    assert (response.status_code, response.body) == (200, "x" * 2048)
    receiver.close()
    assert sum(sent_sizes) < 50_000_000  # the buffers of both sides


def test_send_decompresses_unrequested_compression_up_to_the_cap(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    compressed_bodies = {
        "gzip": gzip.compress(b"0" * 50_000_000),
        "DEFLATE": zlib.compress(b"deflated", wbits=15),
        "GZIP": b"not gzip",
    }
    receiver.add_behaviours(
        *(
            receiver.respond_with(
                b"HTTP/1.1 500 Oh\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b"
                % (encoding.encode(), len(body), body)
            )
            for encoding, body in compressed_bodies.items()
        )
    )
    with limited_to_50_mb():
        response = http_client.send("PUT", receiver.url, {}, b"{}")
    assert (response.body, response.is_complete) == (b"0" * MAX_CALLBACK_RESPONSE_BYTES, False)
    assert send_within_deadline(http_client, receiver.url).body == "deflated"
    assert send_within_deadline(http_client, receiver.url).body == ""


@pytest.mark.parametrize(("size", "is_complete"), [(1000, True), (1001, False)])
def test_send_reads_at_most_the_given_number_of_bytes(
    http_client: HttpClient, receiver: ScriptedReceiver, size: int, is_complete: bool
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    receiver.add_behaviours(receiver.respond_with(head + b"x" * size))
    response = http_client.send("PUT", receiver.url, {}, b"{}", max_response_bytes=1000)
    assert response.body == b"x" * 1000
    assert response.is_complete is is_complete


def test_excerpt_is_text_without_the_token(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    body = b'{"not": "Bearer cb-token"}\xff' + "é".encode() * 2000
    head = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body)
    receiver.add_behaviours(receiver.respond_with(head + body))
    excerpt = send_within_deadline(http_client, receiver.url).body
    assert excerpt.startswith('{"not": "Bearer ********"}\N{REPLACEMENT CHARACTER}éé')
    assert len(excerpt.encode()) == 2047  # half a character is left out


@pytest.mark.parametrize(
    "body", [b"x" * 2041 + b"cb-token" * 9, b"cb-token" * 511 + b"xcb-token", b"cb-token" * 999]
)
def test_excerpt_has_no_part_of_a_token_at_any_position(
    http_client: HttpClient, receiver: ScriptedReceiver, body: bytes
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    )
    excerpt = send_within_deadline(http_client, receiver.url).body
    assert len(excerpt) == 2048
    assert "c" not in excerpt


@pytest.mark.parametrize("prefix", ["", "x" * 2020])
def test_excerpt_of_repeated_callback_has_no_token_of_this_server(
    http_client: HttpClient, receiver: ScriptedReceiver, prefix: str
) -> None:
    token = secrets.generate_token()
    address = f"https://provider.test/r/{token}"
    body = f'{prefix}{{"results_url": "{address}", "no": "\x1b[1m{token}"}}'.encode()
    head = b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n" % len(body)
    receiver.add_behaviours(receiver.respond_with(head + body))
    excerpt = send_within_deadline(http_client, receiver.url).body
    assert token[:5] not in excerpt
    assert excerpt == body.decode().replace(token, "*" * len(token))[:2048]


def test_excerpt_without_token_is_the_whole_response(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    )
    assert send_callback(http_client, CallbackRequest("PUT", receiver.url), b"{}", {}).body == "ok"


def reset(sock: socket.socket) -> None:
    """Close so that the other side is reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_send_reset_after_accept_gives_error(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(reset)
    assert failure_message(http_client, receiver.url) in (NO_RESPONSE_ERROR, UNREACHABLE_ERROR)


def test_send_reset_before_response_gives_error_once(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(receiver.respond_with(b"", then=reset))
    assert failure_message(http_client, receiver.url) == NO_RESPONSE_ERROR
    assert len(receiver.requests) == 1


def test_send_reset_after_headers_returns_status(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nhal"
    receiver.add_behaviours(receiver.respond_with(head, then=reset))
    assert send_within_deadline(http_client, receiver.url).status_code == 201


def test_send_refused_during_upload_returns_the_refusal(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"HTTP/1.1 413 Too much\r\nConnection: close\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            """The client has the response before the connection ends."""

    receiver.add_behaviours(refuse)
    response = send_callback(http_client, put_request(receiver.url), b"x" * 5_000_000, {})
    assert response.status_code == 413


@pytest.mark.parametrize("shuts_down", [False, True], ids=["reset", "broken pipe"])
def test_send_reset_during_upload_ends_in_response_or_error(
    http_client: HttpClient, receiver: ScriptedReceiver, shuts_down: bool
) -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"HTTP/1.1 413 Too much\r\nConnection: close\r\n\r\n")
        if shuts_down:
            sock.shutdown(socket.SHUT_WR)
        reset(sock)

    receiver.add_behaviours(refuse)
    # The reset may reach the client before it has read the response: then the callback is retried.
    outcome: object
    try:
        request = put_request(receiver.url)
        outcome = send_callback(http_client, request, b"x" * 20_000_000, {}).status_code
    except RequestFailed as error:
        outcome = str(error)
    assert outcome in (413, NO_RESPONSE_ERROR)


def test_send_returns_redirect_and_forgets_its_cookie(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    redirect = (
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    receiver.add_behaviours(receiver.respond_with(redirect, redirect))
    assert [send_within_deadline(http_client, receiver.url).status_code for _ in range(2)] == [
        302,
        302,
    ]
    assert all(request.startswith(b"PUT /x ") for request in receiver.requests)
    assert b"ookie" not in b"".join(receiver.requests)


@pytest.mark.parametrize("value", [b"soon", b"-1", b"9" * 400, b"\xb2", b"Mon, 99 Foo 2026", b""])
def test_send_passes_on_invalid_retry_after(
    http_client: HttpClient, receiver: ScriptedReceiver, value: bytes
) -> None:
    head = b"HTTP/1.1 503 Later\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % value
    receiver.add_behaviours(receiver.respond_with(head))
    response = send_within_deadline(http_client, receiver.url)
    assert response.status_code == 503
    assert response.headers["retry-after"] == value.decode("latin-1")
    delay = parse_retry_after(response.headers, AT)
    assert delay is None or timedelta(0) <= delay <= timedelta(hours=24)


def test_send_joins_headers_of_one_name_and_folded_lines(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\n: no name\r\nRetry-After: 1\r\nX-Two: a\r\nx-two: b\r\n\tand c\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    receiver.add_behaviours(receiver.respond_with(head))
    headers = send_within_deadline(http_client, receiver.url).headers
    assert headers == {"retry-after": "1", "x-two": "a, b and c", "content-length": "0"}


@pytest.mark.parametrize(
    "line",
    [
        b" folded onto nothing",
        b"no colon",
        b"\xff\x00: y",
        b"Content-Length: -2",
        b"Transfer-Encoding: gzip, chunked",
    ],
)
def test_send_with_malformed_header_returns_status(
    http_client: HttpClient, receiver: ScriptedReceiver, line: bytes
) -> None:
    receiver.add_behaviours(receiver.respond_with(b"HTTP/1.1 201 Done\r\n%b\r\n\r\nok" % line))
    assert send_within_deadline(http_client, receiver.url).status_code == 201
    response = http_client.send("PUT", receiver.url, {}, b"{}")
    assert (response.status_code, response.is_complete) == (201, False)


def test_send_with_malformed_interim_header_gives_error(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 103 Early\r\nno colon\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
    )
    assert failure_message(http_client, receiver.url) == INVALID_HTTP_ERROR


@pytest.mark.parametrize(
    ("interim_code", "final_code"), [(100, 204), (101, 101), (102, 204), (199, 204)]
)
def test_send_skips_interim_responses(
    http_client: HttpClient, receiver: ScriptedReceiver, interim_code: int, final_code: int
) -> None:
    interim = b"HTTP/1.1 %d Soon\r\nX-Early: 1\r\n\r\n" % interim_code
    receiver.add_behaviours(
        receiver.respond_with(interim + b"HTTP/1.1 204 Done\r\nX-Late: 2\r\n\r\n")
    )
    response = send_within_deadline(http_client, receiver.url)
    assert response.status_code == final_code
    assert response.headers == ({"x-late": "2"} if final_code == 204 else {"x-early": "1"})


def test_send_reads_a_body_in_chunks_without_its_trailer(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
            b"1A\r\n%b\r\nf;x=1\r\n%b\r\n00\r\nX-Trailer: 1\r\n\r\n" % (b"x" * 26, b"y" * 15)
        )
    )
    response = send_within_deadline(http_client, receiver.url)
    assert (response.status_code, response.body) == (200, "x" * 26 + "y" * 15)
    assert response.headers == {"transfer-encoding": "Chunked"}


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"<html>\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"\x00" * 100,
        b"HTTP/1.1 099 Low\r\n\r\n",
    ],
)
def test_send_to_other_protocol_gives_error_at_once(
    http_client: HttpClient, receiver: ScriptedReceiver, reply: bytes
) -> None:
    receiver.add_behaviours(receiver.respond_with(reply, then=receiver.keep_open))
    started_at = time.monotonic()
    assert failure_message(http_client, receiver.url) == INVALID_HTTP_ERROR
    assert time.monotonic() - started_at < 5


@pytest.mark.parametrize("line", [b"HTTP/2 200", b"HTTP/1.1 2000 High", b"HTTP/1.1 20x"])
def test_send_to_receiver_with_invalid_status_line_gives_error(
    http_client: HttpClient, receiver: ScriptedReceiver, short_deadline: None, line: bytes
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(line + b"\r\nContent-Length: 0\r\n\r\n"),
        receiver.respond_with(line + b"\r\n\r\n", then=receiver.keep_open),
    )
    for _ in range(2):
        assert failure_message(http_client, receiver.url) == INVALID_HTTP_ERROR


@settings(deadline=None)  # the machine may be busy
@given(
    st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early\r\n\r\n"]),
    st.sampled_from([b"", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n\r\n", b"\r\n\r\n"]),
    st.binary(max_size=100),
)
def test_send_with_any_reply_ends_in_response_or_error(
    start: bytes, middle: bytes, end: bytes
) -> None:
    receiver = ScriptedReceiver()
    receiver.add_behaviours(receiver.respond_with(start + middle + end))
    http_client = HttpClient(allow_private=True)
    with contextlib.suppress(RequestFailed):
        assert 101 <= send_within_deadline(http_client, receiver.url).status_code <= 999
    http_client.close()
    receiver.close()


def test_send_with_unfinished_headers_gives_error(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    replies = (
        b"HTTP/1.1 200 OK\r\nX-",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n",
    )
    receiver.add_behaviours(*(receiver.respond_with(reply) for reply in replies))
    for _ in replies:
        assert failure_message(http_client, receiver.url) == NO_RESPONSE_ERROR


@pytest.mark.parametrize(
    ("head", "repeated"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Big: ", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n" * 1000),
    ],
    ids=["one header", "many headers"],
)
def test_send_with_endless_headers_gives_error(
    http_client: HttpClient, receiver: ScriptedReceiver, head: bytes, repeated: bytes
) -> None:
    def flood(sock: socket.socket) -> None:
        while True:
            sock.sendall(repeated)

    receiver.add_behaviours(receiver.respond_with(head, then=flood))
    message = failure_message(http_client, receiver.url)
    assert message == "The receiver's answer has too many headers"


def test_send_with_endless_interim_responses_gives_error(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    def flood(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    receiver.add_behaviours(receiver.respond_with(b"", then=flood))
    with limited_to_50_mb():
        assert failure_message(http_client, receiver.url) == NO_RESPONSE_ERROR


def test_send_reads_header_of_fifty_kilobytes(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Big: %b\r\nContent-Length: 0\r\n\r\n" % (b"x" * 50_000)
    receiver.add_behaviours(receiver.respond_with(head))
    assert len(send_within_deadline(http_client, receiver.url).headers["x-big"]) == 50_000


def test_send_ignores_proxy_variables_and_netrc(
    http_client: HttpClient, ats: FakeAts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (
        send_callback(http_client, CallbackRequest("PUT", f"{ats.url}/x"), b"{}", {}).status_code
        == 200
    )
    assert "Authorization" not in ats.received[0].headers


@pytest.mark.parametrize("value", ["a\r\nX-More: b", "a\nb", "a\rb", "a\0b", "č"])
def test_send_header_with_line_break_or_non_latin_gives_error(
    http_client: HttpClient, ats: FakeAts, value: str
) -> None:
    with pytest.raises(RequestFailed, match="holds a sign that cannot be sent"):
        send_callback(
            http_client, CallbackRequest("PUT", ats.url, {"Authorization": value}), b"{}", {}
        )
    assert ats.received == []


def test_send_escapes_line_break_in_url(http_client: HttpClient, ats: FakeAts) -> None:
    send_callback(http_client, put_request(f"{ats.url}/a b\r\nX-More: č"), b"{}", {})
    assert ats.received[0].path == "/a%20b%0D%0AX-More:%20%C4%8D"
    assert "X-More" not in ats.received[0].headers


def test_error_names_neither_address_nor_token(receiver: ScriptedReceiver) -> None:
    http_client = HttpClient(allow_private=False)
    for url in (receiver.url, "ftp://a/secret", "http://[", "https://secret.invalid:8443/x"):
        message = failure_message(http_client, url)
        assert message.startswith("The address ")
        assert not any(word in message for word in ("127.0.0.1", "secret", "cb-token"))


def test_hanging_name_server_costs_the_deadline_and_one_thread(
    http_client: HttpClient, short_deadline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    test_ended = threading.Event()

    def hang(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        test_ended.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for _ in range(3):
        assert failure_message(http_client, "http://hangs.test/") == TIMEOUT_ERROR
    assert asked == ["hangs.test"]
    lookups = [thread for thread in threading.enumerate() if thread.name == "resolve"]
    assert lookups
    assert all(thread.daemon for thread in lookups)  # or a server could not stop
    test_ended.set()


@pytest.fixture
def unresponsive_address(receiver: ScriptedReceiver) -> Iterator[str]:
    """An address that neither accepts nor refuses a connection: its queue is full."""
    with socket.create_server(("127.0.0.2", receiver.port), backlog=0), socket.socket() as first:
        first.connect(("127.0.0.2", receiver.port))
        yield "127.0.0.2"


def test_unresponsive_address_leaves_time_for_the_next(
    http_client: HttpClient,
    receiver: ScriptedReceiver,
    monkeypatch: pytest.MonkeyPatch,
    unresponsive_address: str,
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    receiver.add_behaviours(receiver.respond_with(b"HTTP/1.1 204 Fine\r\n\r\n"))
    fake_resolver(lambda: [unresponsive_address, "127.0.0.1"])
    # The first address takes half of the time; a busy machine answers within the other half.
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", 2.0)
    assert (
        send_within_deadline(http_client, f"http://two.test:{receiver.port}/x").status_code == 204
    )
    fake_resolver(lambda: ["127.0.0.3", unresponsive_address])
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", SHORT_DEADLINE_SECONDS)
    started_at = time.monotonic()
    assert failure_message(http_client, f"http://other.test:{receiver.port}/x") == TIMEOUT_ERROR
    assert time.monotonic() - started_at > SHORT_DEADLINE_SECONDS * 0.9


def test_send_without_time_left_sends_nothing(
    http_client: HttpClient, receiver: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 204 Fine\r\n\r\n", then=receiver.keep_open)
    )
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", 0)
    assert failure_message(http_client, receiver.url) == TIMEOUT_ERROR


def test_send_to_closed_port_gives_error(http_client: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert failure_message(http_client, f"http://127.0.0.1:{port}/") == UNREACHABLE_ERROR
