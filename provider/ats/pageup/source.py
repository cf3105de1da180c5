"""PageUp's list of candidates, read by the time of their change and once a day as a whole."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

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

JSON_API = "application/vnd.api+json"


class ChangedCandidates(Source):
    """The candidates whose `updated_at` lies in the window."""

    name = "changed_candidates"

    def interval(self, connection: Connection) -> timedelta:
        """Return the setting `poll_every`."""
        return timedelta(seconds=connection.settings["poll_every"])

    def first_state(
        self, connection: Connection, conditions: Sequence[Mapping[str, str]]
    ) -> PageState | None:
        return {"page": 1, "size": int(connection.settings["page_size"])}

    def request(self, connection: Connection, window: Window, state: PageState) -> ApiRequest:
        """Return the request of a page. PageUp's filters have no zone."""
        zone = ZoneInfo(connection.settings["clock_zone"])
        start, end = (moment.astimezone(zone) for moment in (window.start, window.end))
        return _list_request(
            connection,
            state,
            {
                "filter[updated_at][gte]": start.strftime("%Y-%m-%dT%H:%M:%S"),
                "filter[updated_at][lt]": end.strftime("%Y-%m-%dT%H:%M:%S"),
            },
        )

    def read(
        self, connection: Connection, window: Window, state: PageState, response: ApiResponse
    ) -> Page:
        """Return the page; a page that is refused as too large is asked again at half the size."""
        size = state["size"]
        if response.status_code == 422 and size > 1:
            return Page((), {"page": 1, "size": size // 2})
        if not response.is_success:
            raise UnreadableAnswer(f"PageUp refuses the list of candidates: {response.status_code}")
        document = response.json()
        entries = document["data"]
        records, problems = [], []
        for entry in entries:
            try:
                records.append(_record(entry))
            except (AttributeError, KeyError, TypeError, ValueError):
                problems.append(f"the candidate {_describe(entry)}")
        has_more = len(entries) >= size or bool((document.get("links") or {}).get("next"))
        next_state = {"page": state["page"] + 1, "size": size} if has_more and entries else None
        return Page(records, next_state, problems)


class AllCandidates(ChangedCandidates):
    """Every candidate: a new tag may not change `updated_at`."""

    name = "all_candidates"
    is_full: ClassVar[bool] = True

    def interval(self, connection: Connection) -> timedelta:
        """Return the setting `full_sweep_every`."""
        return timedelta(seconds=connection.settings["full_sweep_every"])

    def request(self, connection: Connection, window: Window, state: PageState) -> ApiRequest:
        """Return the request of a page, without a filter."""
        return _list_request(connection, state, {})


def candidate_url(connection: Connection, candidate_id: str) -> str:
    return f"{connection.settings['base_url']}/candidates/{quote(candidate_id, safe='')}"


def get(url: str) -> ApiRequest:
    return ApiRequest("GET", url, {"Accept": JSON_API})


def _list_request(
    connection: Connection, state: PageState, filters: Mapping[str, str]
) -> ApiRequest:
    # The signature covers the query as sent, so it is encoded here once and for all.
    query = urlencode({**filters, "page": state["page"], "per_page": state["size"]})
    return get(f"{connection.settings['base_url']}/candidates?{query}")


def _record(entry: Mapping[str, Any]) -> Record:
    attributes = entry["attributes"]
    candidate_id = str(entry["id"])
    first_name, last_name = (_text(attributes.get(name)) for name in ("first_name", "last_name"))
    return Record(
        key=candidate_id,
        facts={"tag": tuple(str(tag) for tag in attributes.get("tags") or ())},
        email=_text(attributes.get("email")),
        first_name=first_name or ("" if last_name else _text(attributes.get("name"))),
        last_name=last_name,
        phone=_text(attributes.get("phone_number")),
        changed_at=_moment(attributes.get("updated_at")),
        reply_context={CANDIDATE_KEY: candidate_id},
    )


def _moment(value: Any) -> datetime | None:
    """Return the time of `updated_at`: an object with `utc`, or the text itself."""
    text = value.get("utc") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        return None
    moment = datetime.fromisoformat(text.replace(" UTC", "").strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo("UTC"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _describe(entry: Any) -> str:
    return str(entry.get("id", "without an id")) if isinstance(entry, dict) else "without an id"
