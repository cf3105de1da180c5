"""The writers for Workable: an evaluation, a comment with the report, and a tag."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

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
from provider.ats.api.result_tags import is_result_tag, result_tag
from provider.ats.workable.rest.address import api_base
from provider.core.orders import COMPLETED, FINAL_STATUSES

GRADES = {"failed": 0, "passed": 1, "excelled": 1}  # thumbs: negative, positive, definite
DEFINITE_GRADE = 2
SCORES = ("negative", "positive", "definite")  # the deprecated words of the grades
POLICIES = {
    "admins": [],
    "simple": ["simple"],
    "recruiters": ["simple", "recruiter"],
    "reviewers": ["simple", "recruiter", "reviewer"],
}


class Rating(Writer):
    """An evaluation in thumbs. The PUT replaces that member's evaluation in the stage.

    The older POST adds one, so an earlier attempt is looked for.
    """

    name = "rating"

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        return bool(settings["ratings"] and settings["member_id"]) and status == COMPLETED

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the evaluation; a check has none."""
        grade = GRADES.get(summary.grade or "")
        if grade is None:
            return {}
        definite_from = settings["definite_from"]
        if grade and definite_from is not None and (summary.score or 0) >= definite_from:
            grade = DEFINITE_GRADE
        comment = f"{summary.product}: {summary.grade}  {summary.marker}"
        document = {"member_id": settings["member_id"], "comment": comment}
        if settings["rating_api"] == "post_score":
            return {**document, "score": SCORES[grade]}
        return {**document, "scale": "thumbs", "grade": grade}

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        if not task.document:
            return "A check has no evaluation"
        url = _candidate_url(task, connection)
        method = "PUT" if connection.settings["rating_api"] == "put" else "POST"
        if method == "POST" and task.is_repeated:
            is_there = yield from _has_activity(url, task.document["comment"])
            if is_there:
                return "The evaluation is there already"
        response = yield ApiRequest.with_json(method, f"{url}/ratings", task.document)
        _require_success(response, "the evaluation")
        return "The evaluation is written"


class Comment(Writer):
    """A comment with the report. It cannot be taken back, so an earlier attempt is looked for."""

    name = "comment"

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        return bool(settings["comments"] and settings["member_id"]) and status in FINAL_STATUSES

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        has_file = summary.has_pdf and settings["attach_pdf"]
        return {
            "body": summary.sentence,
            "marker": summary.marker,
            "member_id": settings["member_id"],
            "policy": POLICIES[settings["comment_policy"]],
            "filename": summary.filename if has_file else "",
        }

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        """Write the comment unless one with our marker is among the newest activities."""
        url = _candidate_url(task, connection)
        if task.is_repeated:
            is_there = yield from _has_activity(url, task.document["marker"])
            if is_there:
                return "The comment is there already"
        comment = {"body": task.document["body"], "policy": task.document["policy"]}
        if task.document["filename"] and (pdf := task.render_pdf()) is not None:
            data = b64encode(pdf).decode()
            comment["attachment"] = {"name": task.document["filename"], "data": data}
        document = {"member_id": task.document["member_id"], "comment": comment}
        response = yield ApiRequest.with_json("POST", f"{url}/comments", document)
        _require_success(response, "the comment")
        return "The comment is written"


class Tag(Writer):
    """The tag `PRODUCT: passed`. A tag that somebody adds at this moment can be lost."""

    name = "tag"
    request_count = 2

    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        return bool(settings["tags"]) and status in FINAL_STATUSES

    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"product": summary.product, "tag": result_tag(summary)}

    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        """Read the tags, replace ours about the product, and write all of them."""
        url = _candidate_url(task, connection)
        response = yield ApiRequest("GET", url)
        _require_success(response, "to show the candidate")
        tags = list(response.json()["candidate"].get("tags") or ())
        wanted, product = task.document["tag"], task.document["product"]
        other_tags = [tag for tag in tags if not is_result_tag(tag, product)]
        if [*other_tags, wanted] != tags:
            document = {"tags": [*other_tags, wanted]}
            response = yield ApiRequest.with_json("PUT", f"{url}/tags", document)
            _require_success(response, "the tag")
        return f"The tag “{wanted}” is set"


def _has_activity(url: str, text: str) -> Any:
    """Return whether one of the candidate's newest activities has this text."""
    response = yield ApiRequest("GET", f"{url}/activities?limit=100")
    _require_success(response, "to list the activities")
    return any(text in str(entry.get("body") or "") for entry in response.json()["activities"])


def _candidate_url(task: WriteTask, connection: Connection) -> str:
    candidate = quote(str(task.target[CANDIDATE_KEY]), safe="")
    return f"{api_base(connection.settings)}/candidates/{candidate}"


def _require_success(response: ApiResponse, deed: str) -> None:
    if response.status_code == 404:
        raise WriteRejected("The candidate no longer exists in Workable")
    if response.status_code == 403:
        raise WriteRejected(f"Workable refuses {deed}: the scope w_candidates is missing")
    if not response.is_success:
        raise WriteRejected(f"Workable refuses {deed} with {response.status_code}")
