"""A strict Jobtrain: the list of DBS checks that wait, one check, and the status that we return.

Jobtrain publishes neither paths nor field names, so a test can rename all (`JobtrainNames`).
"""

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, count, filterfalse, islice
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from tests.factories import ManualClock
from tests.fakes.vendor import FakeVendor, Reply, VendorRequest, status

FIRST_BACKLOG_ID = 1_000_000
PAGE_SIZE_LIMIT = 100
Auth = Literal["headers", "oauth"]
ERROR_TITLES = {
    400: "Invalid Format", 401: "Access Denied", 403: "Authentication Failure",
    404: "Job or Application data does not exist", 405: "Method Not Allowed",
    408: "Request Timeout", 409: "Duplicate Data", 410: "Job Closed",
    413: "Files are too large", 418: "I’m a Teapot", 422: "Mandatory field missing",
    429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
FIELDS = {
    "application_id": "ApplicationID", "candidate_id": "CandidateID", "first_name": "FirstName",
    "last_name": "Surname", "email": "EmailAddress", "phone": "MobileNumber",
    "job_title": "JobTitle", "job_reference": "JobReference", "check": "CheckType",
}  # fmt: skip
LABELS = {
    "invited": "Requested", "started": "In Progress", "completed": "Complete",
    "declined": "Withdrawn", "expired": "Expired", "cancelled": "Cancelled",
}  # fmt: skip


@dataclass(frozen=True)
class JobtrainNames:
    """Every path, header, parameter, key, field and label of one customer's Jobtrain."""

    base_path: str = ""  # before every path
    awaiting_path: str = "/DBS/Awaiting"
    check_path: str = "/DBS/{application_id}"  # empty: Jobtrain has no such endpoint
    status_path: str = "/DBS/{application_id}/Status"
    status_method: str = "PUT"
    token_path: str = "/token"
    client_id_header: str = "ClientID"
    api_key_header: str = "APIKey"
    api_password_header: str = "APIPassword"
    page_no: str = "PageNo"
    page_size: str = "PageSize"
    list_key: str = "candidates"  # empty: the answer is a bare array
    total_key: str = "total"
    results_key: str = "results"
    fields: Mapping[str, str] = field(default_factory=lambda: dict(FIELDS))
    status_field: str = "Status"
    result_field: str = "Result"
    stage_field: str = "Stage"
    stages: tuple[str, ...] = ()  # empty: a status has no stage
    optional_fields: tuple[str, ...] = ()  # more text fields that a status may have
    labels: Mapping[str, str] = field(default_factory=lambda: dict(LABELS))
    outcomes: tuple[str, ...] = ("Clear", "Consider")
    initial_status: str = "Awaiting"


@dataclass(frozen=True)
class Application:
    """A candidate's application that needs one DBS check. A field may have a broken value."""

    application_id: int
    candidate_id: Any
    status: str
    result: str | None = None
    stage: str | None = None
    first_name: Any = "Ana"
    last_name: Any = "Li"
    email: Any = "ana@example.org"
    phone: Any = "+447700900123"
    job_title: Any = "Nurse"
    job_reference: Any = "JT-5"
    check: Any = "Enhanced"


class Refusal(Exception):
    """An answer with an error. `error` is Jobtrain's title, or the code of an OAuth error."""

    def __init__(self, code: int, message: str, error: str = "", **headers: str) -> None:
        super().__init__(message)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.reply = Reply(code, {"error": error or ERROR_TITLES[code], "message": message}, sent)


class FakeJobtrain(FakeVendor):
    """One system (test or live) of one customer, and one system user with an API password."""

    client_id = "jt-client-4711"
    api_key = "jt-key-9c41e07b"
    api_password = "jt-password-58d2f6"
    username = "api.user@example.org"  # of the grant `password`
    client_auth: Literal["basic", "body"] = "basic"  # where a token's request has the client
    grants: tuple[str, ...] = ("client_credentials", "password")
    token_lifetime_seconds = 3600
    role: Literal["all", "half", "none"] = "all"  # half: only even application ids
    sends_totals = True
    sends_check_in_list = True  # False: only the check's own page has its type
    leaves_queue = True  # an application with a returned status leaves the list
    refuses_duplicates = True  # 409 for a status that is there already
    size_limit_bytes = 1_000_000  # of a request's body, and of a page of the list

    def __init__(
        self, clock: ManualClock, names: JobtrainNames | None = None, auth: Auth = "headers"
    ) -> None:
        super().__init__(clock)
        self.names = names or JobtrainNames()
        self.auth = auth
        self.base_url = self.url + self.names.base_path
        self.writes: list[tuple[int, dict[str, str]]] = []  # application id, accepted body
        self.closed_jobs: set[str] = set()  # references; their applications stay in the list
        self.before_page: dict[int, Callable[[], object]] = {}  # called once, before the answer
        self._applications: dict[int, Application | None] = {}  # None: deleted
        self._waiting: dict[int, None] = {}  # an ordered set; in the list after the backlog
        self._backlog_ids = range(FIRST_BACKLOG_ID, FIRST_BACKLOG_ID)
        self._left: set[int] = set()  # ids that left the backlog
        self._tokens: dict[str, datetime] = {}  # token → end of its life

    def add(self, application_id: int | None = None, **values: Any) -> Application:
        """Add an application that waits for its check; without an id it gets the next one."""
        with self._lock:
            if application_id is None:
                application_id = next(n for n in count(1) if n not in self._applications)
            if application_id >= FIRST_BACKLOG_ID or self.application(application_id):
                raise ValueError(f"the id {application_id} is taken")
            self._applications[application_id] = self._new(application_id, **values)
            self._waiting[application_id] = None
            return self._get(application_id)

    def backlog(self, size: int) -> None:
        """Let `size` more applications wait, with ids from `FIRST_BACKLOG_ID`."""
        self._backlog_ids = range(FIRST_BACKLOG_ID, self._backlog_ids.stop + size)

    def application(self, application_id: int) -> Application | None:
        if application_id in self._applications or application_id not in self._backlog_ids:
            return self._applications.get(application_id)
        return self._new(application_id, email=f"candidate{application_id}@example.org")

    def change(self, application_id: int, **changes: Any) -> None:
        """Change fields; the application keeps its position in the list."""
        with self._lock:
            self._applications[application_id] = replace(self._get(application_id), **changes)

    def return_status(
        self,
        application_id: int,
        label: str,
        result: str | None = None,
        stage: str | None = None,
    ) -> None:
        """Set a status as Jobtrain's own users do; without a stage the present one stays."""
        with self._lock:
            stages = {"stage": stage} if stage else {}
            self.change(application_id, status=label, result=result, **stages)
            if self.leaves_queue:
                self._leave(application_id)

    def await_again(self, application_id: int, **changes: Any) -> None:
        """Put an application at the end of the list again, with the initial status."""
        with self._lock:
            self.change(application_id, status=self.names.initial_status, result=None, **changes)
            self._leave(application_id)
            self._waiting[application_id] = None

    def delete(self, application_id: int) -> None:
        """Delete an application: it leaves the list, and its own pages answer 404."""
        with self._lock:
            self._get(application_id)
            self._leave(application_id)
            self._applications[application_id] = None

    def revoke(self) -> None:
        """Withdraw every token; a new one can be asked for."""
        self._tokens.clear()

    def expire(self) -> None:
        """Let the life of every token end now."""
        self._tokens = dict.fromkeys(self._tokens, self.clock.now())

    def refuse_next(
        self, method: str, path_part: str, code: int, *, after: bool = False, **headers: str
    ) -> None:
        """Let the next such request fail with a code of Jobtrain's table and its error body."""
        body = Refusal(code, "Set by the test.").reply.encoded
        self.fail_next(method, path_part, status(code, body, **headers), after=after)

    def budget_client(self, request: VendorRequest) -> str:
        return self.client_id

    def answer(self, request: VendorRequest) -> Reply:
        try:
            if self.auth == "oauth" and self._match(self.names.token_path, request):
                return self._issue_token(request)
            self._check_credentials(request)
            return self._route(request)
        except Refusal as refusal:
            return refusal.reply

    def _route(self, request: VendorRequest) -> Reply:
        names = self.names
        routes: list[tuple[str, str, Callable[..., Reply]]] = [
            ("GET", names.awaiting_path, self._list),
            (names.status_method, names.status_path, self._write_status),
            ("GET", names.check_path, self._read_check),
        ]
        if request.method == "GET" and request.body:
            raise Refusal(400, "A GET request has no body.")
        for method, path, act in routes:
            if method == request.method and (match := self._match(path, request)):
                return act(request, *match.groups())
        is_known = any(self._match(path, request) for _, path, _ in routes)
        raise Refusal(405 if is_known else 404, f"There is no {request.method} {request.path}.")

    def _match(self, path: str, request: VendorRequest) -> re.Match[str] | None:
        pattern = re.escape(self.names.base_path + path)
        pattern = pattern.replace(re.escape("{application_id}"), "([^/]+)")
        return re.fullmatch(pattern, request.path) if path else None

    def _check_credentials(self, request: VendorRequest) -> None:
        names, sent = self.names, request.headers
        if self.auth == "oauth":
            scheme, _, token = sent.get("authorization", "").partition(" ")
            expires_at = self._tokens.get(token)
            if scheme != "Bearer" or expires_at is None or self.clock.now() >= expires_at:
                raise Refusal(401, "The session is not valid.", WWW_Authenticate="Bearer")
        elif sent.get(names.client_id_header.lower()) != self.client_id:
            raise Refusal(401, f"{names.client_id_header} is not valid.")
        elif sent.get(names.api_key_header.lower()) != self.api_key:
            raise Refusal(401, f"{names.api_key_header} is not valid.")
        elif sent.get(names.api_password_header.lower()) != self.api_password:
            raise Refusal(403, f"{names.api_password_header} is not valid.")
        if self.role == "none":
            raise Refusal(403, "The user's Security Role has no access to DBS checks.")

    def _issue_token(self, request: VendorRequest) -> Reply:
        pairs = parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True)
        form = dict(pairs)
        is_form = _content_type(request) == "application/x-www-form-urlencoded"
        is_post = request.method == "POST" and not urlsplit(request.target).query
        if not is_post or not is_form or len(form) < len(pairs):
            raise Refusal(400, "POST a form that has each field once.", "invalid_request")
        pair = base64.b64encode(f"{self.client_id}:{self.api_key}".encode()).decode()
        expected: tuple[str | None, ...] = f"Basic {pair}", None, None
        if self.client_auth == "body":
            expected = None, self.client_id, self.api_key
        sent = request.headers.get("authorization"), *map(form.get, ("client_id", "client_secret"))
        if sent != expected:
            raise Refusal(401, "Unknown client.", "invalid_client", WWW_Authenticate="Basic")
        grant, user = form.get("grant_type"), (form.get("username"), form.get("password"))
        if grant not in self.grants:
            raise Refusal(400, "The grant is not allowed.", "unsupported_grant_type")
        if grant == "password" and user != (self.username, self.api_password):
            raise Refusal(400, "The username or API password is wrong.", "invalid_grant")
        token = secrets.token_urlsafe(24)
        seconds = self.token_lifetime_seconds
        self._tokens[token] = self.clock.now() + timedelta(seconds=seconds)
        return Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": seconds})

    def _list(self, request: VendorRequest) -> Reply:
        names = self.names
        page_no, size = self._paging(request)
        self.before_page.pop(page_no, lambda: None)()
        step = 2 if self.role == "half" else 1
        backlog = self._backlog_ids[::step]
        waiting = [number for number in self._waiting if number % step == 0]
        total = len(backlog) - sum(number in backlog for number in self._left) + len(waiting)
        ordered = chain(filterfalse(self._left.__contains__, backlog), waiting)
        numbers = islice(ordered, (page_no - 1) * size, page_no * size)
        records = [self._record(self._get(number)) for number in numbers]
        for record in () if self.sends_check_in_list else records:
            del record[names.fields["check"]]
        totals = {names.total_key: total, names.results_key: len(records)}
        answer = (totals if self.sends_totals else {}) | {names.list_key: records}
        reply = Reply(200, answer if names.list_key else records)
        if len(reply.encoded) > self.size_limit_bytes:
            raise Refusal(413, f"The page is larger than {self.size_limit_bytes} bytes.")
        return reply

    def _paging(self, request: VendorRequest) -> tuple[int, int]:
        pairs = parse_qsl(urlsplit(request.target).query, keep_blank_values=True)
        query = {self.names.page_no: "1", self.names.page_size: "20"}
        if len(dict(pairs)) < len(pairs) or not dict(pairs).keys() <= query.keys():
            raise Refusal(400, "A parameter is not known, or appears twice.")
        texts = (query | dict(pairs)).values()
        page_no, size = (int(text) if re.fullmatch("[0-9]{1,9}", text) else 0 for text in texts)
        if page_no < 1 or not 1 <= size <= PAGE_SIZE_LIMIT:
            raise Refusal(400, f"The page must be 1 or more, its size 1 to {PAGE_SIZE_LIMIT}.")
        return page_no, size

    def _read_check(self, request: VendorRequest, application_id: str) -> Reply:
        application, names = self._accessible(request, application_id), self.names
        states = {names.status_field: application.status, names.result_field: application.result}
        states |= {names.stage_field: application.stage} if names.stages else {}
        return Reply(200, self._record(application) | states)

    def _write_status(self, request: VendorRequest, application_id: str) -> Reply:
        if len(request.body) > self.size_limit_bytes:
            raise Refusal(413, f"The body is larger than {self.size_limit_bytes} bytes.")
        application, names = self._accessible(request, application_id), self.names
        known = {names.status_field, names.result_field, *names.optional_fields}
        known |= {names.stage_field} if names.stages else set()
        body: Any = None
        with suppress(ValueError):
            body = request.json if _content_type(request) == "application/json" else None
        is_known = isinstance(body, dict) and body.keys() <= known
        if not is_known or not all(isinstance(text, str) for text in body.values()):
            raise Refusal(400, f"The body must be JSON, with texts in {', '.join(sorted(known))}.")
        label, result = body.get(names.status_field), body.get(names.result_field)
        if label not in names.labels.values() or not all(text.strip() for text in body.values()):
            raise Refusal(422, f"{names.status_field} is not known, or a field is blank.")
        results = names.outcomes if label == names.labels["completed"] else ()
        if result is not None and result not in results:
            raise Refusal(422, f"{names.result_field} is not valid with this status.")
        stage = body.get(names.stage_field) if names.stages else None
        if stage is not None and stage not in names.stages:
            raise Refusal(422, f"{names.stage_field} is not known.")
        present = application.status, application.result, stage and application.stage
        if self.refuses_duplicates and (label, result, stage) == present:
            raise Refusal(409, "The application has this status already.")
        self.return_status(application.application_id, label, result, stage)
        self.writes.append((application.application_id, body))
        return Reply(200, body)

    def _accessible(self, request: VendorRequest, application_id: str) -> Application:
        if urlsplit(request.target).query or not re.fullmatch("[0-9]{1,12}", application_id):
            raise Refusal(400, "The id must be a number, and the address has no parameters.")
        application = self.application(int(application_id))
        if application is None:
            raise Refusal(404, f"There is no application {application_id}.")
        if self.role == "half" and application.application_id % 2:
            raise Refusal(403, "The user's Security Role has no access to this application.")
        if application.job_reference in self.closed_jobs:
            raise Refusal(410, f"The job {application.job_reference} is closed.")
        return application

    def _record(self, application: Application) -> dict[str, Any]:
        return {sent: getattr(application, name) for name, sent in self.names.fields.items()}

    def _new(self, number: int, **values: Any) -> Application:
        values.setdefault("candidate_id", number + 500)
        values.setdefault("status", self.names.initial_status)
        return Application(number, **values)

    def _get(self, application_id: int) -> Application:
        if application := self.application(application_id):
            return application
        raise KeyError(application_id)

    def _leave(self, application_id: int) -> None:
        self._waiting.pop(application_id, None)
        self._left.add(application_id)


def _content_type(request: VendorRequest) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
