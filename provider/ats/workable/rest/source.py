"""Workable's lists of candidates: those who changed, and those who are in a rule's stage."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from provider.ats.api import (
    CANDIDATE_KEY,
    ApiRequest,
    ApiResponse,
    Connection,
    Page,
    PageState,
    Source,
    UnreadableAnswer,
    Window,
)
from provider.ats.workable.rest.address import api_base
from provider.ats.workable.rest.stages import (
    StageList,
    find_slugs,
    read_stages,
    stage_facts,
    stages_request,
)
from provider.core.connections import Record

PAGE_SIZE = 100
DAY = timedelta(days=1)


class ChangedCandidates(Source):
    """The candidates that changed since the window's start.

    Before the first page with candidates is read, the stages are asked for, and then that page
    again. A round in which nobody has changed costs one request.
    """

    name = "changed_candidates"

    def interval(self, connection: Connection) -> timedelta:
        """Return the setting `poll_every`."""
        return timedelta(seconds=connection.settings["poll_every"])

    def first_state(
        self, connection: Connection, conditions: Sequence[Mapping[str, str]]
    ) -> PageState | None:
        return {"url": None} if connection.settings["poll"] == "updated_after" else None

    def request(self, connection: Connection, window: Window, state: PageState) -> ApiRequest:
        """Return the request of a page; the address of a next page is used as it is."""
        if state.get("asks_stages"):
            return stages_request(connection)
        if state["url"]:
            return ApiRequest("GET", state["url"])
        start = window.start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = urlencode({"updated_after": start, "limit": PAGE_SIZE})
        return ApiRequest("GET", f"{api_base(connection.settings)}/candidates?{query}")

    def read(
        self, connection: Connection, window: Window, state: PageState, response: ApiResponse
    ) -> Page:
        """Return the page, or ask for the list of stages before it."""
        if state.get("asks_stages"):
            next_state = {"url": state["url"], "known": read_stages(response)}
            return Page((), next_state, _stage_problems(response))
        stages: StageList | None = state.get("known")
        if stages is None and _has_candidates(response):
            return Page((), {"url": state["url"], "asks_stages": True})
        records, problems, following = _read_page(state["url"], response, stages or ())
        return Page(records, {**state, "url": following} if following else None, problems)


class StageSweep(Source):
    """Everybody who is in the stages of the rules: a move may not change `updated_at`."""

    name = "stage_sweep"
    is_full = True

    def interval(self, connection: Connection) -> timedelta:
        """Return a day, or `poll_every` where the account is polled by sweeps alone."""
        if connection.settings["poll"] == "sweep":
            return timedelta(seconds=connection.settings["poll_every"])
        return DAY

    def first_state(
        self, connection: Connection, conditions: Sequence[Mapping[str, str]]
    ) -> PageState | None:
        wanted = sorted({rule["stage"] for rule in conditions})
        return {"wanted": wanted, "url": None, "asks_stages": True}

    def request(self, connection: Connection, window: Window, state: PageState) -> ApiRequest:
        """Return the request of the stages, or of a page of the first stage that is left."""
        if state.get("asks_stages"):
            return stages_request(connection)
        if state["url"]:
            return ApiRequest("GET", state["url"])
        # A rule may name a job by its title, so that the list cannot be asked for one job.
        query = urlencode({"stage": state["stages"][0], "limit": PAGE_SIZE})
        return ApiRequest("GET", f"{api_base(connection.settings)}/candidates?{query}")

    def read(
        self, connection: Connection, window: Window, state: PageState, response: ApiResponse
    ) -> Page:
        """Return the page. A stage that does not exist is a problem, not an error."""
        if state.get("asks_stages"):
            known = read_stages(response)
            slugs = sorted({slug for text in state["wanted"] for slug in find_slugs(known, text)})
            next_state = {"stages": slugs, "known": known, "url": None}
            return Page((), next_state, _stage_problems(response))
        stage, *others = state["stages"]
        rest = {**state, "stages": others, "url": None} if others else None
        if response.status_code in (404, 422):
            return Page((), rest, [f"the stage {stage}"])
        records, problems, following = _read_page(state["url"], response, state["known"])
        return Page(records, {**state, "url": following} if following else rest, problems)


def read_candidate(entry: Mapping[str, Any], stages: StageList) -> Record:
    """Return the record of a candidate; the stage may be a name or a slug."""
    job = entry.get("job") or {}
    first_name, last_name = entry.get("firstname") or "", entry.get("lastname") or ""
    if not (first_name or last_name):  # either may be null though `name` is set
        first_name = entry.get("name") or ""
    return Record(
        key=str(entry["id"]),
        facts={
            "job": tuple(str(job[name]) for name in ("shortcode", "title") if job.get(name)),
            "stage": stage_facts(stages, str(entry.get("stage") or "")),
        },
        email=entry.get("email") or "",
        first_name=first_name,
        last_name=last_name,
        phone=entry.get("phone") or "",
        job_title=str(job.get("title") or ""),
        job_reference=str(job.get("shortcode") or ""),
        changed_at=_moment(entry.get("updated_at")),
        reply_context={CANDIDATE_KEY: str(entry["id"])},
        is_closed=bool(entry.get("disqualified")),
    )


def _has_candidates(response: ApiResponse) -> bool:
    return response.is_success and bool(response.json()["candidates"])


def _stage_problems(response: ApiResponse) -> list[str]:
    if response.is_success:
        return []
    missing = ": the scope r_jobs is missing" if response.status_code == 403 else ""
    return [f"the stages, which Workable refuses with {response.status_code}{missing}"]


def _read_page(
    url: str | None, response: ApiResponse, stages: StageList
) -> tuple[list[Record], list[str], str | None]:
    """Return the records, the problems, and the address of the next page."""
    if not response.is_success:
        code = response.status_code
        missing = ": the scope r_candidates is missing" if code == 403 else ""
        raise UnreadableAnswer(f"Workable refuses the list of candidates with {code}{missing}")
    document = response.json()
    records, problems = [], []
    for entry in document["candidates"]:
        try:
            records.append(read_candidate(entry, stages))
        except (AttributeError, KeyError, TypeError, ValueError):
            problems.append("a candidate without its fields")
    following = (document.get("paging") or {}).get("next")
    # Pages overlap by a record: the address of the same page again would never end.
    return records, problems, following if following and following != url else None


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
