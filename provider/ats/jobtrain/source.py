"""Jobtrain's list of candidates who await a check."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from provider.ats.api import (
    CANDIDATE_KEY,
    ApiRequest,
    ApiResponse,
    Connection,
    Page,
    PageState,
    Source,
    SourceStopped,
    UnreadableAnswer,
    Window,
)
from provider.core.connections import Record

ACCEPT_JSON = {"Accept": "application/json"}
GONE_STATUS_CODES = (404, 410)  # an application or its job, not the list
STOP_STATUS_CODES = (400, 418, 422)  # the same list again gets the same answer
CONTACT_FIELDS = ("email", "first_name", "last_name", "phone", "job_title", "job_reference")
MAX_RESTARTS = 5  # of one round whose list changes while it is read


class AwaitingChecks(Source):
    """Every candidate who awaits a check. Their own pages tell what the list does not.

    The list shrinks when a status is returned: then it is read again from the first page.
    """

    name = "awaiting_checks"
    is_full = True

    def interval(self, connection: Connection) -> timedelta:
        """Return the setting `poll_every`."""
        return timedelta(seconds=connection.settings["poll_every"])

    def first_state(
        self, connection: Connection, conditions: Sequence[Mapping[str, str]]
    ) -> PageState | None:
        return {"page": 1, "size": int(connection.settings["page_size"])}

    def request(self, connection: Connection, window: Window, state: PageState) -> ApiRequest:
        """Return the request of a page, or of one application of the page before."""
        if state.get("lookups"):
            application_id = _application_id(connection, state["lookups"][0])
            return check_request(connection, application_id)
        names, settings = connection.settings["parameters"], connection.settings
        query = urlencode({names["page"]: state["page"], names["size"]: state["size"]})
        url = f"{settings['base_url']}{settings['awaiting_path']}?{query}"
        return ApiRequest("GET", url, ACCEPT_JSON)

    def read(
        self, connection: Connection, window: Window, state: PageState, response: ApiResponse
    ) -> Page:
        """Return the page; one that is too large is asked for again at half the size."""
        if state.get("lookups"):
            return _read_application(connection, state, response)
        if response.status_code == 413 and state["size"] > 1:
            return Page((), {"page": 1, "size": state["size"] // 2})
        if response.status_code in STOP_STATUS_CODES:
            raise SourceStopped(refusal_text("the list", response))
        if not response.is_success:
            raise UnreadableAnswer(refusal_text("the list", response))
        document = response.json()
        entries = list_entries(document, connection.settings["list_key"])
        total = _total(document, connection.settings["total_key"])
        if _has_changed(state, total) and state.get("restarts", 0) < MAX_RESTARTS:
            restarts = state.get("restarts", 0) + 1
            return Page((), {"page": 1, "size": state["size"], "restarts": restarts})
        records, lookups, problems = [], [], []
        for entry in entries:
            try:
                record = read_record(connection, entry)
            except (KeyError, TypeError, ValueError):
                problems.append("an application without an id")
                continue
            if record.facts["check"] or not connection.settings["check_path"]:
                records.append(record)
            else:
                lookups.append(_known_fields(connection, entry))
        following = None
        if len(entries) >= state["size"]:
            following = {**state, "page": state["page"] + 1, "total": total}
        if lookups:
            return Page(records, {"lookups": lookups, "after": following}, problems)
        return Page(records, following, problems)


def check_request(connection: Connection, application_id: str) -> ApiRequest:
    """Return the request of one application's check."""
    return ApiRequest("GET", application_url(connection, "check_path", application_id), ACCEPT_JSON)


def application_url(connection: Connection, setting: str, application_id: str) -> str:
    path = connection.settings[setting].replace("{application_id}", quote(application_id, safe=""))
    return f"{connection.settings['base_url']}{path}"


def read_record(connection: Connection, entry: Mapping[str, Any]) -> Record:
    """Return the record of an entry; KeyError without an application's id."""
    names = connection.settings["fields"]
    application_id = _text(entry[names["application_id"]])
    if not application_id:
        raise KeyError(names["application_id"])
    check = _text(entry.get(names["check"]))
    contact: dict[str, Any] = {name: _text(entry.get(names[name])) for name in CONTACT_FIELDS}
    return Record(
        key=f"{application_id}:{check.casefold()}",
        facts={"check": (check,) if check else ()},
        reply_context={
            CANDIDATE_KEY: _text(entry.get(names["candidate_id"])) or application_id,
            "application": application_id,
        },
        **contact,
    )


def refusal_text(subject: str, response: ApiResponse) -> str:
    """Return what a refusal of Jobtrain's table of codes means."""
    code = response.status_code
    meanings = {
        400: "the format is wrong: check the paths and field names of the account",
        404: "the job or the application does not exist",
        409: "Jobtrain has another value already",
        410: "the job is closed",
        413: "the request is too large",
        418: "it names its answer a joke: tell Jobtrain",
        422: "a mandatory field is missing: check the field names of the account",
    }
    return f"Jobtrain refuses {subject} with {code}: {meanings.get(code, 'the code is unknown')}"


def _read_application(connection: Connection, state: PageState, response: ApiResponse) -> Page:
    """Return the record of one check; an answer that cannot be read stops no other."""
    entry, *rest = state["lookups"]
    next_state = {**state, "lookups": rest} if rest else state["after"]
    if response.status_code in GONE_STATUS_CODES:
        return Page((), next_state)
    check = f"the check of the application {_application_id(connection, entry)}"
    if not response.is_success:
        return Page((), next_state, [refusal_text(check, response)])
    try:
        document = response.json()
        details = {name: value for name, value in document.items() if value not in (None, "")}
        id_name = connection.settings["fields"]["application_id"]
        record = read_record(connection, {**entry, **details, id_name: entry[id_name]})
    except (UnreadableAnswer, AttributeError, KeyError, TypeError, ValueError):
        return Page((), next_state, [check])
    return Page([record], next_state)


def _known_fields(connection: Connection, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the list tells about an application: its check's own page may lack it."""
    names = connection.settings["fields"]
    wanted = {names[name] for name in ("application_id", "candidate_id", *CONTACT_FIELDS)}
    return {name: value for name, value in entry.items() if name in wanted}


def _application_id(connection: Connection, entry: Mapping[str, Any]) -> str:
    return _text(entry[connection.settings["fields"]["application_id"]])


def list_entries(document: Any, list_key: str | None) -> Sequence[Any]:
    """Return the list of an answer: under its key, the first one, or the answer itself."""
    if isinstance(document, list):
        return document
    if list_key:
        entries = document[list_key]
    else:
        entries = next((value for value in document.values() if isinstance(value, list)), None)
    if not isinstance(entries, list):
        raise UnreadableAnswer("Jobtrain's answer has no list: check list_key")
    return entries


def _total(document: Any, total_key: str | None) -> int | None:
    total = document.get(total_key) if isinstance(document, dict) and total_key else None
    return total if isinstance(total, int) else None


def _has_changed(state: PageState, total: int | None) -> bool:
    first_total = state.get("total")
    return first_total is not None and total is not None and total != first_total


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""
