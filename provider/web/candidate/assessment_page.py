"""What the pages of a running test share: where the candidate is, the clock, the variables."""

from functools import partial
from typing import Any

from flask import url_for

from provider.core.kinds.assessment import Assessment
from provider.core.orders.given_time import to_milliseconds
from provider.web.candidate.responses import branding_context, landing_url
from provider.web.candidate.session import CandidateRequest

AssessmentRequest = CandidateRequest[Assessment]

BLUEPRINT = "candidate.assessment"


def item_url(public_id: str, number: int, **parameters: Any) -> str:
    return url_for(f"{BLUEPRINT}.item", public_id=public_id, number=number, **parameters)


def overview_url(public_id: str, **parameters: Any) -> str:
    return url_for(f"{BLUEPRINT}.overview", public_id=public_id, **parameters)


def place_url(candidate_request: AssessmentRequest, question: int = 0) -> str:
    """Return the URL of the page at which the candidate goes on.

    That is `question`, if it is open; otherwise the open one, or the first without an answer.
    """
    order, now = candidate_request.order, candidate_request.now
    if order.is_running(now) and order.is_paused(now):
        return url_for(f"{BLUEPRINT}.paused", public_id=order.public_id)
    if not order.is_clock_running(now):
        return landing_url(order.public_id)
    if not order.is_part_open:
        return url_for(f"{BLUEPRINT}.part", public_id=order.public_id)
    part = order.part
    if part.is_forward and order.attempt:
        numbers = [order.attempt.item_number]
    elif question in part:
        numbers = [question]
    else:
        keys = order.open_blank_keys
        numbers = [number for number, item in enumerate(part.items, part.first) if item.key in keys]
    if numbers and numbers[0] in part:
        return item_url(order.public_id, numbers[0])
    return overview_url(order.public_id)


def clock_fields(candidate_request: AssessmentRequest) -> dict[str, Any]:
    """Return what a page sets its clock by, and the newest device."""
    order, now = candidate_request.order, candidate_request.now
    return {
        "now": to_milliseconds(now),
        "seconds_left": order.answer_time_left(now).total_seconds(),
        "device": order.attempt.device if order.attempt else "",
    }


def template_context(candidate_request: AssessmentRequest) -> dict[str, Any]:
    order, now = candidate_request.order, candidate_request.now
    answer_ends_at = order.answer_ends_at
    return {
        **branding_context(order.account),
        "order": order,
        "content": order.content,
        "file_url": partial(_file_url, order.public_id),
        "part": order.part,
        "attempt": order.attempt,
        "seconds_left": order.answer_time_left(now).total_seconds(),
        "ends_at": int(answer_ends_at.timestamp()) if answer_ends_at else 0,
        "now_ms": to_milliseconds(now),
        "pause_left": order.pause_left(now) if order.can_pause(now) else None,
    }


def _file_url(public_id: str, name: str) -> str:
    return url_for(f"{BLUEPRINT}.files.stimulus_file", public_id=public_id, name=name)
