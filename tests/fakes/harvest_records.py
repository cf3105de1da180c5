"""The records of a fake Greenhouse, and the filters of its lists."""

import operator
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from heapq import merge
from itertools import filterfalse
from typing import Any, NamedTuple

from tests.factories import ManualClock
from tests.fakes.harvest_oauth import SERVICE_ACCOUNT_ID, SITE_ADMIN_ID, Refusal

Record = dict[str, Any]
Predicate = Callable[[Record], bool]
FIRST_ID = 10_000  # of the records that a test adds without an id
IDS_LIMIT = 50
ATTACHMENT_TYPES = ("resume", "cover_letter", "take_home_test", "offer_packet", "offer_letter",
                    "signed_offer_letter", "other")  # fmt: skip
# The fields besides id, created_at and updated_at. Each field `x_id` has a filter `x_ids`.
DEFAULTS: dict[str, Record] = {
    "users": {"first_name": "Kate", "last_name": "Austen", "primary_email": "kate@example.org",
              "site_admin": False, "deactivated": False},
    "jobs": {"name": "Accountant", "status": "open", "requisition_id": None, "confidential": False},
    "job_interview_stages": {"job_id": None, "name": "Assessment", "sort_order": 1, "active": True},
    "candidates": {"first_name": "Ana", "last_name": "Li", "preferred_name": None, "private": False,
                   "email_addresses": [{"value": "ana@example.org", "type": "personal"}],
                   "phone_numbers": [], "tags": []},
    "applications": {"candidate_id": None, "job_id": None, "stage_id": None, "stage_name": None,
                     "status": "in_process", "prospect": False, "last_activity_at": None},
    "application_stages": {"application_id": None, "job_interview_stage_id": None,
                           "entered_at": None, "exited_at": None, "current": True},
    "notes": {"candidate_id": None, "application_id": None, "user_id": None, "body": "",
              "visibility": "private", "type": "NOTE"},
    "attachments": {"application_id": None, "candidate_id": None, "filename": "", "type": "other",
                    "url": None, "visibility": "private"},
}  # fmt: skip
CHOICES = {  # resource, filter → its values
    **dict.fromkeys([("job_interview_stages", "active"), ("application_stages", "current"),
                     ("applications", "prospect"), ("users", "deactivated")], ("true", "false")),
    ("jobs", "status"): ("open", "draft", "closed"), ("attachments", "type"): ATTACHMENT_TYPES,
    ("applications", "status"): ("active", "rejected", "hired", "converted"),
}  # fmt: skip
COMPARISONS = {"gte": operator.ge, "lte": operator.le, "gt": operator.gt, "lt": operator.lt}
TIME_PATTERN = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)"
BACKLOG_RESOURCES = ("candidates", "applications", "application_stages")
CHILDREN = {
    "candidates": ("applications", "candidate_ids"),
    "applications": ("application_stages", "application_ids"),
}
BACKLOG_KEYS = ("ids", "application_ids", "candidate_ids")  # equal in each record of a backlog


class Backlog(NamedTuple):
    """Applications that wait in a stage: candidate, application and stage row have one number."""

    numbers: range
    stage: Record
    created_at: datetime

    def record(self, resource: str, number: int) -> Record:
        values: dict[str, Record] = {
            "candidates": {
                "last_name": f"Li {number}",
                "email_addresses": [
                    {"value": f"candidate{number}@example.org", "type": "personal"}
                ],
            },
            "applications": {
                "candidate_id": number,
                "job_id": self.stage["job_id"],
                "stage_id": number,
                "stage_name": self.stage["name"],
            },
            "application_stages": {
                "application_id": number,
                "job_interview_stage_id": self.stage["id"],
                "entered_at": self.created_at,
            },
        }
        times = dict.fromkeys(("created_at", "updated_at"), self.created_at)
        return {"id": number} | times | DEFAULTS[resource] | values[resource]


class HarvestRecords:
    """The records of one customer. It has one Site Admin, one service account, and no jobs."""

    adds_row_at_reentry = True  # False: a second visit to a stage uses the row of the first

    def __init__(self, clock: ManualClock, lock: threading.RLock) -> None:
        self.clock = clock
        self.hidden: set[tuple[str, int]] = set()  # resource, id: not in the lists yet
        self._records_lock = lock
        self._records: dict[str, dict[int, Record | None]] = {name: {} for name in DEFAULTS}
        self._backlogs: list[Backlog] = []
        self._next_id = FIRST_ID
        self.add("users", id=SITE_ADMIN_ID, site_admin=True)
        self.add("users", id=SERVICE_ACCOUNT_ID, site_admin=True, primary_email=None)

    def add(self, resource: str, **values: Any) -> int:
        """Add a record and return its id; without an id it gets one above all others."""
        with self._records_lock:
            number: int = values.setdefault("id", self._next_id)
            if self.record(resource, number):
                raise ValueError(f"the id {number} is taken")
            self._next_id = max(self._next_id, number + 1)
            times = dict.fromkeys(("created_at", "updated_at"), self.clock.now())
            self._put(resource, times | DEFAULTS[resource] | values)
            return number

    def apply(self, stage_id: int | None, *, id: int | None = None, **candidate: Any) -> int:
        """Add an application and return its id; without a stage it is a prospect's.

        `candidate` has the fields of a new candidate, or the `candidate_id` of an earlier one.
        """
        with self._records_lock:
            candidate_id = candidate.pop("candidate_id", None)
            candidate_id = candidate_id or self.add("candidates", **candidate)
            values = {"candidate_id": candidate_id, "prospect": stage_id is None}
            number = self.add("applications", **values, **({"id": id} if id else {}))
            if stage_id is not None:
                self.enter(number, stage_id)
            return number

    def enter(self, application_id: int, stage_id: int) -> None:
        """Let an application leave its stage and enter this one, without an event."""
        with self._records_lock:
            application = self.get("applications", application_id)
            stage, now = self.get("job_interview_stages", stage_id), self.clock.now()
            if application["stage_id"] is not None:
                row_id = application["stage_id"]
                self.change("application_stages", row_id, exited_at=now, current=False)
            visit: Record = {"application_id": application_id, "job_interview_stage_id": stage_id}
            rows = [] if self.adds_row_at_reentry else self.records("application_stages")
            row_ids = [row["id"] for row in rows if row | visit == row]  # of an earlier visit
            visit |= {"entered_at": now, "exited_at": None, "current": True}
            if row_ids:
                self.change("application_stages", row_ids[0], **visit)
            else:
                row_ids = [self.add("application_stages", **visit)]
            place = {"job_id": stage["job_id"], "stage_id": row_ids[0], "stage_name": stage["name"]}
            changes = {"prospect": False, "last_activity_at": now, **place}
            self.change("applications", application_id, **changes)

    def backlog(self, size: int, stage_id: int) -> range:
        """Add applications in a stage, which cost no memory, and return their ids."""
        with self._records_lock:
            stage = self.get("job_interview_stages", stage_id)
            numbers = range(self._next_id, self._next_id + size)
            self._backlogs.append(Backlog(numbers, stage, self.clock.now()))
            self._next_id = numbers.stop
            return numbers

    def record(self, resource: str, number: int) -> Record | None:
        """Return a copy of a record, with datetimes, or None."""
        if number in self._records[resource] or resource not in BACKLOG_RESOURCES:
            record = self._records[resource].get(number)
            return record and dict(record)
        backlogs = (backlog for backlog in self._backlogs if number in backlog.numbers)
        return next((backlog.record(resource, number) for backlog in backlogs), None)

    def get(self, resource: str, number: int) -> Record:
        """Return a copy of a record that must be there."""
        if record := self.record(resource, number):
            return record
        raise KeyError((resource, number))

    def records(self, resource: str) -> list[Record]:
        """Return copies of all records, in the order of adding, without a backlog's unchanged."""
        return [dict(record) for record in self._records[resource].values() if record]

    def change(self, resource: str, number: int, **changes: Any) -> None:
        """Change fields; `updated_at` becomes now, unless it is given."""
        with self._records_lock:
            times = {"updated_at": self.clock.now()}
            self._put(resource, self.get(resource, number) | times | changes)

    def delete(self, resource: str, number: int) -> None:
        """Delete a record; a candidate takes the applications along, an application its stages."""
        with self._records_lock:
            self.get(resource, number)
            self._records[resource][number] = None
            child, name = CHILDREN.get(resource, ("", ""))
            for row in list(self.matching(child, {name: str(number)}) if child else ()):
                self.delete(child, row["id"])

    def matching(
        self, resource: str, query: Mapping[str, str], before_id: int | None = None
    ) -> Iterator[Record]:
        """Yield the records below an id that pass all filters, the highest id first."""
        tests = {name: _predicate(resource, name, text) for name, text in query.items()}
        stored = self._records[resource]
        before_id = self._next_id if before_id is None else before_id
        sources: list[Iterable[int]] = [
            sorted((number for number in stored if number < before_id), reverse=True)
        ]
        wanted = [_ids(name, query[name]) for name in BACKLOG_KEYS if name in query]
        shared = [test for name, test in tests.items() if name not in (*BACKLOG_KEYS, "email")]
        for backlog in self._backlogs if resource in BACKLOG_RESOURCES else ():
            numbers = range(backlog.numbers.start, min(backlog.numbers.stop, before_id))
            sample = backlog.record(resource, backlog.numbers.start)
            if all(test(sample) for test in shared):
                picked = sorted(set.intersection(*wanted)) if wanted else numbers
                unstored = filterfalse(stored.__contains__, reversed(picked))
                sources.append(filter(numbers.__contains__, unstored))
        for number in merge(*sources, reverse=True):
            record = self.record(resource, number)
            is_readable = record is not None and (resource, number) not in self.hidden
            if record and is_readable and all(test(record) for test in tests.values()):
                yield record

    def _put(self, resource: str, record: Record) -> None:
        if unknown := record.keys() - DEFAULTS[resource] - {"id", "created_at", "updated_at"}:
            raise ValueError(f"{resource} have no field {unknown}")
        self._records[resource][record["id"]] = record


def field_names(resource: str, text: str | None) -> list[str]:
    """Parse the parameter `fields` of a list; without it the list has all fields."""
    known = ["id", "created_at", "updated_at", *DEFAULTS[resource]]
    names = known if text is None else text.split(",")
    if len(names) > IDS_LIMIT or not set(names) <= set(known):
        raise Refusal(422, {"fields": f"`{text}` has an unknown field, or more than {IDS_LIMIT}"})
    return names


def shown(record: Record, names: Iterable[str]) -> Record:
    """Return these fields of a record, with texts for times, as they are sent."""
    return {name: _text(record[name]) for name in names}


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _predicate(resource: str, name: str, text: str) -> Predicate:
    """Return the test of one filter; a filter that is not known, or has a bad value, is 422."""
    column = "id" if name == "ids" else name.removesuffix("s")
    if name.endswith("ids") and column in {"id", *DEFAULTS[resource]}:
        numbers = _ids(name, text)
        return lambda record: record[column] in numbers
    if name in ("created_at", "updated_at"):
        bounds = _bounds(name, text)
        return lambda record: all(compare(record[name], moment) for compare, moment in bounds)
    if choices := CHOICES.get((resource, name)):
        if text not in choices:
            raise Refusal(422, {name: f"value at `/{name}` is not one of: {list(choices)}"})
        value = {"true": True, "false": False, "active": "in_process"}.get(text, text)
        return lambda record: record[name] == value
    if (resource, name) == ("candidates", "email"):
        return lambda record: any(
            address["value"].lower() == text.lower() for address in record["email_addresses"]
        )
    raise Refusal(422, {name: "is not a parameter of this list"})


def _ids(name: str, text: str) -> set[int]:
    numbers = text.split(",")
    if not all(re.fullmatch("[1-9][0-9]{0,15}", number) for number in numbers):
        raise Refusal(422, {name: f"`{text}` is not a list of integers"})
    if len(numbers) > IDS_LIMIT:
        raise Refusal(422, {name: f"array size `{len(numbers)}` is greater than: {IDS_LIMIT}"})
    return set(map(int, numbers))


def _bounds(name: str, text: str) -> list[tuple[Callable[[datetime, datetime], bool], datetime]]:
    """Parse `gte|T1|lte|T2`."""
    parts = text.split("|")
    names, times = parts[::2], parts[1::2]
    is_known = len(names) == len(set(names)) and set(names) <= COMPARISONS.keys()
    if is_known and all(re.fullmatch(TIME_PATTERN, moment) for moment in times):
        with suppress(ValueError):  # of a time that does not exist, or a missing one
            moments = map(datetime.fromisoformat, times)
            return [(COMPARISONS[key], moment) for key, moment in zip(names, moments, strict=True)]
    raise Refusal(422, {name: f"`{text}` is not operators and times with bars between"})
