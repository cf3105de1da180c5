"""The demo's PageUp: a recruiter's tag orders a test, and the server adds a tag with the result."""

import hashlib
import hmac
import json
import secrets
import uuid
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from provider.clock import Clock
from provider.demo.ats import PlacedOrder
from provider.demo.candidate import KNOWN_ANSWERS, Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.server import DemoServer
from provider.demo.vendor import POLL_INTERVAL, DemoVendor, VendorAnswer, VendorRequest
from provider.errors import ProviderError

TAG = "numerical test"
RESULT_TAG = "Numerical Reasoning: excelled"
CANDIDATE_ID = "42"
LIST_PATH, TAGS_PATH = "/v2/candidates", f"/v2/candidates/{CANDIDATE_ID}/tags"
UPDATED_SINCE, UPDATED_BEFORE = "filter[updated_at][gte]", "filter[updated_at][lt]"


class DemoPageUp(DemoVendor):
    """PageUp's API with one candidate. Each request needs a signature by the account's key."""

    ats = "pageup"
    content_type = "application/vnd.api+json"
    condition = f"tag={TAG}"
    product_key = "numerical-reasoning"

    def __init__(self) -> None:
        super().__init__("Lakita Marrero", "lakita.marrero@candidate.test")
        self.tags: dict[str, str] = {}  # id → name
        self._clock = Clock()
        self._updated_at = self._clock.now()
        self._key, self._secret = secrets.token_hex(8), secrets.token_urlsafe(24)

    def settings(self) -> dict[str, str]:
        return {"base_url": f"{self.url}/v2", "poll_every": POLL_INTERVAL, "rate": "100"}

    def secrets(self) -> dict[str, str]:
        return {"api_key": self._key, "api_secret": self._secret}

    def add_tag(self, name: str) -> str:
        """Add a tag unless the candidate has it; return its id."""
        tag_id = next((known for known, text in self.tags.items() if text == name), None)
        if tag_id is None:
            tag_id = str(uuid.uuid4())
            self.tags[tag_id] = name
            self._updated_at = self._clock.now()
        return tag_id

    def answer(self, request: VendorRequest) -> VendorAnswer:
        if not self._is_signed(request):
            return _refusal(request, 401, "the signature is wrong")
        routes = {
            ("GET", LIST_PATH): self._list_candidates,
            ("GET", TAGS_PATH): self._list_tags,
            ("POST", TAGS_PATH): self._create_tag,
            **{("DELETE", f"{TAGS_PATH}/{tag_id}"): self._delete_tag for tag_id in self.tags},
        }
        act = routes.get((request.method, request.path))
        return act(request) if act else _refusal(request, 404, "there is no such page")

    def _list_candidates(self, request: VendorRequest) -> VendorAnswer:
        query = request.query
        is_listed, description = query["page"] == "1", "all candidates"
        if UPDATED_SINCE in query:
            start, end = _moment(query[UPDATED_SINCE]), _moment(query[UPDATED_BEFORE])
            is_listed = is_listed and start <= self._updated_at < end
            description = f"the candidates who changed since {start:%H:%M:%S} UTC"
        names = self.candidate if is_listed else "nobody"
        document = {"data": [self._candidate_resource()] if is_listed else []}
        return VendorAnswer(f"The server reads {description}: {names}", document)

    def _list_tags(self, request: VendorRequest) -> VendorAnswer:
        names = ", ".join(f"“{name}”" for name in self.tags.values())
        document = {"data": [_tag_resource(*item) for item in self.tags.items()]}
        return VendorAnswer(f"The server reads the tags of {self.candidate}: {names}", document)

    def _create_tag(self, request: VendorRequest) -> VendorAnswer:
        name = str(json.loads(request.body)["data"]["attributes"]["name"])
        document = {"data": _tag_resource(self.add_tag(name), name)}
        return VendorAnswer(f"The server gives {self.candidate} the tag “{name}”", document)

    def _delete_tag(self, request: VendorRequest) -> VendorAnswer:
        name = self.tags.pop(request.path.rpartition("/")[2])
        self._updated_at = self._clock.now()
        return VendorAnswer(f"The server deletes the tag “{name}” of {self.candidate}")

    def _candidate_resource(self) -> dict[str, Any]:
        first_name, last_name = self.candidate.split()
        attributes = {
            "first_name": first_name,
            "last_name": last_name,
            "email": self.email,
            "tags": list(self.tags.values()),
            "updated_at": {"utc": self._updated_at.isoformat()},
        }
        return {"id": CANDIDATE_ID, "type": "candidates", "attributes": attributes}

    def _is_signed(self, request: VendorRequest) -> bool:
        """Return whether the signature is PageUp's: with MD5 for the body, and SHA-1 for all."""
        body_digest = ""
        if request.body:
            digest = hashlib.md5(request.body, usedforsecurity=False).digest()
            body_digest = b64encode(digest).decode()
        date, content_type = request.header("X-HMAC-DATE"), request.header("Content-Type")
        text = ",".join((request.method, content_type, body_digest, request.target, date))
        signature = b64encode(hmac.digest(self._secret.encode(), text.encode(), "sha1")).decode()
        expected = f"APIAuth {self._key}:{signature}"
        return hmac.compare_digest(expected.encode(), request.header("Authorization").encode())


def tag_candidate(pageup: DemoPageUp, output: ConsoleOutput) -> None:
    """Give the candidate the rule's tag, as a recruiter does."""
    output.print_heading(f"A recruiter gives {pageup.candidate} the tag “{TAG}” in PageUp")
    with pageup.lock:
        pageup.add_tag(TAG)


def run_automatically(
    pageup: DemoPageUp, server: DemoServer, output: ConsoleOutput, order: PlacedOrder
) -> None:
    """Play the candidate; ProviderError unless the tag with the result is added."""
    output.print_heading(f"{order.candidate} takes the test, in a browser without JavaScript")
    Candidate(order.link).take_test(KNOWN_ANSWERS)
    pageup.wait_for(
        server, output, lambda: len(pageup.tags) > 1, "No tag with the result was added"
    )
    names = list(pageup.tags.values())
    if names != [TAG, RESULT_TAG]:
        raise ProviderError(f"The tags are wrong: {names}")
    pageup.require_no_refusals()
    output.print_heading(f"The tag “{RESULT_TAG}” is there, and each request was signed")


def _tag_resource(tag_id: str, name: str) -> dict[str, Any]:
    return {"id": tag_id, "type": "tag", "attributes": {"name": name}}


def _refusal(request: VendorRequest, status_code: int, reason: str) -> VendorAnswer:
    document = {"errors": [{"status": str(status_code), "detail": reason}]}
    text = f"PageUp refuses {request.method} {request.path}: {reason}"
    return VendorAnswer(text, document, status_code)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
