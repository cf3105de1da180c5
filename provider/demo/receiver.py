"""The HTTP server on which an ATS of the demo receives requests, and its HTTP client."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import requests

HOST = "127.0.0.1"
REQUEST_TIMEOUT_SECONDS = 15
MAX_BODY_BYTES = 1024 * 1024


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class CallbackHandler(BaseHTTPRequestHandler):
    """Answers callbacks; a subclass has the method that its ATS expects."""

    protocol_version = "HTTP/1.1"
    timeout = REQUEST_TIMEOUT_SECONDS

    def answer(
        self, code: int, document: Any = None, content_type: str = "application/json"
    ) -> None:
        """Send an answer: a document as JSON, or no body."""
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(code)
        if body:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the demo prints each callback itself."""


def create_server(handler_class: type[CallbackHandler]) -> HTTPServer:
    """Return a server on a free port of its own."""
    return _Server((HOST, 0), handler_class)


class CallbackReceiver:
    """A server in a thread, and a session for requests; both end with the context."""

    host = HOST

    def __init__(self, server: HTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))
        self.url = f"http://{self.host}:{self._server.server_address[1]}"
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._session.close()
