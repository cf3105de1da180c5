"""A libcurl handle: it sends one request at a time and keeps its connections."""

import ipaddress
import re
import select
import socket
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import pycurl

from provider.delivery.http.addresses import AddressNotAllowed, Endpoint, IPAddress, is_public

MAX_CONNECTIONS_PER_HANDLE = 8
MAX_IDLE_SECONDS = 55  # the other side may have closed an older connection

# libcurl's codes for a malformed header, which pycurl names differently or not at all.
WEIRD_SERVER_REPLY, BAD_CONTENT_ENCODING = 8, pycurl.E_BAD_CONTENT_ENCODING
STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-9]\d\d)(?: |\r|$)")
# 101 is final, although no upgrade was asked for.
INTERIM_STATUS_CODES = frozenset((100, *range(102, 200)))
ADDED_HEADERS = ("Accept", "Content-Type", "Expect", "User-Agent")  # by libcurl and pycurl


class NoKeptConnection(Exception):
    """No kept connection to the endpoint is usable."""


class InvalidResponse(Exception):
    """The response is not HTTP/1."""


class HttpRequest(NamedTuple):
    """A request; `target` is path and query. No Content-Length is sent when `body` is None."""

    method: str
    endpoint: Endpoint
    target: str
    headers: Mapping[str, str]
    body: bytes | None
    max_response_bytes: int
    may_repeat: bool = True

    @property
    def url(self) -> str:
        """The URL in normal form: a second parser must not read another host in it."""
        return f"{self.endpoint.scheme}://{self.endpoint.host_header}{self.target}"

    def header_lines(self) -> list[bytes]:
        """Return the headers in libcurl's notation; ValueError when one would break its line."""
        # `Name;` sends an empty header. `Name:` removes the header that libcurl would add.
        lines = [
            f"{name}: {value}" if value else f"{name};" for name, value in self.headers.items()
        ]
        text = "\n".join([*lines, self.method])
        if text.count("\n") != len(lines) or "\r" in text or "\0" in text:
            raise ValueError("A header contains a line break")
        return [*text.encode("latin-1").split(b"\n")[:-1], *_removed_headers(tuple(self.headers))]


@lru_cache(maxsize=64)  # by the names of a request's headers
def _removed_headers(given_names: tuple[str, ...]) -> list[bytes]:
    lower_names = {name.lower() for name in given_names}
    return [f"{name}:".encode() for name in ADDED_HEADERS if name.lower() not in lower_names]


class HttpResponse(NamedTuple):
    """A response; the names of `headers` are in lower case."""

    status_code: int
    headers: dict[str, str]
    body: bytes
    is_complete: bool  # False when the body was too long or broke off


class CurlHandle:
    """A libcurl handle with its kept connections; one thread uses it at a time."""

    def __init__(self, *, allow_private: bool, ca_file: str) -> None:
        self._allow_private = allow_private
        # Authority with pinned addresses → descriptor of its connection; the last used at the end.
        self._descriptors: dict[str, int] = {}
        self._may_connect = False
        self._refusal: Exception | None = None
        self._sockets: list[socket.socket] = []
        self._head: list[bytes] = []  # the lines before the response's body
        self._body = bytearray()
        self._max_body_bytes = 0
        self._curl = pycurl.Curl()
        options: dict[int, object] = {
            pycurl.ACCEPT_ENCODING: "identity",  # a compressed body is decompressed nevertheless
            pycurl.CAINFO: ca_file,
            pycurl.HEADERFUNCTION: self._head.append,  # libcurl reads at most 300 kB of them
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
            pycurl.MAXAGE_CONN: MAX_IDLE_SECONDS,
            pycurl.MAXCONNECTS: MAX_CONNECTIONS_PER_HANDLE,
            pycurl.NOSIGNAL: 1,  # a signal would interrupt another thread
            pycurl.OPENSOCKETFUNCTION: self._open_socket,
            pycurl.PATH_AS_IS: 1,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTPS | (pycurl.PROTO_HTTP if allow_private else 0),
            pycurl.PROXY: "",  # or libcurl reads the environment's proxies
            pycurl.WRITEFUNCTION: self._receive_body,
        }
        for option, value in options.items():
            self._curl.setopt(option, value)

    @property
    def has_room(self) -> bool:
        """True when the next endpoint's connection displaces no other."""
        return len(self._descriptors) < MAX_CONNECTIONS_PER_HANDLE

    def may_have_connection(self, endpoint: Endpoint) -> bool:
        return endpoint.authority in self._descriptors

    def pin_addresses(self, endpoint: Endpoint, resolved: Sequence[IPAddress]) -> None:
        """Set the addresses of an endpoint's new connections, so that libcurl resolves no name."""
        self._descriptors.pop(endpoint.authority, None)
        entries = []
        if not self.has_room:
            oldest = next(iter(self._descriptors))
            del self._descriptors[oldest]
            entries.append(f"-{oldest}")
        self._descriptors[endpoint.authority] = -1
        literals = (f"[{item}]" if item.version == 6 else str(item) for item in resolved)
        entries.append(f"{endpoint.authority}:{','.join(literals)}")
        self._curl.setopt(pycurl.RESOLVE, entries)

    def perform(
        self, request: HttpRequest, timeout_seconds: float, *, may_connect: bool
    ) -> HttpResponse:
        """Send a request; without `may_connect` only over a kept connection.

        Raises NoKeptConnection, AddressNotAllowed, InvalidResponse, ValueError or pycurl.error.
        """
        self._head.clear()
        self._body.clear()
        self._max_body_bytes = request.max_response_bytes
        curl = self._curl
        curl.setopt(pycurl.URL, request.url)
        if request.method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        elif request.body is None:
            curl.setopt(pycurl.HTTPGET, 1)
        else:
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.POSTFIELDS, request.body)
        # libcurl, too, repeats a request when a kept connection turns out to be closed.
        curl.setopt(pycurl.FRESH_CONNECT, 0 if request.may_repeat else 1)
        curl.setopt(pycurl.CUSTOMREQUEST, request.method)
        curl.setopt(pycurl.HTTPHEADER, request.header_lines())
        curl.setopt(pycurl.TIMEOUT_MS, max(1, int(timeout_seconds * 1000)))
        failure = self._run(request.endpoint.authority, may_connect)
        status_code, headers, is_head_complete = _parse_head(self._head)
        is_malformed = failure and failure.args[0] in (WEIRD_SERVER_REPLY, BAD_CONTENT_ENCODING)
        # The status counts despite a malformed header, but not when the headers break off, which
        # libcurl accepts.
        if not is_head_complete and not (is_malformed and status_code):
            raise failure or pycurl.error(pycurl.E_GOT_NOTHING)
        return HttpResponse(status_code, headers, bytes(self._body), is_complete=not failure)

    def close(self) -> None:
        """Close the kept connections."""
        self._curl.close()

    def _run(self, authority: str, may_connect: bool) -> pycurl.error | None:
        self._may_connect, self._refusal = may_connect, None
        failure = None
        is_suspect = not may_connect and _is_readable(self._descriptors[authority])
        if is_suspect:
            self._curl.setopt(pycurl.PREREQFUNCTION, self._abort_request)
        try:
            self._curl.perform()
        except pycurl.error as error:
            failure = error
        if is_suspect:
            self._curl.unsetopt(pycurl.PREREQFUNCTION)
        while self._sockets:
            self._sockets.pop().close()  # libcurl uses a duplicate
        if failure and self._refusal:
            raise self._refusal
        del self._descriptors[authority]  # so that its new entry is the last
        self._descriptors[authority] = self._curl.getinfo(pycurl.ACTIVESOCKET)
        return failure

    def _abort_request(self, *_: object) -> int:
        """Give a kept connection up: data came unasked, which would be read as the response.

        libcurl itself looks for such data only when a connection was idle for a second.
        """
        self._refusal = NoKeptConnection()
        return pycurl.PREREQFUNC_ABORT

    def _receive_body(self, chunk: bytes) -> int:
        """Collect a part of the body; a byte more than wanted ends the transfer."""
        accepted = chunk[: self._max_body_bytes - len(self._body)]
        self._body += accepted
        return len(accepted)

    def _open_socket(self, _purpose: int, target: "pycurl.CurlSockAddr") -> socket.socket | int:
        """Check the actual address of a new connection, and return its socket."""
        if not self._may_connect:
            self._refusal = NoKeptConnection()
            return pycurl.SOCKET_BAD
        if not (self._allow_private or is_public(ipaddress.ip_address(target.addr[0]))):
            self._refusal = AddressNotAllowed("The host's address is not a public one")
            return pycurl.SOCKET_BAD
        try:
            self._sockets.append(create_socket(target))
        except OSError:  # for example an IPv6 address on a machine without IPv6
            return pycurl.SOCKET_BAD
        return self._sockets[-1]


def create_socket(target: "pycurl.CurlSockAddr") -> socket.socket:
    return socket.socket(target.family, target.socktype, target.protocol)


def _is_readable(descriptor: int) -> bool:
    if descriptor < 0:
        return False
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


def _parse_head(lines: list[bytes]) -> tuple[int, dict[str, str], bool]:
    """Return the final status code, its headers, and whether they are complete.

    The status code is 0 before the final response. Lines after its headers are a body's trailer.
    """
    status_code = 0
    headers: dict[str, str] = {}
    for line in b"".join(lines).decode("latin-1").split("\n")[:-1]:
        if not status_code:
            status = STATUS_LINE.match(line)
            if not status:
                raise InvalidResponse
            status_code = int(status[1])
        elif line and line != "\r":
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name:
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
        elif status_code in INTERIM_STATUS_CODES:
            status_code, headers = 0, {}
        else:
            return status_code, headers, True
    return 0 if status_code in INTERIM_STATUS_CODES else status_code, headers, False
