"""The writers for Greenhouse: a note on the candidate, the report at the application."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from provider.ats.api import (
    CANDIDATE_KEY,
    ApiRequest,
    ApiResponse,
    Connection,
    OrderSummary,
    Steps,
    Writer,
    WriteRejected,
    WriteTask,
)
from provider.ats.greenhouse.harvest.source import next_url
from provider.core.orders import COMPLETED, FINAL_STATUSES

MAX_LOOKED_AT_PAGES = 3  # of the newest notes: ours is at most days old


class Note(Writer):
    """A note with the result. It cannot be taken back, so an earlier attempt is looked for."""

    name = "note"

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        return bool(settings["notes"]) and status in FINAL_STATUSES

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "body": summary.sentence,
            "marker": summary.marker,
            "visibility": settings["note_visibility"],
        }

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        """Write the note unless one with our marker is there."""
        base, candidate_id = connection.settings["api_base"], task.target[CANDIDATE_KEY]
        if task.is_repeated:
            url = f"{base}/notes?candidate_ids={candidate_id}&per_page=500"
            bodies = yield from _read_values(url, "body", "harvest:notes:list")
            if any(task.document["marker"] in body for body in bodies):
                return "The note is there already"
        document = {
            "candidate_id": candidate_id,
            "body": task.document["body"],
            "visibility": task.document["visibility"],
            "note_type": "NOTE",
        }
        response = yield ApiRequest.with_json("POST", f"{base}/notes", document)
        _require_success(response, "the note", "harvest:notes:create")
        return "The note is written"


class Attachment(Writer):
    """The report as a file of the application; never as a résumé, which would replace theirs."""

    name = "attachment"

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        return bool(settings["attach_pdf"]) and status == COMPLETED

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "filename": summary.filename,
            "type": settings["attachment_type"],
            "visibility": settings["note_visibility"],
        }

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        """Attach the report unless a file of its name is there."""
        base, application_id = connection.settings["api_base"], task.target["application"]
        filename = task.document["filename"]
        if task.is_repeated:
            url = f"{base}/attachments?application_ids={application_id}&per_page=500"
            names = yield from _read_values(url, "filename", "harvest:attachments:list")
            if filename in names:
                return f"The file {filename} is there already"
        pdf = task.render_pdf()
        if pdf is None:
            return "Nothing was sent: the order has been reopened"
        document = {
            "application_id": application_id,
            **task.document,
            "content": b64encode(pdf).decode(),
        }
        response = yield ApiRequest.with_json("POST", f"{base}/attachments", document)
        _require_success(response, "the file", "harvest:attachments:create")
        return f"The file {filename} is attached"


def _read_values(url: str, name: str, scope: str) -> Any:
    """Return one field of the newest entries of a list."""
    values: list[str] = []
    for _ in range(MAX_LOOKED_AT_PAGES):
        response = yield ApiRequest("GET", url)
        _require_success(response, "to list what is there", scope)
        values += [str(row.get(name) or "") for row in response.json()]
        following = next_url(response)
        if not following:
            break
        url = following
    return values


def _require_success(response: ApiResponse, deed: str, scope: str) -> None:
    if response.status_code == 404:
        raise WriteRejected("The candidate or the application no longer exists in Greenhouse")
    if response.status_code == 403:
        raise WriteRejected(f"Greenhouse refuses {deed}: the scope {scope} is missing")
    if not response.is_success:
        raise WriteRejected(f"Greenhouse refuses {deed} with {response.status_code}")
