"""An ATS of its own for tests: an adapter that is registered at run time, and its fake.

Candidates are read from pages of a list, and results are written as notes.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from provider.ats import ADAPTERS
from provider.ats.api import (
    CANDIDATE_KEY,
    ApiRequest,
    ApiResponse,
    AtsApi,
    CheckLine,
    CheckReport,
    CheckSteps,
    Connection,
    OrderSummary,
    Page,
    PageState,
    Source,
    Steps,
    UnreadableAnswer,
    Window,
    Writer,
    WriteRejected,
    WriteTask,
)
from provider.ats.base import AtsAdapter
from provider.ats.settings import Address, Number, YesNo
from provider.core.connections import Budget, Record
from provider.core.orders import FINAL_STATUSES
from tests.factories import ManualClock
from tests.fakes.vendor import FakeVendor, Reply, VendorRequest

KEY = "dummy-key-that-nobody-may-see"


class People(Source):
    """Every candidate, page by page."""

    name = "people"
    is_full = True

    def interval(self, connection: Connection) -> timedelta:
        return timedelta(minutes=1)

    def first_state(
        self, connection: Connection, conditions: Sequence[Mapping[str, str]]
    ) -> PageState | None:
        return {"page": 1}

    def request(self, connection: Connection, window: Window, state: PageState) -> ApiRequest:
        return ApiRequest("GET", f"{connection.settings['base_url']}/people?page={state['page']}")

    def read(
        self, connection: Connection, window: Window, state: PageState, response: ApiResponse
    ) -> Page:
        if not response.is_success:
            raise UnreadableAnswer(f"Dummy refuses the list with {response.status_code}")
        document = response.json()
        records, problems = [], []
        for person in document["people"]:
            if "id" not in person:
                problems.append("a person without an id")
                continue
            records.append(
                Record(
                    key=str(person["id"]),
                    facts={"stage": (person["stage"],)},
                    email=person["email"],
                    first_name=person["name"],
                    changed_at=datetime.fromisoformat(person["at"]) if person.get("at") else None,
                    entry=person.get("entry", ""),
                    reply_context={CANDIDATE_KEY: str(person["id"])},
                )
            )
        next_state = {"page": state["page"] + 1} if document["more"] else None
        return Page(records, next_state, problems)


class Note(Writer):
    """A note, which cannot be written twice without a trace."""

    name = "note"

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        return settings["notes"] and status in FINAL_STATUSES

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        correction = "Correction: " if summary.is_correction else ""
        text = f"{correction}{summary.product}: {summary.grade or summary.status} {summary.marker}"
        return {"text": text, "marker": summary.marker}

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        url = f"{connection.settings['base_url']}/people/{task.target[CANDIDATE_KEY]}/notes"
        if task.is_repeated:
            response = yield ApiRequest("GET", url)
            if any(task.document["marker"] in note for note in response.json()):
                return "The note is there already"
        response = yield ApiRequest.with_json("POST", url, {"text": task.document["text"]})
        if response.status_code == 404:
            raise WriteRejected("The person is gone")
        return "The note is written"


class DummyApi(AtsApi):
    """The API of the dummy ATS."""

    secrets = {"key": "the key"}  # noqa: RUF012
    required_settings = ("base_url",)
    required_secrets = ("key",)
    rule_facts = {"stage": "a stage"}  # noqa: RUF012
    required_facts = ("stage",)
    sources = (People(),)
    writers = (Note(),)

    def base_url(self, settings: Mapping[str, Any]) -> str:
        return str(settings["base_url"])

    def sign(self, request: ApiRequest, connection: Connection, now: datetime) -> ApiRequest:
        return request.with_headers({"X-Key": connection.secret("key")})

    def budget(self, connection: Connection) -> Budget | None:
        limit = connection.settings["limit"]
        client = connection.client_digest("dummy", connection.secret("key"))
        return Budget(client, limit, timedelta(seconds=10)) if limit else None

    def check(self, connection: Connection) -> CheckSteps:
        url = f"{connection.settings['base_url']}/people?page=1"
        response = yield connection, ApiRequest("GET", url)
        if response.is_success:
            return CheckReport([CheckLine(True, "Dummy accepts the key")])
        return CheckReport([CheckLine(False, f"Dummy answers {response.status_code}")])


class Dummy(AtsAdapter):
    """The adapter."""

    name = "dummy"
    title = "Dummy"
    has_endpoints = False
    api = DummyApi()
    settings = (
        Address("base_url", "the address"),
        Number("limit", "requests in ten seconds", 0),
        YesNo("notes", "write notes", default=True),
    )


@dataclass
class Person:
    """A candidate at the dummy ATS."""

    id: int
    email: str = "ana@example.org"
    name: str = "Ana Li"
    stage: str = "Test"
    at: str | None = None
    entry: str = ""
    notes: list[str] = field(default_factory=list)


class FakeDummy(FakeVendor):
    """The dummy ATS. `people` may be changed at any time; `lazy_people` adds computed ones."""

    page_size = 3
    lazy_people = 0

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.key = KEY
        self.people: dict[int, Person] = {}

    def add(self, person_id: int, **fields: Any) -> Person:
        person = self.people[person_id] = Person(person_id, **fields)
        return person

    def budget_client(self, request: VendorRequest) -> str:
        return request.headers.get("x-key", "")

    def budget_headers(self, remaining: int, resets_at: int, is_over: bool) -> dict[str, str]:
        limit = str(self.budget_limit)
        headers = {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": str(remaining)}
        return headers | {"X-RateLimit-Reset": str(resets_at)}

    def answer(self, request: VendorRequest) -> Reply:
        if request.headers.get("x-key") != self.key:
            return Reply(401, {"error": "wrong key"})
        if request.path == "/people":
            return self._list(int(request.query["page"]))
        _, _, person_id, _ = request.path.split("/")
        person = self.people.get(int(person_id))
        if person is None:
            return Reply(404, {"error": "no such person"})
        if request.method == "POST":
            person.notes.append(request.json["text"])
            return Reply(201)
        return Reply(200, person.notes)

    def _list(self, page: int) -> Reply:
        ids = [*sorted(self.people), *range(10**6, 10**6 + self.lazy_people)]
        start = (page - 1) * self.page_size
        shown = [self._show(person_id) for person_id in ids[start : start + self.page_size]]
        return Reply(200, {"people": shown, "more": start + self.page_size < len(ids)})

    def _show(self, person_id: int) -> dict[str, Any]:
        person = self.people.get(person_id) or Person(person_id, f"p{person_id}@example.org")
        fields = {"email": person.email, "name": person.name, "stage": person.stage}
        return {"id": person.id, "at": person.at, "entry": person.entry, **fields}


@contextmanager
def registered_dummy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register the adapter for the time of a test."""
    monkeypatch.setitem(ADAPTERS, "dummy", Dummy())
    yield
