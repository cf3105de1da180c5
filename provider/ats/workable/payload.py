"""One renderer for callbacks and polling: our news in Workable's words."""

from typing import Any

from provider.ats.base import StatusUpdate
from provider.core.orders.queries import ResultView

# Our status to the wire's. The contract says `rejected` in its prose and `declined` in a list.
WIRE_STATUSES = {"declined": "rejected", "cancelled": "expired"}


def build_payload(update: StatusUpdate) -> dict[str, Any]:
    """Return the contract's status document."""
    if not update.result:
        return {"status": _wire_status(update)}
    said: dict[str, Any] = {"results_url": update.report_url} if update.report_url else {}
    said["status"] = _wire_status(update)
    said[update.kind] = (
        _check_result(update.result) if update.kind == "check" else _scored_result(update.result)
    )
    if update.options.get("top_level_grade") and update.result.grade:
        said["grade"] = update.result.grade
    if update.pdf_url:
        noun = {"check": "Background Check"}.get(update.kind, update.kind.capitalize())
        said["attachments"] = [{"description": f"{noun} Report", "url": update.pdf_url}]
    return said


def format_duration(seconds: int) -> str:
    """Return a duration as HH:MM:SS; hours go on past 99."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def format_score(score: float) -> str:
    """Return a score as the contract's string: `78`, or `77.5` where it is not whole."""
    return f"{score:.2f}".rstrip("0").rstrip(".")


def _wire_status(update: StatusUpdate) -> str:
    if update.status == "declined" and update.kind != "check" and update.options.get("declined"):
        return "declined"
    return WIRE_STATUSES.get(update.status, update.status)


def _scored_result(result: ResultView) -> dict[str, Any]:
    said = {
        "score": None if result.score is None else format_score(result.score),
        "grade": result.grade,
        "summary": result.summary,
        "details": result.details,
        "duration": None if result.duration is None else format_duration(result.duration),
    }
    return {name: value for name, value in said.items() if value not in (None, "", {})}


def _check_result(result: ResultView) -> dict[str, Any]:
    return {
        "overall_status": result.figures["overall_status"],
        "result": [
            {"name": finding["name"], "status": finding["status"]}
            for finding in result.figures["findings"]
        ],
    }
