"""Allowed addresses of callbacks: one parser of URLs, and public IP addresses only (SSRF guard)."""

import ipaddress
import re
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, lru_cache

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA's registries of special-purpose addresses, as whole blocks: Python's `is_global` differs
# between releases. Then multicast, reserved blocks, and Azure's metadata host.
SPECIAL_PURPOSE_NETWORKS = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",
        # Within 2000::/3. Teredo and 6to4 addresses embed an arbitrary IPv4 address.
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3ffe::/16",
        "3fff::/20",
    )
)
# A URL whose path every parser reads alike: no escapes, no dot segments, no query.
PLAIN_URL = re.compile(
    r"(https?://[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?)((?:/(?!\.)[\w.~-]*)+)", re.ASCII
)
GLOBAL_UNICAST_NETWORK = ipaddress.IPv6Network("2000::/3")  # other IPv6 is special or unassigned
NAT64_NETWORK = ipaddress.IPv6Network("64:ff9b::/96")


class AddressNotAllowed(Exception):
    """A URL or an address that is not allowed; the message is safe to show."""


@dataclass(frozen=True)
class Endpoint:
    """The target of a connection; `host` is lower case and without brackets."""

    scheme: str
    host: str
    port: int

    @cached_property
    def authority(self) -> str:
        """Host and port, as a URL has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @cached_property
    def host_header(self) -> str:
        is_default_port = self.port == (443 if self.scheme == "https" else 80)
        return self.authority.rpartition(":")[0] if is_default_port else self.authority

    @property
    def is_standard_https(self) -> bool:
        """True for https on port 443, which every endpoint outside a test must use."""
        return (self.scheme, self.port) == ("https", 443)


def parse_endpoint(url: str) -> tuple[Endpoint, str]:
    """Return a URL's endpoint, and its path and query; raises AddressNotAllowed.

    The check of a host and the connection both use this parser: two parsers may differ.
    """
    if match := PLAIN_URL.fullmatch(url):  # most callbacks: an endpoint is then parsed once
        return _parse(match[1])[0], match[2]
    return _parse(url)


@lru_cache(maxsize=4096)  # a URL is parsed when its callback is prepared and when it is sent
def _parse(url: str) -> tuple[Endpoint, str]:
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise AddressNotAllowed("The address is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise AddressNotAllowed("The address is neither http nor https")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Endpoint(parts.scheme, parts.host.strip("[]"), port), parts.request_uri


def is_public(address: IPAddress) -> bool:
    """Return True for globally routable unicast.

    A NAT64 address, as resolvers of IPv6-only networks return it, is judged by the IPv4 address
    embedded in it. IPv4-mapped addresses are not public.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64_NETWORK:
            return is_public(ipaddress.IPv4Address(address.packed[-4:]))
        if address not in GLOBAL_UNICAST_NETWORK:
            return False
    return address.is_global and not any(address in block for block in SPECIAL_PURPOSE_NETWORKS)


class Resolver:
    """Resolves hosts with a timeout.

    The system's resolver cannot be interrupted, so each lookup has a thread of its own. Callers
    share the pending lookup of an endpoint: a name server that hangs costs one thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending_lookups: dict[Endpoint, Future[list[IPAddress]]] = {}

    def resolve(
        self, endpoint: Endpoint, *, allow_private: bool, timeout_seconds: float
    ) -> list[IPAddress]:
        """Return every address of a host; raises AddressNotAllowed, OSError or TimeoutError.

        A single special address makes the host not allowed. Such a name is an attack or a mistake,
        and using its other addresses would make it work only sometimes.
        """
        resolved = self._shared_lookup(endpoint).result(timeout_seconds)
        if not allow_private and not all(map(is_public, resolved)):
            raise AddressNotAllowed("The host's address is not a public one")
        return resolved

    def _shared_lookup(self, endpoint: Endpoint) -> "Future[list[IPAddress]]":
        with self._lock:
            if endpoint not in self._pending_lookups:
                future: Future[list[IPAddress]] = Future()
                threading.Thread(
                    target=self._run_lookup, args=(endpoint, future), name="resolve", daemon=True
                ).start()
                self._pending_lookups[endpoint] = future
            return self._pending_lookups[endpoint]

    def _run_lookup(self, endpoint: Endpoint, future: "Future[list[IPAddress]]") -> None:
        resolved: list[IPAddress] | None = None
        failure: Exception | None = None
        try:
            resolved = _resolve_all(endpoint)
        except Exception as error:
            failure = error
        with self._lock:
            del self._pending_lookups[endpoint]
        if resolved is None:
            future.set_exception(failure)
        else:
            future.set_result(resolved)


def _resolve_all(endpoint: Endpoint) -> list[IPAddress]:
    try:
        answers = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        # The connection is made to the parsed address, so the address checked is the one used.
        resolved = [ipaddress.ip_address(answer[4][0]) for answer in answers]
    except (OSError, ValueError):  # a name too long for DNS is a UnicodeError
        raise AddressNotAllowed("The host's name was not found") from None
    if not resolved:
        raise AddressNotAllowed("The host's name was not found")
    return list(dict.fromkeys(resolved))
