"""The status of a check, returned to Jobtrain. The outcome only goes along by a switch."""

from collections.abc import Mapping
from typing import Any

from provider.ats.api import (
    PLACED,
    ApiRequest,
    ApiResponse,
    Connection,
    OrderSummary,
    Steps,
    Writer,
    WriteRejected,
    WriteTask,
)
from provider.ats.jobtrain.source import (
    ACCEPT_JSON,
    application_url,
    check_request,
    refusal_text,
)
from provider.core.orders import CANCELLED, COMPLETED, CONSENTED, DECLINED, EXPIRED, PENDING

# Our status → its name in the settings `labels` and `stages`.
LABEL_NAMES = {
    PLACED: "invited",
    PENDING: "invited",  # reopened
    CONSENTED: "started",
    COMPLETED: "completed",
    DECLINED: "declined",
    EXPIRED: "expired",
    CANCELLED: "cancelled",
}


class StatusWriter(Writer):
    """Returns each status. A status that is there already is not written again."""

    name = "status"

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        return status in LABEL_NAMES

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields to send. A result is special-category data: off by default."""
        names = settings["fields"]
        label_name = LABEL_NAMES[summary.status]
        document = {names["status"]: settings["labels"][label_name]}
        if stage := settings["stages"].get(label_name):
            document[names["stage"]] = stage
        outcome = settings["outcomes"].get(summary.outcome)
        if summary.status == COMPLETED and settings["send_outcome"] and outcome:
            document[names["result"]] = outcome
        return document

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        """Look first where an earlier attempt may have arrived, then send the status."""
        application_id = task.target["application"]
        text = f"Jobtrain has the status {', '.join(task.document.values())}"
        can_look = bool(connection.settings["check_path"])
        if task.is_repeated and can_look:
            response = yield check_request(connection, application_id)
            if _has_values(response, task.document):
                return text
        response = yield ApiRequest.with_json(
            connection.settings["status_method"],
            application_url(connection, "status_path", application_id),
            task.document,
        ).with_headers(ACCEPT_JSON)
        if response.status_code == 409 and can_look:
            present = yield check_request(connection, application_id)
            if _has_values(present, task.document):
                return text
        if not response.is_success:
            raise WriteRejected(refusal_text("the status", response))
        return text


def _has_values(response: ApiResponse, document: Mapping[str, Any]) -> bool:
    if not response.is_success:
        return False
    stored = response.json()
    return all(stored.get(name) == value for name, value in document.items())
