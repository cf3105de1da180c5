"""An HTTP client for scenarios: cookies, forms, one connection for each request."""

import html
import json
import re
import threading
import time
from collections.abc import Collection
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from email import message_from_bytes, policy
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

REQUEST_TIMEOUT_SECONDS = 30.0
SCAN_INTERVAL_SECONDS = 0.1  # between two scans of the e-mail folder
CONNECTION_ERRORS = (OSError, HTTPException)  # raised when the server dies


@dataclass(frozen=True)
class HttpResponse:
    """A response, decoded."""

    status_code: int
    text: str
    location: str = ""

    @property
    def json(self) -> Any:
        """The decoded JSON body."""
        return json.loads(self.text)

    def form_field(self, name: str) -> str:
        """Return the value of a hidden form field, or "" when the page has none."""
        match = re.search(rf'name="{name}"[^>]*value="([^"]*)"', self.text)
        return html.unescape(match[1]) if match else ""

    def hidden_fields(self) -> dict[str, str]:
        """Return the hidden fields of all forms, as a browser would send them."""
        inputs = re.findall(r'<input[^>]*type="hidden"[^>]*>', self.text)
        names = (re.search(r'name="([^"]+)"', element) for element in inputs)
        return {match[1]: self.form_field(match[1]) for match in names if match}


class Browser:
    """A client with cookies of its own. CONNECTION_ERRORS are raised when the server dies."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> HttpResponse:
        """Request a page without following redirects."""
        return self._request("GET", path, b"", {})

    def post(self, path: str, **fields: str) -> HttpResponse:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._request("POST", path, urlencode(fields).encode(), headers)

    @property
    def cookie_header(self) -> str:
        """The value of the header Cookie."""
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    def _request(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> HttpResponse:
        cookies = {"Cookie": self.cookie_header}
        response, set_cookies = send_request(self._port, method, path, body, headers | cookies)
        for cookie in set_cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return response


class AtsClient:
    """The ATS: a bearer token and JSON."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def for_port(self, port: int) -> "AtsClient":
        """Return the same ATS as a client of another server."""
        client = copy(self)
        client._port = port
        return client

    def get(self, path: str) -> HttpResponse:
        return send_request(self._port, "GET", path, b"", self._headers)[0]

    def post(self, path: str, body: dict[str, Any]) -> HttpResponse:
        return send_request(self._port, "POST", path, json.dumps(body).encode(), self._headers)[0]


class EmailFolder:
    """The e-mails in an instance's folder, from which candidates take their links."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "mail"
        self._read_files: set[str] = set()
        self._links: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self._next_scan = 0.0

    def invitation_path(self, email: str, opened: Collection[str]) -> str | None:
        """Return the path of an invitation to an address, or None before the e-mail arrives.

        `opened` are the paths of earlier invitations: each reopening sends a new one.
        """
        with self._lock:
            path = self._find_path(email, opened)
            if path is None and time.monotonic() >= self._next_scan:
                self._scan()
                self._next_scan = time.monotonic() + SCAN_INTERVAL_SECONDS
                path = self._find_path(email, opened)
            return path

    def _find_path(self, email: str, opened: Collection[str]) -> str | None:
        return next((path for path in self._links.get(email, ()) if path not in opened), None)

    def _scan(self) -> None:
        for path in self._folder.glob("[!.]*.eml"):
            if path.name not in self._read_files:
                self._read_files.add(path.name)
                email = message_from_bytes(path.read_bytes(), policy=policy.default)
                body = email.get_body(("plain",))
                match = re.search(r"/c/[\w-]+", body.get_content() if body else "")
                if match:
                    address = str(email["To"].addresses[0].addr_spec)
                    self._links.setdefault(address, []).append(match[0])


def send_request(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[HttpResponse, list[str]]:
    """Send one request; return the response and its Set-Cookie headers."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_SECONDS)) as connection:
        connection.request(method, path, body or None, headers | {"Connection": "close"})
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        cookies = response.headers.get_all("Set-Cookie") or []
        return HttpResponse(response.status, text, response.headers.get("Location", "")), cookies
