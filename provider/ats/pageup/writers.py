"""The writers for PageUp: a tag with the result, and the report as a file."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from provider.ats.api import (
    CANDIDATE_KEY,
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
from provider.ats.api.result_tags import is_result_tag, result_tag
from provider.ats.pageup.source import JSON_API, candidate_url, get
from provider.core.orders import CANCELLED, COMPLETED, DECLINED, EXPIRED


class ResultTag(Writer):
    """The tag `PRODUCT: passed`. Tags feed marketing, so `result_tags` says what they tell."""

    name = "tag"
    request_count = 2

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        """Write ends; with `completed` only that an order is completed."""
        if settings["result_tags"] == "outcome":
            return status in (COMPLETED, DECLINED, EXPIRED, CANCELLED)
        return settings["result_tags"] == "completed" and status == COMPLETED

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        tells_outcome = settings["result_tags"] == "outcome"
        return {"product": summary.product, "tag": result_tag(summary, tells_outcome=tells_outcome)}

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        """Add the tag unless it is there, then delete our earlier tag about the product."""
        url = candidate_url(connection, task.target[CANDIDATE_KEY])
        tags = yield from _read_tags(url)
        wanted, product = task.document["tag"], task.document["product"]
        if wanted not in tags:
            attributes = {"name": wanted}
            if connection.settings["tag_needs_email"]:
                attributes["email"] = task.email
            document = {"data": {"type": "tag", "attributes": attributes}}
            response = yield ApiRequest.with_json(
                "POST", f"{url}/tags", document, JSON_API
            ).with_headers({"Accept": JSON_API})
            _require_success(response, "the tag")
        for name, tag_id in tags.items():
            if name != wanted and is_result_tag(name, product):
                response = yield _delete_tag(url, tag_id)
                _require_gone(response)
        return f"The tag “{wanted}” is set"


class ReportFile(Writer):
    """The report as a file of the candidate. PageUp may take it for a résumé: off by default."""

    name = "file"
    request_count = 2

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        return bool(settings["pdf_as_file"]) and status == COMPLETED

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"filename": summary.filename}

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        """Upload the file unless a file of its name is there."""
        url = candidate_url(connection, task.target[CANDIDATE_KEY])
        filename = task.document["filename"]
        response = yield get(f"{url}?include=resumes")
        _require_success(response, "to show the candidate")
        files = [entry.get("attributes", {}) for entry in response.json().get("included") or ()]
        if any(filename == attributes.get("filename") for attributes in files):
            return f"The file {filename} is there already"
        pdf = task.render_pdf()
        if pdf is None:
            return "Nothing was sent: the order has been reopened"
        content = {"filename": filename, "content": b64encode(pdf).decode()}
        document = {"data": {"type": "candidate_files", "attributes": content}}
        response = yield ApiRequest.with_json(
            "POST", f"{url}/candidate_files", document, JSON_API
        ).with_headers({"Accept": JSON_API})
        _require_success(response, "the file")
        return f"The file {filename} is sent"


class UsedTag(Writer):
    """The tag of a rule is deleted when the order is placed, if the account wants it."""

    name = "used_tag"

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        return bool(settings["consume_tag"]) and status == PLACED

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        """Delete the tag that the rule names."""
        url = candidate_url(connection, task.target[CANDIDATE_KEY])
        used = " ".join(task.target["match"]["tag"].casefold().split())
        tags = yield from _read_tags(url)
        for name, tag_id in tags.items():
            if " ".join(name.casefold().split()) == used:
                response = yield _delete_tag(url, tag_id)
                _require_gone(response)
        return f"The tag “{task.target['match']['tag']}” is deleted"


def _read_tags(url: str) -> Any:
    """Return the ids of the candidate's tags by name."""
    response = yield get(f"{url}/tags")
    _require_success(response, "to list the candidate's tags")
    entries = response.json()["data"]
    return {str(entry["attributes"]["name"]): str(entry["id"]) for entry in entries}


def _delete_tag(url: str, tag_id: str) -> ApiRequest:
    return ApiRequest("DELETE", f"{url}/tags/{tag_id}", {"Accept": JSON_API})


def _require_success(response: ApiResponse, deed: str) -> None:
    if response.status_code == 404:
        raise WriteRejected("The candidate no longer exists in PageUp")
    if not response.is_success:
        raise WriteRejected(f"PageUp refuses {deed} with {response.status_code}")


def _require_gone(response: ApiResponse) -> None:
    if not response.is_success and response.status_code != 404:
        raise WriteRejected(f"PageUp refuses to delete a tag with {response.status_code}")
