"""What receivers may do to a courier: whatever it is, the hand is free in time."""

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

from provider.ats import CallbackRequest
from provider.ats.base import parse_retry_after
from provider.delivery.http import client as exchange_room
from provider.delivery.http.client import Exchange, Unreached
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


def test_a_request_arrives_as_it_was_given(http_client: Exchange, ats: FakeAts) -> None:
    answer = http_client.send(put_request(f"{ats.url}/a/1?b=2#c"), b'{"a": 1}', {"X-One": "1"})
    assert (answer.status_code, json.loads(answer.body)) == (200, {})
    assert answer.headers["content-length"] == "2"
    (came,) = ats.received
    assert (came.method, came.path, came.json) == ("PUT", "/a/1?b=2", {"a": 1})
    assert came.headers == {
        "Host": ats.url.removeprefix("http://"),
        "Accept-Encoding": "identity",
        "Authorization": "Bearer cb-token",
        "X-One": "1",
        "Content-Length": "8",
    }


def test_a_receiver_that_says_nothing_is_left_at_the_deadline(
    http_client: Exchange, receiver: ScriptedReceiver, short_deadline: None
) -> None:
    receiver.add_behaviours(receiver.keep_open)
    assert failure_message(http_client, receiver.url) == TIMEOUT_ERROR


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"),
        (b"HTTP/1.1 2", b"0"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_dripping_headers_end_at_the_deadline_of_the_whole(
    http_client: Exchange,
    receiver: ScriptedReceiver,
    short_deadline: None,
    beginning: bytes,
    drop: bytes,
) -> None:
    receiver.add_behaviours(receiver.respond_slowly(beginning, drop))
    assert failure_message(http_client, receiver.url) in (TIMEOUT_ERROR, INVALID_HTTP_ERROR)


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100000", b"X-Length: none", b"Transfer-Encoding: chunked"]
)
def test_a_dripping_body_ends_at_the_deadline_and_the_status_counts(
    http_client: Exchange, receiver: ScriptedReceiver, short_deadline: None, head: bytes
) -> None:
    receiver.add_behaviours(
        receiver.respond_slowly(b"HTTP/1.1 202 Accepted\r\n%b\r\n\r\n" % head, b"1")
    )
    assert send_within_deadline(http_client, receiver.url).status_code == 202


def test_a_receiver_that_does_not_read_is_left_at_the_deadline(
    http_client: Exchange, receiver: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 204 Fine\r\n\r\n", then=receiver.keep_open)
    )
    send_within_deadline(http_client, receiver.url)
    monkeypatch.setattr(exchange_room, "DEADLINE", SHORT_DEADLINE_SECONDS)
    began = time.monotonic()
    with pytest.raises(Unreached, match=TIMEOUT_ERROR):
        http_client.send(put_request(receiver.url), b"x" * 50_000_000, {})
    assert time.monotonic() - began < SHORT_DEADLINE_SECONDS + 1


@contextmanager
def taking_less_than_50_mb() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_of_an_answer_of_a_gigabyte_little_is_read(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    sent: list[int] = []

    def flood(sock: socket.socket) -> None:
        part = b"x" * 65536
        for _ in range(2**30 // len(part)):
            sock.sendall(part)
            sent.append(len(part))

    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"
    receiver.add_behaviours(receiver.respond_with(head, then=flood))
    with taking_less_than_50_mb():
        answer = send_within_deadline(http_client, receiver.url)
    assert (answer.status_code, answer.body) == (200, "x" * 2048)
    receiver.close()
    assert sum(sent) < 50_000_000  # what the buffers of both sides hold


def test_a_packed_answer_is_unpacked_to_what_is_kept(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    head = b"HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    said = zlib.compress(b"deflated", wbits=15)
    deflated = b"HTTP/1.1 500 Oh\r\nContent-Encoding: DEFLATE\r\nContent-Length: %d\r\n\r\n%b" % (
        len(said),
        said,
    )
    torn = b"HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    receiver.add_behaviours(receiver.respond_with(head + bomb, deflated, torn))
    with taking_less_than_50_mb():
        assert send_within_deadline(http_client, receiver.url).body == "0" * 2048
    assert send_within_deadline(http_client, receiver.url).body == "deflated"
    assert send_within_deadline(http_client, receiver.url).body == ""


def test_what_is_kept_of_an_answer_is_text_without_the_token(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    body = b'{"not": "Bearer cb-token"}\xff' + "é".encode() * 2000
    head = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body)
    receiver.add_behaviours(receiver.respond_with(head + body))
    kept = send_within_deadline(http_client, receiver.url).body
    assert kept.startswith('{"not": "Bearer ********"}\N{REPLACEMENT CHARACTER}éé')
    assert len(kept.encode()) == 2047  # what would be half a letter is left out


@pytest.mark.parametrize(
    "body", [b"x" * 2041 + b"cb-token" * 9, b"cb-token" * 511 + b"xcb-token", b"cb-token" * 999]
)
def test_no_part_of_a_token_is_kept_wherever_it_stands(
    http_client: Exchange, receiver: ScriptedReceiver, body: bytes
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    )
    kept = send_within_deadline(http_client, receiver.url).body
    assert len(kept) == 2048
    assert "c" not in kept


@pytest.mark.parametrize("before", ["", "x" * 2020])
def test_no_token_of_ours_is_kept_of_an_answer_that_repeats_what_it_was_told(
    http_client: Exchange, receiver: ScriptedReceiver, before: str
) -> None:
    token = secrets.generate_token()
    address = f"https://provider.test/r/{token}"
    said = f'{before}{{"results_url": "{address}", "no": "\x1b[1m{token}"}}'.encode()
    head = b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n" % len(said)
    receiver.add_behaviours(receiver.respond_with(head + said))
    kept = send_within_deadline(http_client, receiver.url).body
    assert token[:5] not in kept
    assert kept == said.decode().replace(token, "*" * len(token))[:2048]


def test_without_a_token_all_of_it_is_kept(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    )
    assert http_client.send(CallbackRequest("PUT", receiver.url), b"{}", {}).body == "ok"


def reset(sock: socket.socket) -> None:
    """Close so that the other side is reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_reset_after_accepting_the_connection_is_told(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(reset)
    assert failure_message(http_client, receiver.url) in (NO_RESPONSE_ERROR, UNREACHABLE_ERROR)


def test_a_reset_instead_of_an_answer_is_told(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(receiver.respond_with(b"", then=reset))
    assert failure_message(http_client, receiver.url) == NO_RESPONSE_ERROR
    assert len(receiver.requests) == 1


def test_a_reset_after_the_headers_leaves_the_status(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nhal"
    receiver.add_behaviours(receiver.respond_with(head, then=reset))
    assert send_within_deadline(http_client, receiver.url).status_code == 201


def test_a_refusal_before_all_was_read_is_an_answer(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"HTTP/1.1 413 Too much\r\nConnection: close\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            """Lets the answer arrive before it hangs up."""

    receiver.add_behaviours(refuse)
    answer = http_client.send(put_request(receiver.url), b"x" * 5_000_000, {})
    assert answer.status_code == 413


@pytest.mark.parametrize("ends", [False, True], ids=["reset", "broken pipe"])
def test_a_refusal_that_breaks_off_the_sending_is_an_answer(
    http_client: Exchange, receiver: ScriptedReceiver, ends: bool
) -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"HTTP/1.1 413 Too much\r\nConnection: close\r\n\r\n")
        if ends:
            sock.shutdown(socket.SHUT_WR)
        reset(sock)

    receiver.add_behaviours(refuse)
    answer = http_client.send(put_request(receiver.url), b"x" * 20_000_000, {})
    assert answer.status_code == 413


def test_a_redirect_is_an_answer_and_its_cookie_is_forgotten(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    answer = (
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    receiver.add_behaviours(receiver.respond_with(answer, answer))
    assert [send_within_deadline(http_client, receiver.url).status_code for _ in range(2)] == [
        302,
        302,
    ]
    assert all(one.startswith(b"PUT /x ") for one in receiver.requests)
    assert b"ookie" not in b"".join(receiver.requests)


@pytest.mark.parametrize("wait", [b"soon", b"-1", b"9" * 400, b"\xb2", b"Mon, 99 Foo 2026", b""])
def test_a_retry_after_that_cannot_be_read_is_passed_on_and_harms_nothing(
    http_client: Exchange, receiver: ScriptedReceiver, wait: bytes
) -> None:
    head = b"HTTP/1.1 503 Later\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % wait
    receiver.add_behaviours(receiver.respond_with(head))
    answer = send_within_deadline(http_client, receiver.url)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == wait.decode("latin-1")
    waits = parse_retry_after(answer.headers, AT)
    assert waits is None or timedelta(0) <= waits <= timedelta(hours=24)


def test_headers_that_cannot_be_read_are_left_out(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\n folded onto nothing\r\nno colon\r\n: no name\r\n\xff\x00: y\r\n"
        b"Retry-After: 1\r\nX-Two: a\r\nx-two: b\r\n\tand c\r\nContent-Length: 0\r\n\r\n"
    )
    receiver.add_behaviours(receiver.respond_with(head))
    answer = send_within_deadline(http_client, receiver.url)
    assert (answer.status_code, answer.headers["retry-after"]) == (200, "1")
    assert answer.headers["x-two"] == "a, b and c"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"<html>\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"\x00" * 100,
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 2000 High\r\n\r\n",
    ],
)
def test_an_answer_that_is_not_http_is_told_at_once(
    http_client: Exchange, receiver: ScriptedReceiver, answer: bytes
) -> None:
    receiver.add_behaviours(receiver.respond_with(answer, then=receiver.keep_open))
    assert failure_message(http_client, receiver.url) == INVALID_HTTP_ERROR


def test_headers_without_end_are_not_read_to_the_end(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    def flood(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"x" * 65536)

    receiver.add_behaviours(receiver.respond_with(b"HTTP/1.1 200 OK\r\nX-Big: ", then=flood))
    assert (
        failure_message(http_client, receiver.url) == "The receiver's answer has too many headers"
    )


def test_a_header_of_fifty_kilobytes_is_read(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Big: %b\r\nContent-Length: 0\r\n\r\n" % (b"x" * 50_000)
    receiver.add_behaviours(receiver.respond_with(head))
    assert len(send_within_deadline(http_client, receiver.url).headers["x-big"]) == 50_000


def test_neither_proxy_variables_nor_a_netrc_are_looked_at(
    http_client: Exchange, ats: FakeAts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert http_client.send(CallbackRequest("PUT", f"{ats.url}/x"), b"{}", {}).status_code == 200
    assert "Authorization" not in ats.received[0].headers


@pytest.mark.parametrize("value", ["a\r\nX-More: b", "a\nb", "a\rb", "a\0b", "č"])
def test_a_header_that_would_be_two_is_not_sent(
    http_client: Exchange, ats: FakeAts, value: str
) -> None:
    with pytest.raises(Unreached, match="holds a sign that cannot be sent"):
        http_client.send(CallbackRequest("PUT", ats.url, {"Authorization": value}), b"{}", {})
    assert ats.received == []


def test_a_line_break_in_an_address_stays_one_address(http_client: Exchange, ats: FakeAts) -> None:
    http_client.send(put_request(f"{ats.url}/a b\r\nX-More: č"), b"{}", {})
    assert ats.received[0].path == "/a%20b%0D%0AX-More:%20%C4%8D"
    assert "X-More" not in ats.received[0].headers


def test_what_went_wrong_is_told_without_address_and_token(receiver: ScriptedReceiver) -> None:
    http_client = Exchange(private=False)
    for url in (receiver.url, "ftp://a/secret", "http://[", "https://secret.invalid:8443/x"):
        told = failure_message(http_client, url)
        assert told.startswith("The callback's address ")
        assert not any(word in told for word in ("127.0.0.1", "secret", "cb-token"))


def test_a_name_server_that_hangs_costs_the_deadline_and_one_thread(
    http_client: Exchange, short_deadline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    over = threading.Event()

    def hang(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for _ in range(3):
        assert failure_message(http_client, "http://hangs.test/") == TIMEOUT_ERROR
    assert asked == ["hangs.test"]
    looking = [one.daemon for one in threading.enumerate() if one.name == "resolve"]
    assert looking
    assert all(looking)  # it keeps no server from ending
    over.set()


@pytest.fixture
def hole(receiver: ScriptedReceiver) -> Iterator[str]:
    """An address that takes no connection and refuses none: its queue is full."""
    with socket.create_server(("127.0.0.2", receiver.port), backlog=0), socket.socket() as first:
        first.connect(("127.0.0.2", receiver.port))
        yield "127.0.0.2"


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    http_client: Exchange,
    receiver: ScriptedReceiver,
    short_deadline: None,
    hole: str,
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    receiver.add_behaviours(receiver.respond_with(b"HTTP/1.1 204 Fine\r\n\r\n"))
    fake_resolver(lambda: [hole, "127.0.0.1"])
    assert (
        send_within_deadline(http_client, f"http://two.test:{receiver.port}/x").status_code == 204
    )
    fake_resolver(lambda: ["127.0.0.3", hole])
    began = time.monotonic()
    assert failure_message(http_client, f"http://other.test:{receiver.port}/x") == TIMEOUT_ERROR
    assert time.monotonic() - began > SHORT_DEADLINE_SECONDS * 0.9


def test_when_the_time_is_over_nothing_more_is_sent(
    http_client: Exchange, receiver: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 204 Fine\r\n\r\n", then=receiver.keep_open)
    )
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    monkeypatch.setattr(exchange_room, "DEADLINE", 0)
    assert failure_message(http_client, receiver.url) == TIMEOUT_ERROR


def test_nobody_there_is_told(http_client: Exchange) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert failure_message(http_client, f"http://127.0.0.1:{port}/") == UNREACHABLE_ERROR
