"""The HTTP exchange of a callback: one deadline, kept connections, public addresses only.

No redirects, no cookies, no proxies, no environment: nothing here knows of them.
"""

import re
import socket
import ssl
import threading
import time
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from select import POLLIN, poll

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from provider.ats import CallbackRequest, CallbackResponse
from provider.delivery.http import addresses, wire
from provider.delivery.http.addresses import AddressNotAllowed, Endpoint, IPAddress, Resolver
from provider.logging_config import TOKEN_PATTERN
from provider.outbox import MAX_RESPONSE_EXCERPT_LENGTH

DEADLINE = 10.0  # seconds for all of an exchange: name, connection, TLS, request and answer
IDLE = 55.0  # seconds after which an unused connection is not trusted any more
MOST_IDLE = 512  # connections that are kept, over all hosts
LOOKED_AT = (
    2 * MAX_RESPONSE_EXCERPT_LENGTH
)  # bytes of an answer: a token that begins in what is kept is seen whole

LATE = "The receiver did not answer in time"
UNREACHED = "The receiver could not be reached"
BAD_TLS = "The receiver's certificate or TLS is not right"
SILENT = "The receiver hung up without an answer"
UNSENDABLE = "The address or the token holds a sign that cannot be sent"


class Unreached(Exception):
    """No answer came; the message is one sentence that is safe to show and to log."""


class Exchange:
    """Sends requests and returns answers, from any number of threads."""

    def __init__(self, *, private: bool, most: int = 64) -> None:
        self._private = private
        self._resolver = Resolver()
        self._pool = _Pool(most)
        weakref.finalize(self, self._pool.close)

    def send(
        self, request: CallbackRequest, body: bytes, headers: dict[str, str]
    ) -> CallbackResponse:
        """Send once and return the answer, its headers by lower-case names; Unreached."""
        until = time.monotonic() + DEADLINE
        try:
            place, target = self._read(request.url)
            asked = request.headers | headers
            message = wire.request(request.method, target, place.host_header, asked, body)
            reply = self._exchange(place, message, until)
        except (AddressNotAllowed, wire.NotHttp, wire.HungUp, OSError, ValueError) as error:
            raise Unreached(_reason(error)) from None  # the cause would name the address
        return CallbackResponse(reply.code, reply.headers, _kept(reply, request.headers))

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is done."""
        self._pool.close()

    def _read(self, url: str) -> tuple[Endpoint, str]:
        place, target = addresses.parse_endpoint(url)
        if not (self._private or place.is_standard_https):
            raise AddressNotAllowed("The callback's address is not https on port 443")
        return place, target

    def _exchange(self, place: Endpoint, message: bytes, until: float) -> wire.Reply:
        """Use a kept connection, or make one.

        A receiver may close a kept connection at the very moment at which it is used again. If not
        one byte came back, the same bytes are sent once more over a new one: a repeat has the same
        Idempotency-Key, and an attempt should not be spent on that.
        """
        kept = self._pool.take(place)
        if kept:
            try:
                return self._over(kept, message, until)
            except _Stale:
                """The receiver had closed it."""
        line = _Line(place, self._connect(place, until))
        try:
            return self._over(line, message, until)
        except _Stale:
            raise wire.HungUp from None

    def _over(self, line: "_Line", message: bytes, until: float) -> wire.Reply:
        try:
            reply = line.exchange(message, until)
        except BaseException:
            line.close()
            raise
        if reply.again:
            self._pool.keep(line)
        else:
            line.close()
        return reply

    def _connect(self, place: Endpoint, until: float) -> socket.socket:
        found = self._resolver.resolve(
            place, allow_private=self._private, timeout_seconds=_left(until)
        )
        sock = _dial(found, place.port, until)
        if place.scheme == "http":
            return sock
        try:
            sock.settimeout(_left(until))
            return _tls().wrap_socket(sock, server_hostname=place.host.rstrip("."))
        except BaseException:
            sock.close()
            raise


class _Stale(Exception):
    """A connection that was closed before one byte of an answer came."""


class _Line:
    """A connection to a place."""

    used: float  # when it was last kept

    def __init__(self, place: Endpoint, sock: socket.socket) -> None:
        self.place = place
        self._sock = sock
        self._poll = poll()
        self._poll.register(sock, POLLIN)

    def exchange(self, message: bytes, until: float) -> wire.Reply:
        """Send and read before a moment; _Stale, TimeoutError, OSError, NotHttp, HungUp."""
        reader = wire.Reader(lambda: self._receive(until))
        try:
            self._send(message, until)
            return reader.reply()
        except TimeoutError:
            raise
        except (OSError, wire.HungUp) as error:
            raise _Stale if not reader.total else error from None

    def _send(self, message: bytes, until: float) -> None:
        view = memoryview(message)
        try:
            while view:
                self._sock.settimeout(_left(until))
                view = view[self._sock.send(view) :]
        except (BrokenPipeError, ConnectionResetError):
            """It may have refused before it had read all: then there is an answer to read."""

    def _receive(self, until: float) -> bytes:
        self._sock.settimeout(_left(until))  # of the whole, however little comes at a time
        return self._sock.recv(16384)

    def is_usable(self) -> bool:
        """Say whether nothing came unasked: the end, or something that belongs to no request."""
        return time.monotonic() - self.used < IDLE and not self._poll.poll(0)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class _Pool:
    """Idle connections by place, the place that was used last at the end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle: OrderedDict[Endpoint, list[_Line]] = OrderedDict()
        self._count = 0
        self._closed = False

    def take(self, place: Endpoint) -> _Line | None:
        """Return the connection that was used last, if one is usable."""
        while True:
            with self._lock:
                lines = self._idle.get(place)
                if not lines:
                    return None
                line = lines.pop()
                self._count -= 1
                if not lines:
                    del self._idle[place]
            if line.is_usable():
                return line
            line.close()

    def keep(self, line: _Line) -> None:
        """Keep a connection, or close one that is too many."""
        line.used = time.monotonic()
        with self._lock:
            lines = self._idle.get(line.place, [])
            if self._closed or len(lines) >= self._most:
                superfluous = [line]
            else:
                lines.append(line)
                self._count += 1
                self._idle[line.place] = lines
                self._idle.move_to_end(line.place)
                superfluous = self._oldest() if self._count > MOST_IDLE else []
        for one in superfluous:
            one.close()

    def close(self) -> None:
        """Close what is idle, and all that comes back."""
        with self._lock:
            self._closed = True
            lines = [line for lines in self._idle.values() for line in lines]
            self._idle.clear()
        for line in lines:
            line.close()

    def _oldest(self) -> list[_Line]:
        _, lines = self._idle.popitem(last=False)
        self._count -= len(lines)
        return lines


@cache
def _tls() -> ssl.SSLContext:
    """Return what all connections trust, made when it is first needed: it takes a moment."""
    context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _dial(found: list[IPAddress], port: int, until: float) -> socket.socket:
    """Connect to the first of the judged addresses that answers, each within its share of time."""
    for number, address in enumerate(found):
        try:
            return _connected(address, port, _left(until) / (len(found) - number))
        except OSError as error:
            failure = error
    raise failure


def _connected(address: IPAddress, port: int, within: float) -> socket.socket:
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    try:
        sock.settimeout(within)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect((str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _kept(reply: wire.Reply, sent: Mapping[str, str]) -> str:
    """Return the beginning of an answer as text, without any token that is repeated there."""
    body = reply.body
    if reply.headers.get("content-encoding", "").lower() in ("gzip", "deflate"):
        try:  # nobody asked for it; no more of it is unpacked than is looked at
            body = zlib.decompressobj(wbits=47).decompress(body, LOOKED_AT)
        except zlib.error:
            body = b""
    text = body[:LOOKED_AT].decode("utf-8", "replace")
    token = sent.get("Authorization", "").rpartition(" ")[2]
    # As many stars as letters: if it became shorter, a part of another one might move up.
    starred = TOKEN_PATTERN.sub(_starred, text.replace(token, "*" * len(token)))
    return starred.encode()[:MAX_RESPONSE_EXCERPT_LENGTH].decode("utf-8", "ignore")


def _starred(found: "re.Match[str]") -> str:
    return found[1] + "*" * (len(found[0]) - len(found[1]))


def _reason(error: Exception) -> str:
    """Say what went wrong without an address or a token in it."""
    if isinstance(error, AddressNotAllowed | wire.NotHttp):
        return str(error)
    if isinstance(error, wire.HungUp):
        return SILENT
    if isinstance(error, TimeoutError):
        return LATE
    if isinstance(error, ssl.SSLError):
        return BAD_TLS
    if isinstance(error, OSError):
        return UNREACHED
    return UNSENDABLE
