"""Requests under another host name than that of PROVIDER_BASE_URL are refused with 421.

A page of this server must not appear under a name that somebody else has pointed at it.
"""

from functools import lru_cache
from urllib.parse import urlsplit

from flask import Flask, abort, request

from provider.core.networks import parse_address
from provider.services import current_services
from provider.web.client_address import client_address

# A load balancer asks these by IP address.
UNCHECKED_PATHS = ("/health", "/ready", "/metrics")


def register(app: Flask) -> None:
    """Check the host before every other function of the app; call this first."""
    app.before_request(_require_known_host)


def _require_known_host() -> None:
    base_url = current_services().settings.base_url
    host = _host_name(f"//{request.environ.get('HTTP_HOST', '')}")
    if host == _host_name(base_url) or request.path in UNCHECKED_PATHS:
        return
    # On this machine itself, every name of the machine will do.
    is_local = _is_loopback(_host_name(base_url)) or _is_loopback(client_address())
    if is_local and _is_loopback(host):
        return
    abort(421, f"This server answers at {base_url} only: use that address")


@lru_cache(maxsize=64)
def _host_name(url: str) -> str:
    """Return the host of a URL without its port; "" for a malformed one."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    address = parse_address(host)
    return host == "localhost" or bool(address and address.is_loopback)
