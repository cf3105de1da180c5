"""The doors that open to whoever has a link or a password: nobody may knock there without end."""

from ipaddress import IPv6Address, ip_address, ip_network

from flask import request
from werkzeug.exceptions import TooManyRequests

from provider.here import here

MOST, WINDOW = 600, 60  # times from one address, seconds; a whole office may share one
NETWORK = 64  # bits of an IPv6 address: what comes after them is whoever's own to choose


def keep_pace() -> None:
    """Refuse whoever comes from an address from which too many come.

    An address of this machine is a proxy's of which nobody said so, and stands for everybody.
    """
    who = _where(request.remote_addr or "")
    if not who:
        return
    house = here()
    at = house.now()
    room = house.limits.come(f"address/{who}", MOST, WINDOW, at)
    if room.left < 0:
        raise TooManyRequests(retry_after=room.wait(at))


def _where(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:  # a socket of this machine
        return ""
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if found.is_loopback:
        return ""
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found), NETWORK), strict=False))
    return str(found)
