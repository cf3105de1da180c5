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

TIMEOUT = 30.0  # seconds
LOOK = 0.1  # seconds after which the postbox is looked at again
BROKEN = (OSError, HTTPException)  # what the death of a server looks like from outside


@dataclass(frozen=True)
class Page:
    """What came back."""

    code: int
    text: str
    location: str = ""

    @property
    def json(self) -> Any:
        """The answer of a machine's endpoint."""
        return json.loads(self.text)

    def field(self, name: str) -> str:
        """Return the value of a form's hidden field; empty where there is none."""
        found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else ""


class Browser:
    """Somebody with cookies of their own; raises BROKEN when the server dies."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> Page:
        """Open a page; redirects are the caller's."""
        return self._ask("GET", path, b"", {})

    def post(self, path: str, **fields: str) -> Page:
        """Send a form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, urlencode(fields).encode(), kind)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Page:
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        page, set_cookies = ask(self._port, method, path, body, headers | cookies)
        for cookie in set_cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return page


class Machine:
    """The ATS: a bearer token and JSON."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def at(self, port: int) -> "Machine":
        """Return the same ATS, which asks another server."""
        other = copy(self)
        other._port = port
        return other

    def get(self, path: str) -> Page:
        """Ask for something."""
        return ask(self._port, "GET", path, b"", self._headers)[0]

    def post(self, path: str, wish: dict[str, Any]) -> Page:
        """Place an order."""
        return ask(self._port, "POST", path, json.dumps(wish).encode(), self._headers)[0]


class Postbox:
    """The letters in an instance's folder: candidates find their links in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "mail"
        self._read: set[str] = set()
        self._links: dict[str, str] = {}
        self._door = threading.Lock()
        self._next_look = 0.0

    def link(self, address: str) -> str | None:
        """Return the path of the invitation for an address, once its letter is there."""
        with self._door:
            if address not in self._links and time.monotonic() >= self._next_look:
                self._look()
                self._next_look = time.monotonic() + LOOK
            return self._links.get(address)

    def _look(self) -> None:
        for path in self._folder.glob("[!.]*.eml"):
            if path.name not in self._read:
                self._read.add(path.name)
                letter = message_from_bytes(path.read_bytes(), policy=policy.default)
                body = letter.get_body(("plain",))
                found = re.search(r"/c/[\w-]+", body.get_content() if body else "")
                if found:
                    self._links[str(letter["To"].addresses[0].addr_spec)] = found[0]


def ask(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[Page, list[str]]:
    """Make one request; return the answer and the cookies it sets."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
        connection.request(method, path, body or None, headers | {"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        cookies = answer.headers.get_all("Set-Cookie") or []
        return Page(answer.status, text, answer.headers.get("Location", "")), cookies
