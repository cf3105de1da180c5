"""Connections that are kept: which are used again, how many, and for how long."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from provider.delivery.http import client as exchange_room
from provider.delivery.http.client import Exchange
from tests.delivery.receivers import (
    NO_RESPONSE_ERROR,
    UNREACHABLE_ERROR,
    ResolvedAddresses,
    ScriptedReceiver,
    failure_message,
    send_within_deadline,
)

FINE = b"HTTP/1.1 204 No Content\r\n\r\n"


def test_requests_that_follow_each_other_share_a_connection(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nyes\r\n0\r\nT: 1\r\n\r\n"
    )
    answers = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        chunked,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 \r\n\r\n",
        b"HTTP/1.1 200\nContent-Length:1\n\nx",
    )
    receiver.add_behaviours(
        receiver.respond_with(*answers), lambda _: pytest.fail("a second connection")
    )
    said = [send_within_deadline(http_client, receiver.url) for _ in answers]
    assert [(one.status_code, one.body) for one in said] == [
        (200, "{}"),
        (200, "yes"),
        (204, ""),
        (204, ""),
        (200, "x"),
    ]
    assert len(receiver.requests) == 5


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Not asked for\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n-1\r\n",
    ],
)
def test_an_answer_counts_and_its_connection_is_not_used_again(
    http_client: Exchange, receiver: ScriptedReceiver, answer: bytes
) -> None:
    receiver.add_behaviours(receiver.respond_with(answer))
    for _ in range(2):
        said = send_within_deadline(http_client, receiver.url)
        assert (said.status_code, said.body.removesuffix("HTTP/1.1 500 Not asked for\r\n\r\n")) == (
            200,
            "ok",
        )
    assert len(receiver.requests) == 2


def test_a_kept_connection_that_was_closed_meanwhile_costs_no_attempt(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    fine = b"HTTP/1.1 204 No Content\r\n\r\n"
    receiver.add_behaviours(receiver.respond_with(fine, b""), receiver.respond_with(fine))
    assert [send_within_deadline(http_client, receiver.url).status_code for _ in range(2)] == [
        204,
        204,
    ]
    # The second came twice, for nobody can know whether the first of them was taken.
    assert len(receiver.requests) == 3
    assert len(set(receiver.requests)) == 1


def test_a_kept_connection_that_breaks_off_in_an_answer_is_one_attempt(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(receiver.respond_with(FINE, b"HTTP/1.1 2"))
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    assert failure_message(http_client, receiver.url) == NO_RESPONSE_ERROR
    assert len(receiver.requests) == 2


def test_what_comes_unasked_over_a_kept_connection_is_nobodys_answer(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    kept, came = threading.Event(), threading.Event()

    def talk(sock: socket.socket) -> None:
        kept.wait(10)
        sock.sendall(b"HTTP/1.1 500 Not asked for\r\nContent-Length: 0\r\n\r\n")
        came.set()
        receiver.keep_open(sock)

    receiver.add_behaviours(receiver.respond_with(FINE, then=talk), receiver.respond_with(FINE))
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    kept.set()
    assert came.wait(10)
    assert send_within_deadline(http_client, receiver.url).status_code == 204


def test_a_new_connection_that_is_closed_without_an_answer_is_one_attempt(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(receiver.respond_with(b""))
    assert failure_message(http_client, receiver.url) == NO_RESPONSE_ERROR
    assert len(receiver.requests) == 1


def test_idle_connections_are_bounded_per_host_and_closed_with_the_exchange(
    receiver: ScriptedReceiver,
) -> None:
    http_client = Exchange(private=True, most=2)
    together, closed = threading.Barrier(6), threading.Semaphore(0)

    def play(sock: socket.socket) -> None:
        receiver.read_request(sock)
        together.wait(10)
        sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert sock.recv(1) == b""
        closed.release()

    receiver.add_behaviours(play)
    senders = [
        threading.Thread(target=send_within_deadline, args=(http_client, receiver.url))
        for _ in range(6)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert [closed.acquire(timeout=10) for _ in range(4)] == [True] * 4
    assert not closed.acquire(blocking=False)
    http_client.close()
    assert [closed.acquire(timeout=10) for _ in range(2)] == [True] * 2


def test_a_forgotten_exchange_hangs_up(receiver: ScriptedReceiver) -> None:
    closed = threading.Event()

    def play(sock: socket.socket) -> None:
        receiver.read_request(sock)
        sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert sock.recv(1) == b""
        closed.set()

    receiver.add_behaviours(play)
    send_within_deadline(Exchange(private=True), receiver.url)
    assert closed.wait(10)


def test_a_connection_that_was_idle_for_long_is_not_trusted(
    http_client: Exchange, receiver: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.add_behaviours(receiver.respond_with(FINE, then=receiver.keep_open))
    monkeypatch.setattr(exchange_room, "IDLE", 0)
    assert [send_within_deadline(http_client, receiver.url).status_code for _ in range(2)] == [
        204,
        204,
    ]


class Watched:
    """Answers all that comes over each connection, and knows which of them were closed."""

    def __init__(self, receiver: ScriptedReceiver) -> None:
        self.closed: list[threading.Event] = []
        self.together = threading.Barrier(1)
        self._receiver = receiver
        self.hosts = [receiver.url.replace("127.0.0.1", name) for name in ("127.0.0.1", "a.test")]
        receiver.add_behaviours(self._play)

    def _play(self, sock: socket.socket) -> None:
        closed = threading.Event()
        self.closed.append(closed)
        while self._receiver.read_request(sock):
            self.together.wait(10)
            sock.sendall(FINE)
        closed.set()


@pytest.fixture
def watched(
    http_client: Exchange,
    receiver: ScriptedReceiver,
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> Iterator[Watched]:
    fake_resolver(lambda: ["127.0.0.1"])
    yield Watched(receiver)
    http_client.close()


def test_over_all_hosts_the_one_that_was_used_longest_ago_makes_room(
    http_client: Exchange, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_room, "MOST_IDLE", 1)
    one, other = watched.hosts
    for url in (one, one, one, other):
        send_within_deadline(http_client, url)
    first, last = watched.closed
    assert first.wait(10)
    assert not last.is_set()
    http_client.close()
    assert last.wait(10)


def test_who_is_used_again_is_not_the_one_that_makes_room(
    http_client: Exchange, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_room, "MOST_IDLE", 2)
    one, other = watched.hosts
    for url in (one, other, one, one.replace("127.0.0.1", "b.test"), one):
        send_within_deadline(http_client, url)
    assert watched.closed[1].wait(10)
    assert [each.is_set() for each in watched.closed] == [False, True, False]


def test_a_host_was_used_when_any_of_its_connections_was(
    http_client: Exchange, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_room, "MOST_IDLE", 3)
    one, other = watched.hosts
    watched.together = threading.Barrier(2)
    twice = [
        threading.Thread(target=send_within_deadline, args=(http_client, one)) for _ in range(2)
    ]
    for sender in twice:
        sender.start()
    for sender in twice:
        sender.join()
    watched.together = threading.Barrier(1)
    for url in (other, one, one.replace("127.0.0.1", "b.test")):
        send_within_deadline(http_client, url)
    assert watched.closed[2].wait(10)
    assert [each.is_set() for each in watched.closed] == [False, False, True, False]


def test_a_host_that_is_gone_takes_no_room(
    http_client: Exchange, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_room, "MOST_IDLE", 1)
    gone = ScriptedReceiver()
    gone.add_behaviours(gone.respond_with(FINE))
    send_within_deadline(http_client, gone.url)
    gone.close()
    assert failure_message(http_client, gone.url) == UNREACHABLE_ERROR
    for url in watched.hosts:
        send_within_deadline(http_client, url)
    assert watched.closed[0].wait(10)


def test_what_comes_back_after_the_end_is_closed(
    http_client: Exchange, receiver: ScriptedReceiver
) -> None:
    closed = threading.Event()

    def play(sock: socket.socket) -> None:
        receiver.read_request(sock)
        http_client.close()
        sock.sendall(FINE)
        assert sock.recv(1) == b""
        closed.set()

    receiver.add_behaviours(play)
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    assert closed.wait(10)
