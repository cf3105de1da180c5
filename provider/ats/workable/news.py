"""One renderer for callbacks and polling: our news in Workable's words."""

from typing import Any

from provider.ats.dialect import News
from provider.orders.glance import Shown

# Our status to the wire's. The contract says `rejected` in its prose and `declined` in a list.
WORDS = {"declined": "rejected", "cancelled": "expired"}


def body(news: News) -> dict[str, Any]:
    """Return the contract's status document."""
    if not news.result:
        return {"status": _status(news)}
    said: dict[str, Any] = {"results_url": news.report_url} if news.report_url else {}
    said["status"] = _status(news)
    said[news.kind] = _check(news.result) if news.kind == "check" else _scored(news.result)
    if news.switches.get("top_level_grade") and news.result.grade:
        said["grade"] = news.result.grade
    if news.pdf_url:
        noun = {"check": "Background Check"}.get(news.kind, news.kind.capitalize())
        said["attachments"] = [{"description": f"{noun} Report", "url": news.pdf_url}]
    return said


def clock(seconds: int) -> str:
    """Return a duration as HH:MM:SS; hours go on past 99."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def percent(score: float) -> str:
    """Return a score as the contract's string: `78`, or `77.5` where it is not whole."""
    return f"{score:.2f}".rstrip("0").rstrip(".")


def _status(news: News) -> str:
    if news.status == "declined" and news.kind != "check" and news.switches.get("declined"):
        return "declined"
    return WORDS.get(news.status, news.status)


def _scored(result: Shown) -> dict[str, Any]:
    said = {
        "score": None if result.score is None else percent(result.score),
        "grade": result.grade,
        "summary": result.summary,
        "details": result.details,
        "duration": None if result.duration is None else clock(result.duration),
    }
    return {name: value for name, value in said.items() if value not in (None, "", {})}


def _check(result: Shown) -> dict[str, Any]:
    return {
        "overall_status": result.figures["overall_status"],
        "result": [
            {"name": finding["name"], "status": finding["status"]}
            for finding in result.figures["findings"]
        ],
    }
