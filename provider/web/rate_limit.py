"""The doors that open to whoever has a link or a password: nobody may knock there without end."""

from ipaddress import IPv6Address, ip_address, ip_network

from flask import request
from werkzeug.exceptions import TooManyRequests

from provider.services import current_services

MAX_REQUESTS, WINDOW_SECONDS = (
    600,
    60,
)  # times from one address, seconds; a whole office may share one
IPV6_PREFIX_BITS = 64  # bits of an IPv6 address: what comes after them is whoever's own to choose


def limit_by_address() -> None:
    """Refuse whoever comes from an address from which too many come.

    An address of this machine is a proxy's of which nobody said so, and stands for everybody.
    """
    who = _rate_limit_network(request.remote_addr or "")
    if not who:
        return
    services = current_services()
    at = services.now()
    room = services.rate_limiter.hit(f"address/{who}", MAX_REQUESTS, WINDOW_SECONDS, at)
    if room.remaining < 0:
        raise TooManyRequests(retry_after=room.seconds_until_reset(at))


def _rate_limit_network(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:  # a socket of this machine
        return ""
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if found.is_loopback:
        return ""
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found), IPV6_PREFIX_BITS), strict=False))
    return str(found)
