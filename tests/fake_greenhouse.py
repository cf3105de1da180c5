"""A strict Greenhouse: it calls the Assessment Partner API, and takes the PATCH of an order.

It checks each answer as Greenhouse's documentation says, and reports what is wrong to
`response_error`. On a PATCH it asks `test_status` before it answers, as Greenhouse does: a result
that is not committed yet, or a server that waits for the PATCH's answer, fails here.
"""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.local_server import LocalServer

CANDIDATE = {
    "first_name": "Lakita",
    "last_name": "Marrero",
    "preferred_name": None,
    "phone_number": "(785)991-6256",
    "resume_url": "https://prod-heroku.s3.amazonaws.com/resume.pdf?X-Amz-Signature=1",
    "email": "lakita@example.org",
    "greenhouse_profile_url": "https://app.greenhouse.io/people/17?application_id=26",
}
STATUS_FIELDS = {"partner_status", "partner_profile_url", "partner_score", "metadata"}


@dataclass
class Patch:
    """A PATCH as it arrived, and what `test_status` answered meanwhile."""

    path: str
    length: str | None  # the header Content-Length
    body: bytes
    has_right_key: bool
    status: dict[str, Any] | None


@dataclass
class FakeGreenhouse(LocalServer):
    """Greenhouse with the key of one account; `base_url` is the partner's server."""

    base_url: str
    key: str
    hired: set[str] = field(default_factory=set)  # paths of candidates who are hired
    patches: list[Patch] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._arrived = threading.Condition()
        self._orders: dict[str, str] = {}  # path → partner_interview_id
        super().__init__(_handler_class(self))

    def take_home_url(self, number: int) -> str:
        return f"{self.url}/integrations/testing_partners/take_home_tests/{number}"

    def list_tests(self) -> list[dict[str, str]]:
        """Return the partner's tests; both fields of each must be strings."""
        tests: list[dict[str, str]] = self._call("GET", "list_tests").json()
        self._require(isinstance(tests, list), "list_tests", "not a bare array")
        for test in tests:
            is_valid = set(test) == {"partner_test_id", "partner_test_name"} and all(
                isinstance(value, str) for value in test.values()
            )
            self._require(is_valid, "list_tests", f"not two strings: {test}")
        return tests

    def send_test(self, test_id: str, number: int, **candidate: Any) -> str:
        """Send a test to a candidate and return the partner's id."""
        url = self.take_home_url(number)
        body = {"partner_test_id": test_id, "candidate": CANDIDATE | candidate, "url": url}
        response = self._call("POST", "send_test", json=body | {"sent_by": "recruiter@example.org"})
        response.raise_for_status()
        order_id = response.json().get("partner_interview_id")
        self._require(isinstance(order_id, str), "send_test", "partner_interview_id is no string")
        self._orders[urlsplit(url).path] = order_id
        return str(order_id)

    def test_status(self, order_id: str) -> dict[str, Any]:
        """Return the status; a complete one must have what Greenhouse shows."""
        response = self._call("GET", "test_status", params={"partner_interview_id": order_id})
        response.raise_for_status()
        status: dict[str, Any] = response.json()
        for problem in self._status_problems(status):
            self._require(False, "test_status", problem, order_id)
        return status

    def _status_problems(self, status: dict[str, Any]) -> Iterator[str]:
        if missing := sorted(STATUS_FIELDS - status.keys()):
            yield f"{', '.join(missing)} is missing"
        if not isinstance(status.get("partner_status"), str):
            yield f"partner_status is no text: {status.get('partner_status')!r}"
        page, score = status.get("partner_profile_url"), status.get("partner_score")
        if status.get("partner_status") == "complete" and not self._is_public_page(page):
            yield f"no public page: {page}"
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
            yield f"score is not a number: {score!r}"
        for name, value in (status.get("metadata") or {}).items():
            if not isinstance(value, str | int | float | bool):
                yield f"{name} is nested"

    def _is_public_page(self, page: Any) -> bool:
        """Return whether a recruiter's browser opens the page; the partner's own server counts."""
        if not isinstance(page, str):
            return False
        if page.startswith(f"{self.base_url}/"):
            return True
        parts = urlsplit(page)
        host = parts.hostname or ""
        with suppress(ValueError):
            return parts.scheme == "https" and ip_address(host).is_global
        return parts.scheme == "https" and "." in host

    def report_error(self, **body: Any) -> requests.Response:
        return self._call("POST", "response_error", json=body)

    def wait_for_patches(self, count: int, timeout: float = 10.0) -> list[Patch]:
        """Return all PATCHes once `count` have arrived; fail after `timeout` seconds."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.patches) >= count, timeout)
            assert arrived, f"{len(self.patches)} of {count} PATCHes arrived in {timeout} s"
            return list(self.patches)

    def take_patch(self, path: str, length: str | None, authorization: str, body: bytes) -> int:
        """Record a PATCH and return the status code of its answer."""
        expected = requests.Request("PATCH", self.url, auth=(self.key, "")).prepare()
        is_right = authorization == expected.headers["Authorization"]
        status = self.test_status(self._orders[path]) if path in self._orders else None
        with self._arrived:
            self.patches.append(Patch(path, length, body, is_right, status))
            self._arrived.notify_all()
        if not is_right:
            return 401
        if body:
            return 400
        return 404 if status is None or path in self.hired else 200

    def _call(self, method: str, endpoint: str, **arguments: Any) -> requests.Response:
        url = f"{self.base_url}/greenhouse/{endpoint}"
        return requests.request(method, url, auth=(self.key, ""), timeout=10, **arguments)

    def _require(
        self, is_right: bool, api_call: str, problem: str, order_id: str | None = None
    ) -> None:
        if is_right:
            return
        self.problems.append(f"{api_call}: {problem}")
        self.report_error(api_call=api_call, errors=[problem], partner_interview_id=order_id)


def _handler_class(greenhouse: FakeGreenhouse) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PATCH(self) -> None:
            length = self.headers.get("Content-Length")
            authorization = self.headers.get("Authorization", "")
            body = self.rfile.read(int(length or 0))
            self.send_response(greenhouse.take_patch(self.path, length, authorization, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write no access log."""

    return Handler
