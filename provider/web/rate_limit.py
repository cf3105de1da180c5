"""A limit on requests from one network, for pages that check a link's token or a password."""

from ipaddress import IPv6Address, ip_address, ip_network

from flask import request
from werkzeug.exceptions import TooManyRequests

from provider.services import current_services

# Requests from one network; a whole office may share one address.
MAX_REQUESTS = 600
WINDOW_SECONDS = 60
# The first bits of an IPv6 address are its network. A host chooses the other bits itself.
IPV6_PREFIX_BITS = 64


def limit_by_address() -> None:
    """Raise TooManyRequests when the client's network sent too many requests.

    A loopback address is not limited. It belongs to a proxy that is not configured as one, and
    stands for every client behind it.
    """
    network = _rate_limit_network(request.remote_addr or "")
    if not network:
        return
    services = current_services()
    now = services.now()
    state = services.rate_limiter.hit(f"address/{network}", MAX_REQUESTS, WINDOW_SECONDS, now)
    if state.remaining < 0:
        raise TooManyRequests(retry_after=state.seconds_until_reset(now))


def _rate_limit_network(remote_addr: str) -> str:
    try:
        address = ip_address(remote_addr)
    except ValueError:  # a Unix socket has no address
        return ""
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return ""
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), IPV6_PREFIX_BITS), strict=False))
    return str(address)
