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
from provider.core.connections import Record

PAGE_SIZE = 100
DAY = timedelta(days=1)


class ChangedCandidates(Source):
    """The candidates that changed since the window's start."""

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
        if state["url"]:
            return ApiRequest("GET", state["url"])
        start = window.start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = urlencode({"updated_after": start, "limit": PAGE_SIZE})
        return ApiRequest("GET", f"{api_base(connection.settings)}/candidates?{query}")

    def read(
        self, connection: Connection, window: Window, state: PageState, response: ApiResponse
    ) -> Page:
        records, problems, following = _read_page(state["url"], response)
        return Page(records, {"url": following} if following else None, problems)


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
        stages = sorted({stage_slug(rule["stage"]) for rule in conditions})
        return {"stages": stages, "url": None}

    def request(self, connection: Connection, window: Window, state: PageState) -> ApiRequest:
        """Return the request of a page of the first stage that is left."""
        if state["url"]:
            return ApiRequest("GET", state["url"])
        # A rule may name a job by its title, so that the list cannot be asked for one job.
        query = urlencode({"stage": state["stages"][0], "limit": PAGE_SIZE})
        return ApiRequest("GET", f"{api_base(connection.settings)}/candidates?{query}")

    def read(
        self, connection: Connection, window: Window, state: PageState, response: ApiResponse
    ) -> Page:
        """Return the page. A stage that does not exist is a problem, not an error."""
        stage, *others = state["stages"]
        rest = {"stages": others, "url": None} if others else None
        if response.status_code in (404, 422):
            return Page((), rest, [f"the stage {stage}"])
        records, problems, following = _read_page(state["url"], response)
        return Page(records, {**state, "url": following} if following else rest, problems)


def api_base(settings: Mapping[str, Any]) -> str:
    """Return the address of the account's API."""
    return settings["api_base"] or f"https://{settings['subdomain']}.workable.com/spi/v3"


def stage_slug(text: str) -> str:
    """Return the slug of a stage's name: `phone-screen` of “Phone Screen”."""
    return "-".join(text.casefold().split())


def read_candidate(entry: Mapping[str, Any]) -> Record:
    """Return the record of a candidate; the stage may be a name or a slug."""
    job, stage = entry.get("job") or {}, str(entry.get("stage") or "")
    first_name, last_name = entry.get("firstname") or "", entry.get("lastname") or ""
    if not (first_name or last_name):  # either may be null though `name` is set
        first_name = entry.get("name") or ""
    return Record(
        key=str(entry["id"]),
        facts={
            "job": tuple(str(job[name]) for name in ("shortcode", "title") if job.get(name)),
            "stage": (stage, stage_slug(stage), stage.replace("-", " ")),
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


def _read_page(
    url: str | None, response: ApiResponse
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
            records.append(read_candidate(entry))
        except (AttributeError, KeyError, TypeError, ValueError):
            problems.append("a candidate without its fields")
    following = (document.get("paging") or {}).get("next")
    # Pages overlap by a record: the address of the same page again would never end.
    return records, problems, following if following and following != url else None


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
