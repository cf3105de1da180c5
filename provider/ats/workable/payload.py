"""Renders a status update in Workable's format, for callbacks and polling alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from provider.ats.base import StatusUpdate, format_duration
from provider.core.orders.queries import ResultView

# Our status → Workable's. The contract has `rejected` in its prose and `declined` in a list.
WIRE_STATUSES = {"declined": "rejected", "cancelled": "expired"}


def build_payload(update: StatusUpdate) -> dict[str, Any]:
    """Return the contract's status document."""
    if not update.result:
        return {"status": _wire_status(update)}
    payload: dict[str, Any] = {"results_url": update.report_url} if update.report_url else {}
    payload["status"] = _wire_status(update)
    kind_format = _kind_format(update.kind)
    payload[update.kind] = kind_format.render_result(update.result)
    if update.options.get("top_level_grade") and update.result.grade:
        payload["grade"] = update.result.grade
    if update.pdf_url:
        description = f"{kind_format.noun} Report"
        payload["attachments"] = [{"description": description, "url": update.pdf_url}]
    return payload


def format_score(score: float) -> str:
    """Return a score as a string with at most two decimals: `78` or `77.5`."""
    return f"{score:.2f}".rstrip("0").rstrip(".")


def _wire_status(update: StatusUpdate) -> str:
    says_declined = _kind_format(update.kind).may_say_declined and update.options.get("declined")
    if update.status == "declined" and says_declined:
        return "declined"
    return WIRE_STATUSES.get(update.status, update.status)


def _scored_result(result: ResultView) -> dict[str, Any]:
    fields = {
        "score": None if result.score is None else format_score(result.score),
        "grade": result.grade,
        "summary": result.summary,
        "details": result.details,
        "duration": None if result.duration is None else format_duration(result.duration),
    }
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


def _check_result(result: ResultView) -> dict[str, Any]:
    return {
        "overall_status": result.figures["overall_status"],
        "result": [
            {"name": finding["name"], "status": finding["status"]}
            for finding in result.figures["findings"]
        ],
    }


@dataclass(frozen=True)
class KindFormat:
    """The contract's form of the results of one kind."""

    noun: str
    render_result: Callable[[ResultView], dict[str, Any]]
    may_say_declined: bool  # whether the account's switch `declined` applies


KIND_FORMATS = {
    "check": KindFormat("Background Check", _check_result, may_say_declined=False),
}


def _kind_format(kind: str) -> KindFormat:
    """Return the format of a kind. A kind that is not in the table has a score."""
    scored = KindFormat(kind.capitalize(), _scored_result, may_say_declined=True)
    return KIND_FORMATS.get(kind, scored)
