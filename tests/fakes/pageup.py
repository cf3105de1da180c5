"""A strict PageUp Recruitment Marketing: JSON:API, signed as the Ruby gem `api_auth` does it."""

import base64
import hashlib
import hmac
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from itertools import chain, count, filterfalse, islice
from random import Random
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import NAMESPACE_URL, uuid4, uuid5
from zoneinfo import ZoneInfo

from tests.factories import ManualClock
from tests.fakes.vendor import FakeVendor, Reply, VendorRequest

MEDIA_TYPE = "application/vnd.api+json"
FIRST_BACKLOG_ID = 1_000_000
CLOCK_SKEW_LIMIT = timedelta(minutes=15)
SCHEMES = {"sha1": "APIAuth", "sha256": "APIAuth-HMAC-SHA256"}
HASH_HEADERS = {"md5": "content-md5", "sha256": "x-authorization-content-sha256"}
INCLUDES = {"resumes", "jobs", "job_applications", "notes"}  # of 23 that PageUp has
WINDOW_START, WINDOW_END = "filter[updated_at][gte]", "filter[updated_at][lt]"
LIST_PARAMETERS = {"page", "per_page", "include", "filter[email][eq]", WINDOW_START, WINDOW_END}
ATTRIBUTES: dict[str, Any] = {
    "first_name": "Ana", "last_name": "Li", "name": "Ana Li", "email": "ana@example.org",
    "phone_number": "+1-202-555-0169", "latest_ats_status": None, "custom_data": {},
    "internal_candidate": False,
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A candidate as PageUp stores it. Tags and résumés are id → name; any attribute may be bad."""

    candidate_id: int
    updated_at: datetime
    tags: Mapping[str, str]
    resumes: Mapping[str, str]
    attributes: Mapping[str, Any]

    def changed(self, values: Mapping[str, Any]) -> "Candidate":
        attributes = {**self.attributes, **values}
        updated_at = attributes.pop("updated_at", self.updated_at)
        tags = _with_ids(self.candidate_id, attributes.pop("tags", self.tags))
        resumes = _with_ids(self.candidate_id, attributes.pop("resumes", self.resumes))
        return Candidate(self.candidate_id, updated_at, tags, resumes, attributes)

    @property
    def resource(self) -> dict[str, Any]:
        utc = self.updated_at.astimezone(UTC)
        computed = {
            "uid": uuid5(NAMESPACE_URL, str(self.candidate_id)).hex,
            "tags": list(self.tags.values()),
            "updated_at": {"utc": f"{utc:%Y-%m-%dT%H:%M:%SZ}", "epoch": int(utc.timestamp())},
        }
        related: dict[str, Any] = {name: {"data": []} for name in INCLUDES}
        related["resumes"]["data"] = [{"id": i, "type": "candidate_files"} for i in self.resumes]
        data = {"id": str(self.candidate_id), "type": "candidates", "relationships": related}
        return data | {"attributes": {**self.attributes, **computed}}


class Refusal(Exception):
    """An answer with an error of JSON:API."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.reply = Reply(code, {"errors": [{"status": str(code), "detail": detail}]})


class FakePageUp(FakeVendor):
    """One region of PageUp with the candidates of one customer."""

    key = "pu-key-3fa1"
    secret = "pu-secret-77c05e"
    canonical: Literal["with_method", "without"] = "with_method"
    content_hash: Literal["md5", "sha256", "none"] = "md5"  # none: no hash header is read
    digest: Literal["sha1", "sha256"] = "sha1"
    rewrites_date = False  # a proxy replaces the header Date by its own time, a second later
    base_path = "/v2"
    serves_v1 = False  # True: /v1 is served besides `base_path`
    clock_zone = "UTC"  # of the times in filters, which have no zone
    default_per_page = 5
    max_per_page = 100  # above it the answer is 422
    shuffles_pages = False  # each request of the list begins at another candidate
    next_link_origin: str | None = None  # scheme and host of `links.next`; None: it is not sent
    tag_needs_email = False  # a new tag needs the attribute `email`, as the schema says
    tag_bumps_updated_at = True
    duplicate_tag_status: Literal[200, 422] = 200
    stores_duplicate_tags = False  # with the status 200: a second tag with the same name is added
    file_replaces_resume = False  # True: a new file is the only résumé, False: one résumé more
    sends_retry_after = False

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.writes: list[tuple[str, int, str]] = []  # "tag", "untag" or "file"; id; name
        self.files: dict[str, bytes] = {}  # id of a file that was sent → its content
        self.rejection_reasons: list[str] = []  # of each 401, which itself tells no reason
        self.before_page: dict[int, Callable[[], object]] = {}  # called once, before the answer
        self._stored: dict[int, Candidate | None] = {}  # None: deleted
        self._backlog_ids = range(FIRST_BACKLOG_ID, FIRST_BACKLOG_ID)
        self._backlog_end, self._backlog_spacing = clock.now(), timedelta()
        self._backlog_values: dict[str, Any] = {}

    @property
    def base_url(self) -> str:
        return self.url + self.base_path

    def add(self, candidate_id: int | None = None, **values: Any) -> Candidate:
        """Add a candidate; `tags` and `resumes` are names, other values are attributes."""
        with self._lock:
            if candidate_id is None:
                candidate_id = next(n for n in count(1) if n not in self._stored)
            if candidate_id >= FIRST_BACKLOG_ID or candidate_id in self._stored:
                raise ValueError(f"the id {candidate_id} is taken")
            blank = Candidate(candidate_id, self.clock.now(), {}, {}, ATTRIBUTES)
            candidate = self._stored[candidate_id] = blank.changed(values)
            return candidate

    def backlog(self, size: int, spacing: timedelta = timedelta(), **values: Any) -> None:
        """Add `size` candidates, once; the last is updated now, each other `spacing` earlier."""
        with self._lock:
            self._backlog_ids = range(FIRST_BACKLOG_ID, FIRST_BACKLOG_ID + size)
            self._backlog_end, self._backlog_spacing = self.clock.now(), spacing
            self._backlog_values = {"tags": ["needs numeracy"]} | values

    def candidate(self, candidate_id: int) -> Candidate:
        """Return a candidate, or raise the refusal 404."""
        if candidate := self._stored.get(candidate_id):
            return candidate
        if candidate_id in self._stored or candidate_id not in self._backlog_ids:
            raise Refusal(404, f"There is no candidate {candidate_id}.")
        attributes = {**ATTRIBUTES, "email": f"candidate{candidate_id}@example.org"}
        blank = Candidate(candidate_id, self._backlog_time(candidate_id), {}, {}, attributes)
        return blank.changed(self._backlog_values)

    def change(self, candidate_id: int, **changes: Any) -> None:
        """Change values as in `add`; `tag_bumps_updated_at` holds for a change of tags alone."""
        with self._lock:
            if self.tag_bumps_updated_at or changes.keys() != {"tags"}:
                changes.setdefault("updated_at", self.clock.now())
            self._stored[candidate_id] = self.candidate(candidate_id).changed(changes)

    def delete(self, candidate_id: int) -> None:
        with self._lock:
            self.candidate(candidate_id)
            self._stored[candidate_id] = None

    def revoke(self) -> None:
        """Withdraw the key and the secret; the new ones are in `key` and `secret`."""
        self.key, self.secret = f"pu-key-{uuid4().hex}", f"pu-secret-{uuid4().hex}"

    def budget_client(self, request: VendorRequest) -> str:
        return request.headers.get("authorization", "").partition(":")[0]

    def answer(self, request: VendorRequest) -> Reply:
        try:
            reply = self._route(request)
        except Refusal as refusal:
            reply = refusal.reply
        reply.headers["Content-Type"] = MEDIA_TYPE
        return reply

    def _route(self, request: VendorRequest) -> Reply:
        base = "/v1" if self.serves_v1 and request.path.startswith("/v1/") else self.base_path
        if not request.path.startswith(base + "/"):
            raise Refusal(404, f"There is no {request.path}.")
        self._check_signature(request)
        if MEDIA_TYPE not in map(str.strip, request.headers.get("accept", "").split(",")):
            raise Refusal(406, f"Accept must name {MEDIA_TYPE}, without a parameter.")
        candidate_path = f"{base}/candidates/([1-9][0-9]{{0,11}})"
        routes: list[tuple[str, str, set[str], Callable[..., Reply]]] = [
            ("GET", f"{base}/candidates", LIST_PARAMETERS, self._list),
            ("GET", candidate_path, {"include"}, self._read),
            ("GET", f"{candidate_path}/tags", set(), self._list_tags),
            ("POST", f"{candidate_path}/tags", set(), self._create_tag),
            ("DELETE", f"{candidate_path}/tags/([^/]+)", set(), self._delete_tag),
            ("POST", f"{candidate_path}/candidate_files", set(), self._create_file),
        ]
        for method, pattern, parameters, act in routes:
            if method == request.method and (match := re.fullmatch(pattern, request.path)):
                pairs = parse_qsl(urlsplit(request.target).query, keep_blank_values=True)
                if len(request.query) < len(pairs) or not request.query.keys() <= parameters:
                    raise Refusal(400, "A parameter is not known, or appears twice.")
                if method != "POST" and request.body:
                    raise Refusal(400, f"A {method} request has no body.")
                if method == "POST" and request.headers.get("content-type") != MEDIA_TYPE:
                    raise Refusal(415, f"The body must be {MEDIA_TYPE}, without a parameter.")
                arguments = [self.candidate(int(number)) for number in match.groups()[:1]]
                return act(request, *arguments, *match.groups()[1:])
        raise Refusal(404, f"There is no {request.method} {request.path}.")

    def _check_signature(self, request: VendorRequest) -> None:
        sent, now = dict(request.headers), self.clock.now()
        if self.rewrites_date and "date" in sent:
            sent["date"] = format_datetime(now + timedelta(seconds=1), usegmt=True)
        date = sent.get("x-hmac-date", sent.get("date", ""))
        sent_hash = sent.get(HASH_HEADERS.get(self.content_hash, ""), "")
        fields = [request.method, sent.get("content-type", ""), sent_hash, request.target, date]
        text = ",".join(fields if self.canonical == "with_method" else fields[1:])
        body_hash = hashlib.new(self.content_hash, request.body).digest() if sent_hash else b""
        signature = hmac.digest(self.secret.encode(), text.encode("latin-1"), self.digest)
        scheme, _, credential = sent.get("authorization", "").partition(" ")
        key, _, sent_signature = credential.partition(":")
        reasons = {
            "scheme": scheme != SCHEMES[self.digest],
            "key": key != self.key,
            "date": not _is_near(date, now),
            "hash": sent_hash != base64.b64encode(body_hash).decode(),
            "signature": sent_signature != base64.b64encode(signature).decode(),
        }
        for reason in filter(reasons.get, reasons):
            self.rejection_reasons.append(reason)
            raise Refusal(401, "The API credentials are not valid.")

    def _list(self, request: VendorRequest) -> Reply:
        query = request.query
        sizes = query.get("page", "1"), query.get("per_page", str(self.default_per_page))
        page, size = (int(text) if re.fullmatch("[0-9]{1,9}", text) else 0 for text in sizes)
        if page < 1 or not 1 <= size <= self.max_per_page:
            raise Refusal(422, f"page is at least 1, per_page from 1 to {self.max_per_page}.")
        start = self._moment(query.get(WINDOW_START, "0001-01-02T00:00:00"))
        end = self._moment(query.get(WINDOW_END, "9999-12-30T00:00:00"))
        self.before_page.pop(page, lambda: None)()
        accepted = self._numbers(start, end, query.get("filter[email][eq]"))
        numbers = list(islice(accepted, (page - 1) * size, page * size + 1))
        document = _document([self.candidate(number) for number in numbers[:size]], query)
        if self.next_link_origin is not None and len(numbers) > size:
            following = urlencode(query | {"page": str(page + 1)})
            document["links"] = {"next": f"{self.next_link_origin}{request.path}?{following}"}
        return Reply(200, document)

    def _numbers(self, start: datetime, end: datetime, email: str | None) -> Iterator[int]:
        """Yield the ids of all candidates that the filter accepts, in the order of the list."""
        ids: Sequence[int] = self._backlog_ids
        ids = ids[slice(*(bisect_left(ids, at, key=self._backlog_time) for at in (start, end)))]
        if email is not None:
            computed = (self.candidate(number) for number in ids if number not in self._stored)
            ids = [c.candidate_id for c in computed if c.attributes["email"] == email]
        accepted = {
            number
            for number, c in self._stored.items()
            if c and start <= c.updated_at < end and email in (None, c.attributes["email"])
        }
        moved_in = sorted(number for number in accepted if number not in ids)
        moved_out = {number for number in self._stored if number in ids} - accepted
        total = len(moved_in) + len(ids) - len(moved_out)
        first = Random(len(self.request_log)).randrange(max(total, 1)) if self.shuffles_pages else 0
        twice = (chain(moved_in, filterfalse(moved_out.__contains__, ids)) for _ in range(2))
        return islice(chain.from_iterable(twice), first, first + total)

    def _moment(self, text: str) -> datetime:
        with suppress(ValueError):
            moment = datetime.fromisoformat(text).replace(tzinfo=None)
            if moment.isoformat() == text:
                return moment.replace(tzinfo=ZoneInfo(self.clock_zone))
        raise Refusal(422, "A time in a filter must look like 2021-01-01T13:00:17.")

    def _read(self, request: VendorRequest, candidate: Candidate) -> Reply:
        document = _document([candidate], request.query)
        return Reply(200, document | {"data": document["data"][0]})

    def _list_tags(self, request: VendorRequest, candidate: Candidate) -> Reply:
        tags = [_named("tags", "name", *tag) for tag in candidate.tags.items()]
        return Reply(200, {"data": tags})

    def _create_tag(self, request: VendorRequest, candidate: Candidate) -> Reply:
        required = {"name", "email"} if self.tag_needs_email else {"name"}
        name = _attributes(request, "tag", required, "email")["name"]
        tag_id = next((tag_id for tag_id, known in candidate.tags.items() if known == name), None)
        if tag_id is not None and self.duplicate_tag_status == 422:
            raise Refusal(422, "The candidate has this tag already.")
        if tag_id is None or self.stores_duplicate_tags:
            tag_id = str(uuid4())
            self.change(candidate.candidate_id, tags={**candidate.tags, tag_id: name})
            self.writes.append(("tag", candidate.candidate_id, name))
        return Reply(200, {"data": _named("tags", "name", tag_id, name)})

    def _delete_tag(self, request: VendorRequest, candidate: Candidate, tag_id: str) -> Reply:
        tags = dict(candidate.tags)
        if tag_id not in tags:
            raise Refusal(404, f"There is no tag {tag_id}.")
        self.writes.append(("untag", candidate.candidate_id, tags.pop(tag_id)))
        self.change(candidate.candidate_id, tags=tags)
        return Reply(200)

    def _create_file(self, request: VendorRequest, candidate: Candidate) -> Reply:
        sent = _attributes(request, "candidate_files", {"filename", "content"})
        file_id, name = uuid4().hex, sent["filename"]
        try:
            self.files[file_id] = base64.b64decode(sent["content"], validate=True)
        except ValueError:
            raise Refusal(422, "content must be base64.") from None
        others = {} if self.file_replaces_resume else candidate.resumes
        self.change(candidate.candidate_id, resumes={**others, file_id: name})
        self.writes.append(("file", candidate.candidate_id, name))
        return Reply(201, {"data": _named("candidate_files", "filename", file_id, name)})

    def _backlog_time(self, candidate_id: int) -> datetime:
        return self._backlog_end - (self._backlog_ids[-1] - candidate_id) * self._backlog_spacing


def _with_ids(candidate_id: int, names: Iterable[str] | Mapping[str, str]) -> Mapping[str, str]:
    """Give names ids that are the same at every call; a mapping has them already."""
    if isinstance(names, Mapping):
        return names
    return {str(uuid5(NAMESPACE_URL, f"{candidate_id}/{name}")): name for name in names}


def _document(candidates: list[Candidate], query: Mapping[str, str]) -> dict[str, Any]:
    """Return the candidates, with their résumés in `included` when the query asks for them."""
    includes = set(query["include"].split(",")) if "include" in query else set()
    if not includes <= INCLUDES:
        raise Refusal(400, "A relationship in include is not known.")
    files = chain.from_iterable(c.resumes.items() for c in candidates if "resumes" in includes)
    included = [_named("candidate_files", "filename", *file) for file in files]
    document = {"data": [candidate.resource for candidate in candidates]}
    return document | ({"included": included} if includes else {})


def _named(resource_type: str, attribute: str, record_id: str, name: str) -> dict[str, Any]:
    return {"id": record_id, "type": resource_type, "attributes": {attribute: name}}


def _attributes(request: VendorRequest, kind: str, required: set[str], *optional: str) -> Any:
    """Return the attributes in the body; each must be a text that is not blank."""
    with suppress(ValueError):
        match request.json:
            case {"data": {"type": str(sent), "attributes": dict(attributes), **others}, **more}:
                is_right = sent == kind and not others and not more
                is_right &= required <= attributes.keys() <= required.union(optional)
                if is_right and all(isinstance(v, str) and v.strip() for v in attributes.values()):
                    return attributes
    raise Refusal(422, f"data must be a {kind} with {', '.join(sorted(required))}.")


def _is_near(date: str, now: datetime) -> bool:
    """Return whether a date is well formed (RFC 1123, in GMT) and near enough to now."""
    with suppress(ValueError, OverflowError):
        moment = parsedate_to_datetime(date).replace(tzinfo=UTC)
        is_exact = format_datetime(moment, usegmt=True) == date
        return is_exact and abs(now - moment) <= CLOCK_SKEW_LIMIT
    return False
