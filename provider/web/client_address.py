"""The address of the client behind the trusted proxies."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import request

from provider.core.networks import parse_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def client_address() -> str:
    """Return the client's address without a port; "" where there is none (a Unix socket)."""
    return str(parse_address(request.remote_addr or "") or "")


class TrustedProxies:
    """WSGI middleware that replaces the proxy's address by the client's.

    Each proxy appends the address of its own client to X-Forwarded-For. The entry that the farthest
    trusted proxy appended is the client; entries before it may be forged. If a request came through
    fewer proxies, the first entry is the client.
    """

    def __init__(self, app: "WSGIApplication", proxy_count: int) -> None:
        self._app = app
        self._proxy_count = proxy_count

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
        for text in forwarded.split(",")[-self._proxy_count :]:
            if address := parse_address(text):
                environ["REMOTE_ADDR"] = str(address)
                break
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        return self._app(environ, start_response)
