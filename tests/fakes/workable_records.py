"""Workable's jobs, members and candidates, and the pages in which the API returns a list.

A list is in the order of insertion: first the backlog, then what a test added.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain, dropwhile
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.factories import ManualClock
from tests.fakes.vendor import Reply
from tests.fakes.workable_oauth import API_PATH, Call, Refusal, WorkableOAuth

Record = dict[str, Any]
Row = tuple[str, Record | None]  # an id, and what the list has of it; None: nothing
PAGE_SIZE, PAGE_SIZE_LIMIT = 50, 100
FIRST_ID = 0x3FC9A80F  # of the candidates that a test adds
KINDS = ("sourced", "applied", "shortlisted", "assessment", "phone-screen", "interview", "offer",
         "hired")  # fmt: skip
STAGES: list[Record] = [
    {"slug": kind, "name": kind.replace("-", " ").title(), "kind": kind, "position": position}
    for position, kind in enumerate(KINDS)
]
STAGES.append(  # a slug that the name does not tell
    {"slug": "tech-test-2", "name": "Tech Test (2)", "kind": "assessment", "position": len(KINDS)}
)
JOB: Record = {
    "title": "Office Manager", "code": None, "state": "published", "department": None,
    "subdomain": "groove-tech",
}  # fmt: skip
CANDIDATE: Record = {
    "name": "Lakita Marrero", "firstname": "Lakita", "lastname": "Marrero", "headline": None,
    "job": "GROOV005", "stage": "applied", "disqualified": False, "disqualification_reason": None,
    "sourced": False, "email": "lakita@example.org", "domain": None, "hired_at": None,
    "address": None, "phone": "1-859-557-6573", "tags": [], "resume_url": None,
    "cover_letter": None, "summary": None, "skills": [], "answers": [], "disqualified_at": None,
}  # fmt: skip
DETAIL_FIELDS = {"tags", "resume_url", "cover_letter", "summary", "skills", "answers",
                 "disqualified_at"}  # fmt: skip


class WorkableRecords(WorkableOAuth):
    """The records of the accounts, and the list of candidates.

    There are the account groove-tech, with the jobs GROOV005 and GROOV003 (a draft), and two
    members. A candidate's `job` is a shortcode and its `stage` a slug; the API shows names.
    """

    pages_overlap = True  # the next page begins with the last record of this page
    next_scheme = "http"
    sends_stage: Literal["name", "slug"] = "name"  # in the list of candidates
    moves_update = True  # a move to another stage sets `updated_at`

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.next_host = urlsplit(self.url).netloc  # of `paging.next`
        # List and number of the page → called once, before the page is read.
        self.before_page: dict[tuple[str, int], Callable[[], object]] = {}
        self.jobs: dict[str, Record] = {}  # by shortcode
        self.members: dict[str, Record] = {}
        self.stages = list(STAGES)  # of the accounts, and of new jobs
        self.activities: dict[str, list[Record]] = {}  # candidate → activities
        self.hidden_ids: set[str] = set()  # candidates that the API does not show yet
        self._candidates: dict[str, Record | None] = {}  # None: deleted
        self._added_ids: list[str] = []
        self._backlog_ids = range(0)
        self._backlog_values: Record = {}
        self._page_numbers: dict[str, int] = {}  # list → page that was read last
        self.account_token = self.add_account("groove-tech")
        self.partner_token = self.issue_token("partner", "groove-tech")
        self.add_job("GROOV003", title="Sales Intern", state="draft")
        self.add_job("GROOV005")
        self.add_member("13e0eb0e", name="Eduardo Vallente", role="admin")
        self.add_member("3247e8c7", name="Alexia Middleton", role="simple")

    def add_job(self, shortcode: str, **values: Any) -> None:
        """Add a job; `subdomain` names its account, and `stages` are its pipeline."""
        now = self.clock.now()
        times = {"created_at": now, "updated_at": now}
        number = {"id": f"{0x61884E2 + len(self.jobs):x}", "shortcode": shortcode}
        self.jobs[shortcode] = number | JOB | {"stages": self.stages} | times | values

    def add_member(self, member_id: str, **values: Any) -> None:
        address = f"member-{member_id}@example.org"
        member = {"id": member_id, "headline": None, "email": address, "active": True}
        self.members[member_id] = member | values

    def add(self, candidate_id: str | None = None, **values: Any) -> str:
        """Add a candidate, without an event, and return the id."""
        with self._lock:
            candidate_id = candidate_id or f"{FIRST_ID + len(self._added_ids):x}"
            if candidate_id in self._added_ids or self._backlog_index(candidate_id) is not None:
                raise ValueError(f"the id {candidate_id} is taken")
            now = self.clock.now()
            times = {"created_at": now, "updated_at": now}
            record = {"id": candidate_id} | CANDIDATE | times | values
            self._added_ids.append(candidate_id)
            self._candidates[candidate_id] = record
            self.note(candidate_id, "applied", stage_name=self.stage(record)["name"])
            return candidate_id

    def backlog(self, count: int, **values: Any) -> None:
        """Let `count` candidates be there, with ids from b0000000; they cost no memory."""
        now = self.clock.now()
        self._backlog_ids = range(count)
        self._backlog_values = CANDIDATE | {"created_at": now, "updated_at": now} | values

    def candidate(self, candidate_id: str) -> Record | None:
        """Return a candidate with its times as datetimes; None if it is not there."""
        if candidate_id in self._candidates:
            return self._candidates[candidate_id]
        index = self._backlog_index(candidate_id)
        if index is None:
            return None
        address = f"candidate{index}@example.org"
        return self._backlog_values | {"id": candidate_id, "email": address, "tags": []}

    def existing(self, candidate_id: str) -> Record:
        """Return a candidate; KeyError if it is not there."""
        if record := self.candidate(candidate_id):
            return record
        raise KeyError(candidate_id)

    def change(self, candidate_id: str, **changes: Any) -> None:
        """Change fields; `updated_at` becomes now unless it is given."""
        with self._lock:
            record = self.existing(candidate_id)
            self._candidates[candidate_id] = record | {"updated_at": self.clock.now()} | changes

    def delete(self, candidate_id: str) -> None:
        with self._lock:
            self.existing(candidate_id)
            self._candidates[candidate_id] = None

    def set_stage(self, candidate_id: str, slug: str, member_id: str | None = None) -> None:
        """Move a candidate, without an event."""
        with self._lock:
            record = self.existing(candidate_id)
            stage = self.stage(record | {"stage": slug})
            now = self.clock.now()
            updated_at = now if self.moves_update else record["updated_at"]
            hired_at = now if stage["kind"] == "hired" else None
            self.change(candidate_id, stage=slug, hired_at=hired_at, updated_at=updated_at)
            self.note(candidate_id, slug, member_id, stage_name=stage["name"])

    def set_disqualified(
        self, candidate_id: str, reason: str | None, member_id: str | None = None
    ) -> None:
        """Disqualify a candidate, without an event."""
        with self._lock:
            changes = {"disqualified_at": self.clock.now(), "disqualification_reason": reason}
            self.change(candidate_id, disqualified=True, **changes)
            self.note(candidate_id, "disqualified", member_id, body=reason)

    def stage(self, record: Record) -> Record:
        """Return the stage of a candidate's record; an unknown slug is a KeyError."""
        for stage in self.jobs[record["job"]]["stages"]:
            if stage["slug"] == record["stage"]:
                return dict(stage)
        raise KeyError(record["stage"])

    def slugs(self, subdomain: str, shortcode: str = "") -> list[Any]:
        """Return the slugs of the stages of a job, or of an account and all its jobs."""
        jobs = [job for job in self.jobs.values() if job["subdomain"] == subdomain]
        pipelines = [job["stages"] for job in jobs if shortcode in ("", job["shortcode"])]
        pipelines += [] if shortcode else [self.stages]
        return [stage["slug"] for stages in pipelines for stage in stages]

    def note(
        self,
        candidate_id: str,
        action: str,
        member_id: str | None = None,
        *,
        body: str | None = None,
        stage_name: str | None = None,
    ) -> None:
        """Add an activity."""
        activity: Record = {"action": action, "stage_name": stage_name, "body": body}
        activity["created_at"] = self.clock.now()
        if member_id:
            activity["member"] = {"id": member_id, "name": self.members[member_id]["name"]}
        self.activities.setdefault(candidate_id, []).append(activity)

    def shown(self, record: Record, *, in_list: bool = False) -> Record:
        """Return a candidate as the API shows it."""
        job = self.jobs[record["job"]]
        subdomain = job["subdomain"]
        field = self.sends_stage if in_list else "name"
        page = f"https://{subdomain}.workable.com/backend/jobs/{int(job['id'], 16)}"
        values = {
            "account": {"subdomain": subdomain, "name": self.accounts[subdomain]},
            "job": {"shortcode": job["shortcode"], "title": job["title"]},
            "stage": self.stage(record)[field],
            "profile_url": f"{page}/candidates/{record['id']}",
        }
        hidden = DETAIL_FIELDS if in_list else ()
        return with_texts({name: record[name] for name in record if name not in hidden} | values)

    def found(self, call: Call, candidate_id: str) -> Record:
        """Return the candidate that a call is about."""
        record = None if candidate_id in self.hidden_ids else self.candidate(candidate_id)
        if record is None or self.subdomain_of(record) != call.subdomain:
            raise Refusal(404, "Not found")
        return record

    def found_job(self, call: Call, shortcode: str) -> Record:
        job = self.jobs.get(shortcode)
        if job is None or job["subdomain"] != call.subdomain:
            raise Refusal(404, "Not found")
        return job

    def subdomain_of(self, record: Record) -> str:
        return str(self.jobs[record["job"]]["subdomain"])

    def list_candidates(self, call: Call) -> Reply:
        names = ("shortcode", "stage", "limit", "since_id", "max_id", "created_after")
        query = query_of(call, *names, "updated_after")
        shortcode, slug = query.get("shortcode"), query.get("stage")
        if shortcode:
            self.found_job(call, shortcode)
        slugs = self.slugs(call.subdomain, shortcode or "")
        require(slug is None or slug in slugs, "stage", "is not the slug of a stage")
        is_new = time_filter(query)

        def row(candidate_id: str) -> Row:
            record = self.candidate(candidate_id)
            if record is None or candidate_id in self.hidden_ids or not is_new(record):
                return candidate_id, None
            is_shown = shortcode in (None, record["job"]) and slug in (None, record["stage"])
            is_shown = is_shown and self.subdomain_of(record) == call.subdomain
            return candidate_id, self.shown(record, in_list=True) if is_shown else None

        return self.page(call, "candidates", query, map(row, self._ids(query.get("since_id"))))

    def page(self, call: Call, key: str, query: dict[str, str], rows: Iterable[Row]) -> Reply:
        """Return one page; `since_id` and `max_id` are inclusive."""
        since_id, max_id = query.get("since_id"), query.get("max_id")
        text = query.get("limit", str(PAGE_SIZE))
        size = int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
        require(1 <= size <= PAGE_SIZE_LIMIT, "limit", f"must be 1 to {PAGE_SIZE_LIMIT}")
        number = self._page_numbers.get(key, 0) + 1 if since_id else 1
        self._page_numbers[key] = number
        self.before_page.pop((key, number), lambda: None)()
        rows = iter(rows)
        if since_id:
            rows = dropwhile(lambda row: row[0] != since_id, rows)
            first = next(rows, None)
            require(first is not None, "since_id", "is not known")
            rows = chain([first] if first else [], rows)
        page: list[tuple[str, Record]] = []
        for row_id, record in rows:
            if record is not None:
                page.append((row_id, record))
            if len(page) > size or row_id == max_id:
                break
        answer: Record = {key: [record for _, record in page[:size]]}
        if len(page) > size:
            is_overlap = self.pages_overlap and size > 1
            next_id = page[size - 1 if is_overlap else size][0]
            target = f"{API_PATH}/accounts/{call.subdomain}{call.path}"
            parameters = urlencode(query | {"since_id": next_id})
            url = f"{self.next_scheme}://{self.next_host}{target}?{parameters}"
            answer["paging"] = {"next": url}
        return Reply(200, answer)

    def _ids(self, since_id: str | None) -> Iterator[str]:
        """Return the candidates' ids; what is before `since_id` in the backlog is left out."""
        first = 0
        if since_id is not None:
            index = self._backlog_index(since_id)
            first = len(self._backlog_ids) if index is None else index
        return chain(map(_backlog_id, self._backlog_ids[first:]), self._added_ids)

    def _backlog_index(self, candidate_id: str) -> int | None:
        match = re.fullmatch("b([0-9a-f]{7})", candidate_id)
        index = int(match[1], 16) if match else -1
        return index if index in self._backlog_ids else None


def require(is_right: bool, field: str, problem: str) -> None:
    """Refuse a request that has a wrong field or parameter."""
    if not is_right:
        raise _invalid(field, problem)


def _invalid(field: str, problem: str) -> Refusal:
    error = f"Validation failed: {field.capitalize()} {problem}"
    return Refusal(422, error, validation_errors={field: [problem]})


def shown_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _backlog_id(index: int) -> str:
    return f"b{index:07x}"


def with_texts(record: Record) -> Record:
    return {
        name: shown_time(value) if isinstance(value, datetime) else value
        for name, value in record.items()
    }


def query_of(call: Call, *known: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(call.request.target).query, keep_blank_values=True)
    query = dict(pairs)
    unknown = [name for name, value in pairs if name not in known or not value]
    require(not unknown, unknown[0] if unknown else "", "is not known, or is empty")
    require(len(query) == len(pairs), pairs[0][0] if pairs else "", "appears twice")
    return query


def body_of(call: Call, *known: str) -> Record:
    """Return the JSON object of a request that writes."""
    query_of(call)
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip()
    body: Any = None
    with suppress(ValueError):
        body = call.request.json if kind == "application/json" else None
    require(isinstance(body, dict), "body", "is not a JSON object")
    unknown = [name for name in body if name not in known]
    require(not unknown, unknown[0] if unknown else "", "is not known")
    return dict(body)


def time_filter(query: dict[str, str]) -> Callable[[Record], bool]:
    """Return a test of a record's times: whether they are later than the query's."""
    names = {"created_after": "created_at", "updated_after": "updated_at"}
    limits = {names[name]: _moment(name, query[name]) for name in names if name in query}
    return lambda record: all(record[field] > moment for field, moment in limits.items())


def _moment(name: str, text: str) -> datetime:
    """Read a Unix time, or a time in the form ISO 8601 with its zone."""
    with suppress(ValueError):
        if re.fullmatch("[0-9]{9,10}", text):
            return datetime.fromtimestamp(int(text), UTC)
        if (moment := datetime.fromisoformat(text)).tzinfo:
            return moment
    raise _invalid(name, "is not a time with its zone")
