"""The answer of `test_status`."""

from collections.abc import Mapping
from typing import Any

from provider.ats.base import StatusUpdate, format_duration
from provider.core.orders import CANCELLED, COMPLETED, DECLINED, EXPIRED
from provider.core.orders.queries import ResultView

COMPLETE = "complete"  # the only word that Greenhouse knows
CLOSED_STATUSES = (DECLINED, EXPIRED, CANCELLED)


def build_status(update: StatusUpdate, home_url: str) -> dict[str, Any]:
    """Return status, score and metadata of an order.

    Greenhouse shows a complete test only with a page that can be opened. Without a report that is
    `home_url`.
    """
    is_closed = update.status in CLOSED_STATUSES and update.options.get("close_unfinished")
    if update.status != COMPLETED and not is_closed:
        return _document(update.status, None, None, {})
    if not update.result:
        return _document(COMPLETE, home_url, None, {"Outcome": update.status})
    result = update.result
    return _document(COMPLETE, update.report_url or home_url, _score(result), _metadata(result))


def _document(
    status: str, url: str | None, score: float | None, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "partner_status": status,
        "partner_profile_url": url,
        "partner_score": score,
        "metadata": metadata,
    }


def _score(result: ResultView) -> float | None:
    """Return the percentage with at most two decimals; a whole number without any."""
    if result.score is None:
        return None
    score = round(result.score, 2)
    return int(score) if score == int(score) else score


def _metadata(result: ResultView) -> dict[str, str | float | bool]:
    """Return flat names and values: metadata may not be nested."""
    metadata: dict[str, Any] = {
        "Grade": result.grade,
        "Duration": None if result.duration is None else format_duration(result.duration),
        "Summary": result.summary,
        "Outcome": result.figures.get("overall_status"),
    }
    details: dict[str, Any] = {}
    for name, value in result.details.items():
        if isinstance(value, Mapping):
            details |= {f"{name}: {inner}": figure for inner, figure in value.items()}
        else:
            details[name] = value
    for finding in result.figures.get("findings", ()):
        details[finding["name"]] = finding["status"]
    # An author may call a section or a screening “Outcome”, too.
    metadata |= {name: value for name, value in details.items() if metadata.get(name) is None}
    return {name: value for name, value in metadata.items() if value not in (None, "")}
