"""Kept connections: which are used again, how many there are, and for how long."""

import socket
import threading
from collections.abc import Callable

import pytest

from provider.delivery.http import curl_handle
from provider.delivery.http.client import HttpClient, RequestFailed
from tests.delivery.receivers import (
    NO_RESPONSE_ERROR,
    UNREACHABLE_ERROR,
    ResolvedAddresses,
    ScriptedReceiver,
    failure_message,
    send_within_deadline,
)

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def test_consecutive_requests_share_a_connection(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nyes\r\n0\r\nT: 1\r\n\r\n"
    )
    replies = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        chunked,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 \r\n\r\n",
        b"HTTP/1.1 200\nContent-Length:1\n\nx",
    )
    receiver.add_behaviours(
        receiver.respond_with(*replies), lambda _: pytest.fail("a second connection")
    )
    responses = [send_within_deadline(http_client, receiver.url) for _ in replies]
    assert [(response.status_code, response.body) for response in responses] == [
        (200, "{}"),
        (200, "yes"),
        (204, ""),
        (204, ""),
        (200, "x"),
    ]
    assert len(receiver.requests) == 5


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Not asked for\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n-1\r\n",
    ],
)
def test_response_without_clear_end_counts_and_ends_its_connection(
    http_client: HttpClient, receiver: ScriptedReceiver, reply: bytes
) -> None:
    receiver.add_behaviours(receiver.respond_with(reply))
    for _ in range(2):
        response = send_within_deadline(http_client, receiver.url)
        assert (response.status_code, response.body) == (200, "ok")
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("length", [b"-2", b"\xb2"])
def test_response_with_invalid_length_ends_its_connection(
    http_client: HttpClient, receiver: ScriptedReceiver, length: bytes
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\nok" % length)
    )
    for _ in range(2):
        assert send_within_deadline(http_client, receiver.url).status_code == 200
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 2"])
def test_closed_kept_connection_costs_no_attempt(
    http_client: HttpClient, receiver: ScriptedReceiver, reply: bytes
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(NO_CONTENT, reply), receiver.respond_with(NO_CONTENT)
    )
    for _ in range(2):
        assert send_within_deadline(http_client, receiver.url).status_code == 204
    # The second request arrives twice: the client cannot know that the first copy was ignored.
    assert len(receiver.requests) == 3
    assert len(set(receiver.requests)) == 1


def test_request_that_may_not_repeat_uses_a_new_connection_once(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(
        receiver.respond_with(NO_CONTENT, then=receiver.keep_open), receiver.respond_with(b"")
    )
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    with pytest.raises(RequestFailed, match=NO_RESPONSE_ERROR):
        http_client.send("POST", receiver.url, {}, b"{}", may_repeat=False)
    assert [request.split(b" ")[0] for request in receiver.requests] == [b"PUT", b"POST"]


def test_kept_connection_that_breaks_off_in_headers_gives_error(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(receiver.respond_with(NO_CONTENT, b"HTTP/1.1 200 OK\r\nX-"))
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    assert failure_message(http_client, receiver.url) == NO_RESPONSE_ERROR
    assert len(receiver.requests) == 2


def test_unrequested_response_on_kept_connection_is_ignored(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    is_idle, is_sent = threading.Event(), threading.Event()

    def send_unrequested(sock: socket.socket) -> None:
        is_idle.wait(10)
        sock.sendall(b"HTTP/1.1 500 Not asked for\r\nContent-Length: 0\r\n\r\n")
        is_sent.set()
        receiver.keep_open(sock)

    receiver.add_behaviours(
        receiver.respond_with(NO_CONTENT, then=send_unrequested), receiver.respond_with(NO_CONTENT)
    )
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    is_idle.set()
    assert is_sent.wait(10)
    assert send_within_deadline(http_client, receiver.url).status_code == 204


def test_new_connection_closed_without_response_gives_error_once(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    receiver.add_behaviours(receiver.respond_with(b""))
    assert failure_message(http_client, receiver.url) == NO_RESPONSE_ERROR
    assert len(receiver.requests) == 1


def test_idle_handles_are_bounded_and_closed_with_the_client(
    receiver: ScriptedReceiver,
) -> None:
    http_client = HttpClient(allow_private=True, max_idle_handles=2)
    barrier, closed = threading.Barrier(6), threading.Semaphore(0)

    def behave(sock: socket.socket) -> None:
        receiver.read_request(sock)
        barrier.wait(10)
        sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert sock.recv(1) == b""
        closed.release()

    receiver.add_behaviours(behave)
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


def test_garbage_collected_client_closes_its_connections(receiver: ScriptedReceiver) -> None:
    closed = threading.Event()

    def behave(sock: socket.socket) -> None:
        receiver.read_request(sock)
        sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert sock.recv(1) == b""
        closed.set()

    receiver.add_behaviours(behave)
    send_within_deadline(HttpClient(allow_private=True), receiver.url)
    assert closed.wait(10)


def test_connection_idle_for_long_is_not_used_again(
    receiver: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curl_handle, "MAX_IDLE_SECONDS", 1)
    http_client = HttpClient(allow_private=True)
    receiver.add_behaviours(receiver.respond_with(NO_CONTENT, then=receiver.keep_open))
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    threading.Event().wait(2.1)  # libcurl has the machine's clock, and counts whole seconds
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    http_client.close()


class CountedConnections:
    """A receiver's connections, and an event for each that is set when it is closed."""

    def __init__(self, receiver: ScriptedReceiver) -> None:
        self.closed: list[threading.Event] = []
        self.closings = threading.Semaphore(0)  # is released at each closing
        self.barrier = threading.Barrier(1)  # that each request waits for
        self.urls = [
            receiver.url.replace("127.0.0.1", host) for host in ("a.test", "b.test", "c.test")
        ]
        self._receiver = receiver
        receiver.add_behaviours(self._behave)

    def _behave(self, sock: socket.socket) -> None:
        closed = threading.Event()
        self.closed.append(closed)
        while self._receiver.read_request(sock):
            self.barrier.wait(10)
            sock.sendall(NO_CONTENT)
        closed.set()
        self.closings.release()


@pytest.fixture
def connections(
    receiver: ScriptedReceiver,
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> CountedConnections:
    """Connections of a client whose handles keep two each."""
    monkeypatch.setattr(curl_handle, "MAX_CONNECTIONS_PER_HANDLE", 2)
    fake_resolver(lambda: ["127.0.0.1"])
    return CountedConnections(receiver)


def test_full_handle_closes_a_connection(connections: CountedConnections) -> None:
    http_client = HttpClient(allow_private=True, max_idle_handles=1)
    for url in connections.urls:
        send_within_deadline(http_client, url)
    # All may have been used in the same millisecond, so libcurl may close any of them.
    assert connections.closings.acquire(timeout=10)
    assert [closed.is_set() for closed in connections.closed].count(True) == 1
    http_client.close()
    assert all(closed.wait(10) for closed in connections.closed)


def test_full_handle_makes_the_pool_create_another(connections: CountedConnections) -> None:
    http_client = HttpClient(allow_private=True, max_idle_handles=2)
    for url in connections.urls * 2:
        send_within_deadline(http_client, url)
    assert [closed.is_set() for closed in connections.closed] == [False] * 3
    http_client.close()


def test_concurrent_requests_use_the_handles_with_connections_again(
    connections: CountedConnections,
) -> None:
    http_client = HttpClient(allow_private=True)
    connections.barrier = threading.Barrier(2)
    for _ in range(3):
        senders = [
            threading.Thread(target=send_within_deadline, args=(http_client, connections.urls[0]))
            for _ in range(2)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    assert len(connections.closed) == 2
    http_client.close()


def test_host_is_resolved_for_new_connections_only(
    http_client: HttpClient,
    connections: CountedConnections,
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    resolved_names = fake_resolver(lambda: ["127.0.0.1"])
    for url in [*connections.urls[:2]] * 3:
        send_within_deadline(http_client, url)
    assert resolved_names == ["a.test", "b.test"]
    http_client.close()


def test_new_connection_uses_newly_resolved_addresses(
    http_client: HttpClient,
    receiver: ScriptedReceiver,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.3"]])
    fake_resolver(lambda: next(answers))
    receiver.add_behaviours(receiver.respond_with(NO_CONTENT))  # closes the connection
    url = receiver.url.replace("127.0.0.1", "a.test")
    assert send_within_deadline(http_client, url).status_code == 204
    assert failure_message(http_client, url) == UNREACHABLE_ERROR
    assert dialled_addresses == ["127.0.0.1", "127.0.0.3"]


def test_handle_in_use_at_close_is_closed_afterwards(
    http_client: HttpClient, receiver: ScriptedReceiver
) -> None:
    closed = threading.Event()

    def behave(sock: socket.socket) -> None:
        receiver.read_request(sock)
        http_client.close()
        sock.sendall(NO_CONTENT)
        assert sock.recv(1) == b""
        closed.set()

    receiver.add_behaviours(behave)
    assert send_within_deadline(http_client, receiver.url).status_code == 204
    assert closed.wait(10)
