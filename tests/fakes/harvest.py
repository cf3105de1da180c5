"""A strict Greenhouse: Harvest v3 and the webhooks of one customer.

A list is a bare array with the highest id first; the header `Link` has the next page's cursor.
The module does not play the Assessment Partner API.
"""

import base64
import binascii
import hmac
import json
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import requests

from tests.factories import ManualClock
from tests.fakes.harvest_oauth import Auth, Connection, OAuthVendor, Refusal
from tests.fakes.harvest_records import (
    ATTACHMENT_TYPES,
    DEFAULTS,
    HarvestRecords,
    Record,
    field_names,
    shown,
)
from tests.fakes.vendor import Reply, VendorRequest

PAGE_SIZE, PAGE_SIZE_LIMIT = 100, 500
RETRY_MINUTES = (1, 15, 60, 120, 240, 480)  # between the seven tries of a webhook event
REPLACING_TYPES = ("resume", "cover_letter")
VISIBILITIES = ("admin_only", "private", "public")
REQUIRED_FIELDS: dict[str, dict[str, type | tuple[str, ...]]] = {  # field → its type or values
    "notes": {"candidate_id": int, "body": str, "visibility": VISIBILITIES, "note_type": ("NOTE",)},
    "attachments": {"application_id": int, "filename": str, "type": ATTACHMENT_TYPES,
                    "visibility": VISIBILITIES},
}  # fmt: skip
OPTIONAL_FIELDS: dict[str, dict[str, type]] = {
    "notes": {"user_id": int},
    "attachments": {"content": str, "url": str},
}
SCOPES = frozenset(
    {f"harvest:{resource}:list" for resource in DEFAULTS}
    | {"harvest:notes:create", "harvest:attachments:create"}
)
CANDIDATE_FIELDS = ("id", "first_name", "last_name", "email_addresses", "phone_numbers")


class Cursor(NamedTuple):
    """A place in a list: the parameters of the first page, and the last id before the place."""

    resource: str
    query: dict[str, str]
    before_id: int | None
    page_no: int
    issued_at: datetime


@dataclass
class Delivery:
    """One webhook event; `answers` has the time and status code (None: no answer) of each try."""

    event_id: str
    body: bytes
    signature: str
    answers: list[tuple[datetime, int | None]] = field(default_factory=list)
    tries: int = 0  # without those of `replay`
    next_try_at: datetime | None = None


class FakeHarvest(OAuthVendor, HarvestRecords):
    """One customer of Greenhouse, with one client. Greenhouse does not publish `budget_limit`."""

    budget_limit: int | None = 75
    budget_window = 30
    hides_lists = False  # a user without Site Admin rights gets empty lists instead of 403
    cursor_lifetime_seconds: int | None = None
    dead_cursor_code = 422
    removed_version_code = 410  # of the paths under /v1 and /v2
    webhook_url = ""
    webhook_secret = "SECRET"
    webhook_enabled = False  # `ping` sets it
    webhook_timeout_seconds = 10.0

    def __init__(self, clock: ManualClock, auth: Auth = "client_credentials") -> None:
        OAuthVendor.__init__(self, clock, SCOPES, auth)
        HarvestRecords.__init__(self, clock, self._lock)
        self.api_url = f"{self.url}/v3"
        self.link_base = self.api_url  # the beginning of the URL in `Link`
        self.writes: list[tuple[str, Record]] = []  # resource, accepted body
        self.contents: dict[int, bytes] = {}  # attachment id → the file
        self.before_page: dict[tuple[str, int], Callable[[], object]] = {}  # called once
        self.deliveries: list[Delivery] = []
        self._cursors: dict[str, Cursor] = {}

    def sign(self, body: bytes, secret: str = "") -> str:
        """Return the header `Signature` of a webhook: a space follows `sha256`."""
        key = (secret or self.webhook_secret).encode()
        return f"sha256 {hmac.new(key, body, 'sha256').hexdigest()}"

    def ping(self) -> Delivery:
        """Send what Greenhouse sends when a webhook is saved; only a 200 enables the webhook."""
        delivery = self.event("ping", {"web_hook_id": 71})
        self.webhook_enabled = self._post(delivery) == 200
        return delivery

    def move(self, application_id: int, stage_id: int) -> Delivery | None:
        """Move an application to a stage, and send the event if the webhook is enabled."""
        self.enter(application_id, stage_id)
        return self.notify(application_id) if self.webhook_enabled else None

    def notify(self, application_id: int, *, secret: str = "") -> Delivery:
        """Send the event of a changed stage; another `secret` forges the signature."""
        payload = self.payload(application_id)
        delivery = self.event("candidate_stage_change", payload, secret=secret)
        self._post(delivery, has_retries=True)
        return delivery

    def storm(self, application_id: int, *stage_ids: int, copies: int = 3) -> list[Delivery]:
        """Move through the stages, then send each event `copies` times, the newest event first."""
        events: list[Delivery] = []
        for stage_id in stage_ids:
            self.enter(application_id, stage_id)
            events.insert(0, self.event("candidate_stage_change", self.payload(application_id)))
        for delivery in events:
            for _ in range(copies):
                self.replay(delivery)
        return events

    def replay(self, delivery: Delivery | None = None) -> int | None:
        """Send an event, by default the last one, again; return the answer's status code."""
        return self._post(delivery or self.deliveries[-1])

    def retry_due(self) -> int:
        """Send the failed events whose waiting time is over, and return their number."""
        now = self.clock.now()
        due = [event for event in self.deliveries if event.next_try_at and event.next_try_at <= now]
        for delivery in due:
            self._post(delivery, has_retries=True)
        return len(due)

    def event(self, action: str, payload: Record, *, secret: str = "") -> Delivery:
        """Build and note an event; `replay` sends it. Its body has no Unicode and no <, > and &."""
        text = json.dumps({"action": action, "payload": payload}, separators=(",", ":"))
        body = re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", text).encode()
        delivery = Delivery(str(uuid4()), body, self.sign(body, secret))
        self.deliveries.append(delivery)
        return delivery

    def payload(self, application_id: int) -> Record:
        """Return the payload of a changed stage: the application's present state."""
        application = self.get("applications", application_id)
        row = self.record("application_stages", application["stage_id"] or 0)
        stage = row and self.get("job_interview_stages", row["job_interview_stage_id"])
        job = self.record("jobs", application["job_id"] or 0)
        state: Record = shown(application, ("id", "status", "prospect"))
        state["status"] = state["status"].replace("in_process", "active")
        state["current_stage"] = stage and {**shown(stage, ("id", "name")), "interviews": []}
        candidate = self.get("candidates", application["candidate_id"])
        state["candidate"] = shown(candidate, CANDIDATE_FIELDS)
        state["jobs"] = [shown(job, ("id", "name"))] if job else []
        return {"application": state}

    def _post(self, delivery: Delivery, *, has_retries: bool = False) -> int | None:
        headers = {"Content-Type": "application/json", "Signature": delivery.signature}
        headers["Greenhouse-Event-ID"] = delivery.event_id
        code: int | None = None
        with suppress(requests.RequestException), requests.Session() as session:
            session.trust_env = False
            code = session.post(
                self.webhook_url,
                delivery.body,
                headers=headers,
                timeout=self.webhook_timeout_seconds,
                allow_redirects=False,
            ).status_code
        delivery.answers.append((self.clock.now(), code))
        if has_retries:
            delivery.tries += 1
            waits = RETRY_MINUTES[delivery.tries - 1 :] if code != 200 else ()
            moments = [self.clock.now() + timedelta(minutes=minutes) for minutes in waits]
            delivery.next_try_at = moments[0] if moments else None
        return code

    def is_user(self, user_id: int) -> bool:
        user = self.record("users", user_id)
        return user is not None and not user["deactivated"]

    def budget_client(self, request: VendorRequest) -> str:
        return self.client_id

    def budget_headers(self, remaining: int, resets_at: int, is_over: bool) -> dict[str, str]:
        numbers = {"X-RateLimit-Limit": self.budget_limit, "X-RateLimit-Remaining": remaining}
        numbers |= {"X-RateLimit-Reset": resets_at} if is_over else {}
        return {name: str(number) for name, number in numbers.items()}

    def answer_api(self, request: VendorRequest) -> Reply:
        match = re.fullmatch("/v([123])/(.*)", request.path)
        if match is None or match[1] != "3":
            raise Refusal(404 if match is None else self.removed_version_code)
        connection, resource = self.connection(request), match[2]
        if request.method == "GET" and resource in DEFAULTS:
            self.require_scope(connection, f"harvest:{resource}:list")
            return self._list(request, resource, connection)
        if request.method == "POST" and resource in REQUIRED_FIELDS:
            self.require_scope(connection, f"harvest:{resource}:create")
            return self._create(request, resource, connection)
        raise Refusal(404)

    def _list(self, request: VendorRequest, resource: str, connection: Connection) -> Reply:
        is_admin = self.get("users", connection.user_id)["site_admin"]
        if not is_admin and not self.hides_lists:
            raise Refusal(403, "The user is not a Site Admin.")
        pairs = parse_qsl(urlsplit(request.target).query, keep_blank_values=True)
        if request.body or len(dict(pairs)) < len(pairs):
            raise Refusal(422, "A list has no body, and has each parameter once.")
        now = self.clock.now()
        cursor = Cursor(resource, dict(pairs), None, 1, now)
        if "cursor" in cursor.query:
            cursor = self._find_cursor(cursor)
        self.before_page.pop((resource, cursor.page_no), lambda: None)()
        query = dict(cursor.query)
        size = _page_size(query.pop("per_page", str(PAGE_SIZE)))
        names = field_names(resource, query.pop("fields", None))
        rows = list(islice(self.matching(resource, query, cursor.before_id), size + 1))
        rows = rows if is_admin else []
        reply = Reply(200, [shown(row, names) for row in rows[:size]])
        if len(rows) > size:
            text, last_id = secrets.token_urlsafe(40), rows[size - 1]["id"]
            page_no = cursor.page_no + 1
            self._cursors[text] = Cursor(resource, cursor.query, last_id, page_no, now)
            reply.headers["Link"] = f'<{self.link_base}/{resource}?cursor={text}>; rel="next"'
        return reply

    def _find_cursor(self, first: Cursor) -> Cursor:
        if first.query.keys() != {"cursor"}:
            raise Refusal(422, "When passing a cursor, do not include other query params.")
        cursor = self._cursors.get(first.query["cursor"])
        if cursor is None or cursor.resource != first.resource:
            raise Refusal(422, {"cursor": "is not valid"})
        seconds = (first.issued_at - cursor.issued_at).total_seconds()
        if self.cursor_lifetime_seconds is not None and seconds >= self.cursor_lifetime_seconds:
            raise Refusal(self.dead_cursor_code, {"cursor": "has expired"})
        return cursor

    def _create(self, request: VendorRequest, resource: str, connection: Connection) -> Reply:
        body = _checked_body(request, resource)
        values = {name: value for name, value in body.items() if name != "content"}
        content = b""
        if resource == "notes":
            values["type"] = values.pop("note_type")
            values.setdefault("user_id", connection.user_id)
            self._require("candidates", body["candidate_id"])
            if not self.is_user(values["user_id"]):
                raise Refusal(422, {"user_id": "is not an active user"})
        else:
            content = _file(body)
            application = self._require("applications", body["application_id"])
            values["candidate_id"] = application["candidate_id"]
            self._replace_files(values["candidate_id"], body["type"])
        number = self.add(resource, **values)
        if resource == "attachments":
            self.contents[number] = content
            url = body.get("url", f"https://files.example.org/{number}?X-Amz-Signature=1")
            self.change(resource, number, url=url)
        self.writes.append((resource, body))
        names = field_names(resource, None)
        return Reply(201, shown(self.get(resource, number), names))

    def _require(self, resource: str, number: int) -> Record:
        record = self.record(resource, number)
        if record is None:
            raise Refusal(404)
        return record

    def _replace_files(self, candidate_id: int, file_type: str) -> None:
        for row in self.records("attachments") if file_type in REPLACING_TYPES else ():
            if (row["candidate_id"], row["type"]) == (candidate_id, file_type):
                self.delete("attachments", row["id"])


def _page_size(text: str) -> int:
    size = int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
    if size > PAGE_SIZE_LIMIT:
        raise Refusal(422, {"per_page": f"`{text}` number is greater than: {PAGE_SIZE_LIMIT}"})
    if size < 1:
        raise Refusal(422, {"per_page": f"`{text}` is not a number from 1"})
    return size


def _checked_body(request: VendorRequest, resource: str) -> Record:
    required, optional = REQUIRED_FIELDS[resource], OPTIONAL_FIELDS[resource]
    body: Any = None
    content_type = request.headers.get("content-type", "").partition(";")[0]
    with suppress(ValueError):
        body = request.json if content_type == "application/json" else None
    if not isinstance(body, dict) or urlsplit(request.target).query:
        raise Refusal(400, "The body must be a JSON object, and the address has no parameters.")
    errors = [{name: "is missing"} for name in required if name not in body]
    for name, value in body.items():
        allowed = required.get(name) or optional.get(name, ())
        is_valid = value in allowed if isinstance(allowed, tuple) else type(value) is allowed
        if not is_valid or value == "":
            errors.append({name: f"the field is not known, or `{value!r:.40}` is not valid"})
    if errors:
        raise Refusal(422, *errors)
    return body


def _file(body: Record) -> bytes:
    """Return the content of an attachment, empty when the attachment has an address."""
    if ("content" in body) == ("url" in body):
        raise Refusal(422, "Pass either content or url.")
    try:
        return base64.b64decode(body.get("content", ""), validate=True)
    except binascii.Error:
        raise Refusal(422, {"content": "is not Base64"}) from None
