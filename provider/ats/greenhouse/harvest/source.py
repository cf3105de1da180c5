"""Harvest's list of entries into stages, and the applications and candidates behind them."""

import re
from collections.abc import Iterable, Mapping, Sequence
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

MAX_IDS = 50  # of one request
PAGE_SIZE = 500
DEAD_CURSOR_STATUS_CODES = (404, 422)
CLOSED_STATUSES = frozenset({"rejected", "hired", "converted"})  # of an application
_NEXT_LINK = re.compile(r'<([^>]*)>\s*;\s*rel="next"')


class StageEntries(Source):
    """The candidates who have entered a stage that a rule names, and are still there.

    A round alternates: a page of entries, then for up to fifty of them their applications and
    their candidates. Each entry has the time of its arrival, so that no other list is needed to
    know which are old.
    """

    name = "stage_entries"
    is_full = True

    def interval(self, connection: Connection) -> timedelta:
        """Return the setting `poll_every`."""
        return timedelta(seconds=connection.settings["poll_every"])

    def first_state(
        self, connection: Connection, conditions: Sequence[Mapping[str, str]]
    ) -> PageState | None:
        stages = sorted({condition["stage"] for condition in conditions})
        return {"step": "entries", "stages": stages, "url": None}

    def request(self, connection: Connection, window: Window, state: PageState) -> ApiRequest:
        """Return the request of the present step. The address of a next page is used as it is."""
        if state["step"] == "applications":
            return _ids_request(
                connection, "applications", [row["application"] for row in state["chunk"]]
            )
        if state["step"] == "candidates":
            return _ids_request(
                connection, "candidates", {row["candidate"] for row in state["chunk"]}
            )
        if state["url"]:
            return ApiRequest("GET", state["url"])
        query = {
            "updated_at": f"gte|{_format(window.start)}|lte|{_format(window.end)}",
            "per_page": str(PAGE_SIZE),
        }
        if len(state["stages"]) <= MAX_IDS:
            query["job_interview_stage_ids"] = ",".join(state["stages"])
        return ApiRequest(
            "GET", f"{connection.settings['api_base']}/application_stages?{urlencode(query)}"
        )

    def read(
        self, connection: Connection, window: Window, state: PageState, response: ApiResponse
    ) -> Page:
        """Return the records of the last step, and the state of the next one."""
        if not response.is_success:
            if state["url"] and response.status_code in DEAD_CURSOR_STATUS_CODES:
                raise UnreadableAnswer("The list's cursor is no longer valid: it begins again")
            raise UnreadableAnswer(_refusal_text(response, state["step"]))
        rows = response.json()
        if state["step"] == "entries":
            return _read_entries(state, rows, next_url(response))
        if state["step"] == "applications":
            return _read_applications(state, rows)
        return _read_candidates(state, rows)


def next_url(response: ApiResponse) -> str | None:
    """Return the address of the next page from the header `Link`."""
    match = _NEXT_LINK.search(response.header("Link"))
    return match[1] if match else None


def _read_entries(state: PageState, rows: Sequence[Any], following: str | None) -> Page:
    waiting, problems = [], []
    for row in rows:
        try:
            stage = str(row["job_interview_stage_id"])
            if row.get("exited_at") is None and stage in state["stages"]:
                waiting.append(
                    {
                        "entry": str(row["id"]),
                        "application": row["application_id"],
                        "stage": stage,
                        "entered_at": row["entered_at"],
                    }
                )
        except (KeyError, TypeError, AttributeError):
            problems.append("an entry into a stage without its fields")
    return Page((), _next_chunk({**state, "url": following, "waiting": waiting}), problems)


def _next_chunk(state: PageState) -> PageState | None:
    """Return the state of the next step: details of the entries left, or the next page."""
    if state["waiting"]:
        chunk, rest = state["waiting"][:MAX_IDS], state["waiting"][MAX_IDS:]
        return {**state, "step": "applications", "chunk": chunk, "waiting": rest}
    if state["url"]:
        return {"step": "entries", "stages": state["stages"], "url": state["url"]}
    return None


def _read_applications(state: PageState, applications: Sequence[Any]) -> Page:
    """Add the candidates and jobs. A deleted or closed application is left out."""
    by_id = {
        row["id"]: row
        for row in applications
        if row.get("id") and row.get("candidate_id") and not is_closed(row)
    }
    chunk = [
        row
        | {
            "candidate": by_id[row["application"]]["candidate_id"],
            "job": by_id[row["application"]].get("job_id"),
        }
        for row in state["chunk"]
        if row["application"] in by_id
    ]
    if not chunk:
        return Page((), _next_chunk(state))
    return Page((), {**state, "step": "candidates", "chunk": chunk})


def _read_candidates(state: PageState, candidates: Sequence[Any]) -> Page:
    by_id = {candidate["id"]: candidate for candidate in candidates}
    records, problems = [], []
    for row in state["chunk"]:
        candidate = by_id.get(row["candidate"])
        if candidate is None:
            continue
        try:
            records.append(build_record(row, candidate))
        except (KeyError, TypeError, ValueError, AttributeError):
            problems.append(f"the candidate {row['candidate']}")
    return Page(records, _next_chunk(state), problems)


def is_closed(application: Mapping[str, Any]) -> bool:
    """Return whether an application is over; it may still be in a stage."""
    return application.get("status") in CLOSED_STATUSES


def build_record(row: Mapping[str, Any], candidate: Mapping[str, Any]) -> Record:
    """Return the record of an entry and its candidate."""
    return Record(
        key=str(row["application"]),
        facts={"stage": (row["stage"],), "job": (str(row["job"]),) if row["job"] else ()},
        email=_first_value(candidate.get("email_addresses")),
        first_name=candidate.get("preferred_name") or candidate.get("first_name") or "",
        last_name=candidate.get("last_name") or "",
        phone=_first_value(candidate.get("phone_numbers")),
        entry=row["entry"],
        reached_at=_parse(row["entered_at"]),
        reply_context={
            CANDIDATE_KEY: row["candidate"],
            "application": row["application"],
        },
        is_closed=row.get("is_closed", False),
    )


def _first_value(entries: Any) -> str:
    """Return the first value of a list like `[{"value": "ana@example.org", "type": "work"}]`."""
    values = (entry.get("value") for entry in entries or ())
    return next((value for value in values if isinstance(value, str) and value.strip()), "")


def _ids_request(connection: Connection, resource: str, ids: Iterable[int]) -> ApiRequest:
    query = urlencode({"ids": ",".join(str(number) for number in ids), "per_page": PAGE_SIZE})
    return ApiRequest("GET", f"{connection.settings['api_base']}/{resource}?{query}")


def _refusal_text(response: ApiResponse, step: str) -> str:
    text = f"Greenhouse refuses the list of {step} with {response.status_code}"
    if response.status_code == 403:
        return f"{text}: a scope is missing, or the user is not a Site Admin"
    return text


def _format(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse(text: str) -> datetime:
    return datetime.fromisoformat(text)
