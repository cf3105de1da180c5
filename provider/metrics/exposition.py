"""`/metrics` over HTTP: the bearer token, and a server for processes without a web server."""

import hmac
import json
import socket
import threading
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from provider.errors import Conflict

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

REQUEST_TIMEOUT_SECONDS = 10  # or an idle connection would keep its thread for ever
MISSING_TOKEN_MESSAGE = "/metrics needs PROVIDER_METRICS_TOKEN as its bearer token"  # noqa: S105


def is_metrics_token(authorization: str, token: str | None) -> bool:
    """Return whether an Authorization header has the token, compared in constant time.

    If the settings have no token, no header is accepted.
    """
    scheme, _, submitted = authorization.partition(" ")
    if not token or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(submitted.strip().encode(), token.encode())


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Answers every path with the metrics of one registry, in daemon threads.

    The constructor raises Conflict if the address cannot be used.
    """

    daemon_threads = True
    allow_reuse_port = False  # two workers would share a port silently

    def __init__(self, registry: CollectorRegistry, token: str | None, host: str, port: int):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _RequestHandler)
        except OSError as error:
            raise Conflict(
                f"Cannot listen at {host} port {port} ({error.strerror}): "
                "choose another --metrics-host or --metrics-port"
            ) from None
        self._token = token
        self._exposition = make_wsgi_app(registry)
        self.set_app(self._answer)

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def _answer(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if is_metrics_token(environ.get("HTTP_AUTHORIZATION", ""), self._token):
            answer: Iterable[bytes] = self._exposition(environ, start_response)
            return answer
        headers = [("Content-Type", "application/json"), ("WWW-Authenticate", "Bearer")]
        start_response("401 Unauthorized", headers)
        return [json.dumps({"status": 401, "message": MISSING_TOKEN_MESSAGE}).encode()]


class _RequestHandler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_SECONDS

    def log_message(self, *_: object) -> None:
        """Write no access log."""
