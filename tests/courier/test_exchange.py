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

from provider import vault
from provider.ats import Request
from provider.ats.dialect import retry_after
from provider.courier import exchange as exchange_room
from provider.courier.exchange import Exchange, Unreached
from tests.courier.receivers import (
    LATE,
    NOT_HTTP,
    SHORT,
    SILENT,
    UNREACHED,
    Answers,
    Receiver,
    put,
    send,
    why,
)
from tests.fake_ats import FakeAts

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


def test_a_request_arrives_as_it_was_given(exchange: Exchange, ats: FakeAts) -> None:
    answer = exchange.send(put(f"{ats.url}/a/1?b=2#c"), b'{"a": 1}', {"X-One": "1"})
    assert (answer.code, json.loads(answer.body)) == (200, {})
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
    exchange: Exchange, receiver: Receiver, short: None
) -> None:
    receiver.does(receiver.hold)
    assert why(exchange, receiver.url) == LATE


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"", b"H"), (b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"), (b"HTTP/1.1 2", b"0"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)  # fmt: skip
def test_dripping_headers_end_at_the_deadline_of_the_whole(
    exchange: Exchange, receiver: Receiver, short: None, beginning: bytes, drop: bytes
) -> None:
    receiver.does(receiver.drips(beginning, drop))
    assert why(exchange, receiver.url) in (LATE, NOT_HTTP)


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100000", b"X-Length: none", b"Transfer-Encoding: chunked"]
)
def test_a_dripping_body_ends_at_the_deadline_and_the_status_counts(
    exchange: Exchange, receiver: Receiver, short: None, head: bytes
) -> None:
    receiver.does(receiver.drips(b"HTTP/1.1 202 Accepted\r\n%b\r\n\r\n" % head, b"1"))
    assert send(exchange, receiver.url).code == 202


def test_a_receiver_that_does_not_read_is_left_at_the_deadline(
    exchange: Exchange, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.does(receiver.says(b"HTTP/1.1 204 Fine\r\n\r\n", then=receiver.hold))
    send(exchange, receiver.url)
    monkeypatch.setattr(exchange_room, "DEADLINE", SHORT)
    began = time.monotonic()
    with pytest.raises(Unreached, match=LATE):
        exchange.send(put(receiver.url), b"x" * 50_000_000, {})
    assert time.monotonic() - began < SHORT + 1


@contextmanager
def taking_less_than_50_mb() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_of_an_answer_of_a_gigabyte_little_is_read(exchange: Exchange, receiver: Receiver) -> None:
    sent: list[int] = []

    def flood(sock: socket.socket) -> None:
        part = b"x" * 65536
        for _ in range(2**30 // len(part)):
            sock.sendall(part)
            sent.append(len(part))

    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"
    receiver.does(receiver.says(head, then=flood))
    with taking_less_than_50_mb():
        answer = send(exchange, receiver.url)
    assert (answer.code, answer.body) == (200, "x" * 2048)
    receiver.close()
    assert sum(sent) < 50_000_000  # what the buffers of both sides hold


def test_a_packed_answer_is_unpacked_to_what_is_kept(
    exchange: Exchange, receiver: Receiver
) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    head = b"HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    said = zlib.compress(b"deflated", wbits=15)
    deflated = b"HTTP/1.1 500 Oh\r\nContent-Encoding: DEFLATE\r\nContent-Length: %d\r\n\r\n%b" % (
        len(said),
        said,
    )
    torn = b"HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    receiver.does(receiver.says(head + bomb, deflated, torn))
    with taking_less_than_50_mb():
        assert send(exchange, receiver.url).body == "0" * 2048
    assert send(exchange, receiver.url).body == "deflated"
    assert send(exchange, receiver.url).body == ""


def test_what_is_kept_of_an_answer_is_text_without_the_token(
    exchange: Exchange, receiver: Receiver
) -> None:
    body = b'{"not": "Bearer cb-token"}\xff' + "é".encode() * 2000
    head = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body)
    receiver.does(receiver.says(head + body))
    kept = send(exchange, receiver.url).body
    assert kept.startswith('{"not": "Bearer ********"}\N{REPLACEMENT CHARACTER}éé')
    assert len(kept.encode()) == 2047  # what would be half a letter is left out


@pytest.mark.parametrize(
    "body", [b"x" * 2041 + b"cb-token" * 9, b"cb-token" * 511 + b"xcb-token", b"cb-token" * 999]
)
def test_no_part_of_a_token_is_kept_wherever_it_stands(
    exchange: Exchange, receiver: Receiver, body: bytes
) -> None:
    receiver.does(
        receiver.says(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    )
    kept = send(exchange, receiver.url).body
    assert len(kept) == 2048
    assert "c" not in kept


@pytest.mark.parametrize("before", ["", "x" * 2020])
def test_no_token_of_ours_is_kept_of_an_answer_that_repeats_what_it_was_told(
    exchange: Exchange, receiver: Receiver, before: str
) -> None:
    token = vault.token()
    address = f"https://provider.test/r/{token}"
    said = f'{before}{{"results_url": "{address}", "no": "\x1b[1m{token}"}}'.encode()
    head = b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n" % len(said)
    receiver.does(receiver.says(head + said))
    kept = send(exchange, receiver.url).body
    assert token[:5] not in kept
    assert kept == said.decode().replace(token, "*" * len(token))[:2048]


def test_without_a_token_all_of_it_is_kept(exchange: Exchange, receiver: Receiver) -> None:
    receiver.does(receiver.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    assert exchange.send(Request("PUT", receiver.url), b"{}", {}).body == "ok"


def reset(sock: socket.socket) -> None:
    """Close so that the other side is reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_reset_after_accepting_the_connection_is_told(
    exchange: Exchange, receiver: Receiver
) -> None:
    receiver.does(reset)
    assert why(exchange, receiver.url) in (SILENT, UNREACHED)


def test_a_reset_instead_of_an_answer_is_told(exchange: Exchange, receiver: Receiver) -> None:
    receiver.does(receiver.says(b"", then=reset))
    assert why(exchange, receiver.url) == SILENT
    assert len(receiver.requests) == 1


def test_a_reset_after_the_headers_leaves_the_status(
    exchange: Exchange, receiver: Receiver
) -> None:
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nhal"
    receiver.does(receiver.says(head, then=reset))
    assert send(exchange, receiver.url).code == 201


def test_a_refusal_before_all_was_read_is_an_answer(exchange: Exchange, receiver: Receiver) -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"HTTP/1.1 413 Too much\r\nConnection: close\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            """Lets the answer arrive before it hangs up."""

    receiver.does(refuse)
    answer = exchange.send(put(receiver.url), b"x" * 5_000_000, {})
    assert answer.code == 413


@pytest.mark.parametrize("ends", [False, True], ids=["reset", "broken pipe"])
def test_a_refusal_that_breaks_off_the_sending_is_an_answer(
    exchange: Exchange, receiver: Receiver, ends: bool
) -> None:
    def refuse(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"HTTP/1.1 413 Too much\r\nConnection: close\r\n\r\n")
        if ends:
            sock.shutdown(socket.SHUT_WR)
        reset(sock)

    receiver.does(refuse)
    answer = exchange.send(put(receiver.url), b"x" * 20_000_000, {})
    assert answer.code == 413


def test_a_redirect_is_an_answer_and_its_cookie_is_forgotten(
    exchange: Exchange, receiver: Receiver
) -> None:
    answer = (
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    receiver.does(receiver.says(answer, answer))
    assert [send(exchange, receiver.url).code for _ in range(2)] == [302, 302]
    assert all(one.startswith(b"PUT /x ") for one in receiver.requests)
    assert b"ookie" not in b"".join(receiver.requests)


@pytest.mark.parametrize("wait", [b"soon", b"-1", b"9" * 400, b"\xb2", b"Mon, 99 Foo 2026", b""])
def test_a_retry_after_that_cannot_be_read_is_passed_on_and_harms_nothing(
    exchange: Exchange, receiver: Receiver, wait: bytes
) -> None:
    head = b"HTTP/1.1 503 Later\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % wait
    receiver.does(receiver.says(head))
    answer = send(exchange, receiver.url)
    assert answer.code == 503
    assert answer.headers["retry-after"] == wait.decode("latin-1")
    waits = retry_after(answer.headers, AT)
    assert waits is None or timedelta(0) <= waits <= timedelta(hours=24)


def test_headers_that_cannot_be_read_are_left_out(exchange: Exchange, receiver: Receiver) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\n folded onto nothing\r\nno colon\r\n: no name\r\n\xff\x00: y\r\n"
        b"Retry-After: 1\r\nX-Two: a\r\nx-two: b\r\n\tand c\r\nContent-Length: 0\r\n\r\n"
    )
    receiver.does(receiver.says(head))
    answer = send(exchange, receiver.url)
    assert (answer.code, answer.headers["retry-after"]) == (200, "1")
    assert answer.headers["x-two"] == "a, b and c"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n", b"<html>\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n", b"\x00" * 100,
        b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 099 Low\r\n\r\n", b"HTTP/1.1 2000 High\r\n\r\n",
    ],
)  # fmt: skip
def test_an_answer_that_is_not_http_is_told_at_once(
    exchange: Exchange, receiver: Receiver, answer: bytes
) -> None:
    receiver.does(receiver.says(answer, then=receiver.hold))
    assert why(exchange, receiver.url) == NOT_HTTP


def test_headers_without_end_are_not_read_to_the_end(
    exchange: Exchange, receiver: Receiver
) -> None:
    def flood(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"x" * 65536)

    receiver.does(receiver.says(b"HTTP/1.1 200 OK\r\nX-Big: ", then=flood))
    assert why(exchange, receiver.url) == "The receiver's answer has too many headers"


def test_a_header_of_fifty_kilobytes_is_read(exchange: Exchange, receiver: Receiver) -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Big: %b\r\nContent-Length: 0\r\n\r\n" % (b"x" * 50_000)
    receiver.does(receiver.says(head))
    assert len(send(exchange, receiver.url).headers["x-big"]) == 50_000


def test_neither_proxy_variables_nor_a_netrc_are_looked_at(
    exchange: Exchange, ats: FakeAts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert exchange.send(Request("PUT", f"{ats.url}/x"), b"{}", {}).code == 200
    assert "Authorization" not in ats.received[0].headers


@pytest.mark.parametrize("value", ["a\r\nX-More: b", "a\nb", "a\rb", "a\0b", "č"])
def test_a_header_that_would_be_two_is_not_sent(
    exchange: Exchange, ats: FakeAts, value: str
) -> None:
    with pytest.raises(Unreached, match="holds a sign that cannot be sent"):
        exchange.send(Request("PUT", ats.url, {"Authorization": value}), b"{}", {})
    assert ats.received == []


def test_a_line_break_in_an_address_stays_one_address(exchange: Exchange, ats: FakeAts) -> None:
    exchange.send(put(f"{ats.url}/a b\r\nX-More: č"), b"{}", {})
    assert ats.received[0].path == "/a%20b%0D%0AX-More:%20%C4%8D"
    assert "X-More" not in ats.received[0].headers


def test_what_went_wrong_is_told_without_address_and_token(receiver: Receiver) -> None:
    exchange = Exchange(private=False)
    for url in (receiver.url, "ftp://a/secret", "http://[", "https://secret.invalid:8443/x"):
        told = why(exchange, url)
        assert told.startswith("The callback's address ")
        assert not any(word in told for word in ("127.0.0.1", "secret", "cb-token"))


def test_a_name_server_that_hangs_costs_the_deadline_and_one_thread(
    exchange: Exchange, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    over = threading.Event()

    def hang(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for _ in range(3):
        assert why(exchange, "http://hangs.test/") == LATE
    assert asked == ["hangs.test"]
    looking = [one.daemon for one in threading.enumerate() if one.name == "resolve"]
    assert looking
    assert all(looking)  # it keeps no server from ending
    over.set()


@pytest.fixture
def hole(receiver: Receiver) -> Iterator[str]:
    """An address that takes no connection and refuses none: its queue is full."""
    with socket.create_server(("127.0.0.2", receiver.port), backlog=0), socket.socket() as first:
        first.connect(("127.0.0.2", receiver.port))
        yield "127.0.0.2"


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    exchange: Exchange,
    receiver: Receiver,
    short: None,
    hole: str,
    resolve: Callable[[Answers], list[str]],
) -> None:
    receiver.does(receiver.says(b"HTTP/1.1 204 Fine\r\n\r\n"))
    resolve(lambda: [hole, "127.0.0.1"])
    assert send(exchange, f"http://two.test:{receiver.port}/x").code == 204
    resolve(lambda: ["127.0.0.3", hole])
    began = time.monotonic()
    assert why(exchange, f"http://other.test:{receiver.port}/x") == LATE
    assert time.monotonic() - began > SHORT * 0.9


def test_when_the_time_is_over_nothing_more_is_sent(
    exchange: Exchange, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.does(receiver.says(b"HTTP/1.1 204 Fine\r\n\r\n", then=receiver.hold))
    assert send(exchange, receiver.url).code == 204
    monkeypatch.setattr(exchange_room, "DEADLINE", 0)
    assert why(exchange, receiver.url) == LATE


def test_nobody_there_is_told(exchange: Exchange) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert why(exchange, f"http://127.0.0.1:{port}/") == UNREACHED
