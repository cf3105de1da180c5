"""Where a callback may go: one reading of its URL, and public addresses only."""

import ipaddress
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, lru_cache

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA's registries of special-purpose addresses, whole blocks: what Python calls global differs
# from release to release. Then multicast, what is reserved, and Azure's metadata host.
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
        # Within 2000::/3; Teredo and 6to4 carry an IPv4 address that anybody may choose.
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3ffe::/16",
        "3fff::/20",
    )
)
GLOBAL_UNICAST_NETWORK = ipaddress.IPv6Network(
    "2000::/3"
)  # all other IPv6 is special or unassigned
NAT64_NETWORK = ipaddress.IPv6Network("64:ff9b::/96")


class AddressNotAllowed(Exception):
    """A URL or an address that nothing is sent to; the message is safe to show."""


@dataclass(frozen=True)
class Endpoint:
    """Scheme, host (lower case, no brackets) and port: what a connection is made to."""

    scheme: str
    host: str
    port: int

    @cached_property
    def host_header(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return host if usual else f"{host}:{self.port}"

    @property
    def is_standard_https(self) -> bool:
        """Say whether it is https on its own port, as everything outside a test must be."""
        return (self.scheme, self.port) == ("https", 443)


@lru_cache(maxsize=4096)  # it is read when a callback is prepared, and again when it is sent
def parse_endpoint(url: str) -> tuple[Endpoint, str]:
    """Return where a URL goes and the path and query to ask for; Refused.

    Whoever checks a host and whoever dials it read it here: two readers of URLs may differ.
    """
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise AddressNotAllowed("The callback's address cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise AddressNotAllowed("The callback's address is neither http nor https")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Endpoint(parts.scheme, parts.host.strip("[]"), port), parts.request_uri


def is_public(address: IPAddress) -> bool:
    """Say whether an address is nobody's special one; of a translated one the IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        if (
            address in NAT64_NETWORK
        ):  # what an IPv6-only network's resolver makes of any IPv4 address
            return is_public(ipaddress.IPv4Address(address.packed[-4:]))
        if (
            address not in GLOBAL_UNICAST_NETWORK
        ):  # nor are the forms that a mapped IPv4 address has
            return False
    return address.is_global and not any(address in block for block in SPECIAL_PURPOSE_NETWORKS)


class Resolver:
    """Looks hosts up in time: what the system's resolver does cannot be interrupted, so it is left.

    One lookup of a host at a time, whoever asks, so that a name server that hangs costs one thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending_lookups: dict[Endpoint, Future[list[IPAddress]]] = {}

    def resolve(
        self, endpoint: Endpoint, *, allow_private: bool, timeout_seconds: float
    ) -> list[IPAddress]:
        """Return every address of a host; Refused, OSError, TimeoutError after `within` seconds.

        One special address among them refuses all: a name that answers so is a trap or a mistake,
        and picking the others would make it work now and then.
        """
        found = self._shared_lookup(endpoint).result(timeout_seconds)
        if not allow_private and not all(map(is_public, found)):
            raise AddressNotAllowed("The host's address is not a public one")
        return found

    def _shared_lookup(self, endpoint: Endpoint) -> "Future[list[IPAddress]]":
        with self._lock:
            if endpoint not in self._pending_lookups:
                answer: Future[list[IPAddress]] = Future()
                threading.Thread(
                    target=self._run_lookup, args=(endpoint, answer), name="resolve", daemon=True
                ).start()
                self._pending_lookups[endpoint] = answer
            return self._pending_lookups[endpoint]

    def _run_lookup(self, endpoint: Endpoint, future: "Future[list[IPAddress]]") -> None:
        found: list[IPAddress] | None = None
        failure: Exception | None = None
        try:
            found = _resolve_all(endpoint)
        except Exception as error:
            failure = error
        with self._lock:
            del self._pending_lookups[endpoint]
        if found is None:
            future.set_exception(failure)
        else:
            future.set_result(found)


def _resolve_all(endpoint: Endpoint) -> list[IPAddress]:
    try:
        answers = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        # Parsed, and dialled as parsed: no second reading of what was judged.
        found = [ipaddress.ip_address(answer[4][0]) for answer in answers]
    except (OSError, ValueError):  # a name too long for DNS is a UnicodeError
        raise AddressNotAllowed("The host's name was not found") from None
    if not found:
        raise AddressNotAllowed("The host's name was not found")
    return list(dict.fromkeys(found))
