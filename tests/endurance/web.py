"""A browser for proofs: cookies, forms, one connection per request; it survives its server."""

import html
import json
import re
import threading
import time
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from email import message_from_bytes, policy
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

REQUEST_TIMEOUT_SECONDS = 30.0  # seconds
SCAN_INTERVAL_SECONDS = 0.1  # seconds after which the postbox is looked at again
CONNECTION_ERRORS = (OSError, HTTPException)  # what the death of a server looks like from outside


@dataclass(frozen=True)
class HttpResponse:
    """What came back."""

    status_code: int
    text: str
    location: str = ""

    @property
    def json(self) -> Any:
        """The answer of a machine's endpoint."""
        return json.loads(self.text)

    def form_field(self, name: str) -> str:
        """Return the value of a form's hidden field; empty where there is none."""
        found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else ""


class Browser:
    """Somebody with cookies of their own; raises BROKEN when the server dies."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> HttpResponse:
        """Open a page; redirects are the caller's."""
        return self._request("GET", path, b"", {})

    def post(self, path: str, **fields: str) -> HttpResponse:
        """Send a form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._request("POST", path, urlencode(fields).encode(), kind)

    def _request(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> HttpResponse:
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        page, set_cookies = send_request(self._port, method, path, body, headers | cookies)
        for cookie in set_cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return page


class AtsClient:
    """The ATS: a bearer token and JSON."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def for_port(self, port: int) -> "AtsClient":
        """Return the same ATS, which asks another server."""
        other = copy(self)
        other._port = port
        return other

    def get(self, path: str) -> HttpResponse:
        """Ask for something."""
        return send_request(self._port, "GET", path, b"", self._headers)[0]

    def post(self, path: str, body: dict[str, Any]) -> HttpResponse:
        """Place an order."""
        return send_request(self._port, "POST", path, json.dumps(body).encode(), self._headers)[0]


class EmailFolder:
    """The letters in an instance's folder: candidates find their links in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "mail"
        self._read_files: set[str] = set()
        self._links: dict[str, str] = {}
        self._lock = threading.Lock()
        self._next_scan = 0.0

    def invitation_path(self, email: str) -> str | None:
        """Return the path of the invitation for an address, once its letter is there."""
        with self._lock:
            if email not in self._links and time.monotonic() >= self._next_scan:
                self._scan()
                self._next_scan = time.monotonic() + SCAN_INTERVAL_SECONDS
            return self._links.get(email)

    def _scan(self) -> None:
        for path in self._folder.glob("[!.]*.eml"):
            if path.name not in self._read_files:
                self._read_files.add(path.name)
                letter = message_from_bytes(path.read_bytes(), policy=policy.default)
                body = letter.get_body(("plain",))
                found = re.search(r"/c/[\w-]+", body.get_content() if body else "")
                if found:
                    self._links[str(letter["To"].addresses[0].addr_spec)] = found[0]


def send_request(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[HttpResponse, list[str]]:
    """Make one request; return the answer and the cookies it sets."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_SECONDS)) as connection:
        connection.request(method, path, body or None, headers | {"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        cookies = answer.headers.get_all("Set-Cookie") or []
        return HttpResponse(answer.status, text, answer.headers.get("Location", "")), cookies
