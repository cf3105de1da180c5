"""The common parts of an interview's pages: variables of templates, the clock, files to show."""

from functools import partial
from typing import Any

from flask import Response, url_for

from provider.core.kinds.interview import Interview
from provider.core.orders.given_time import to_milliseconds
from provider.services import current_services
from provider.web import csp
from provider.web.candidate.interview_navigation import BLUEPRINT, list_question_positions
from provider.web.candidate.responses import branding_context
from provider.web.candidate.session import CandidateRequest

InterviewRequest = CandidateRequest[Interview]


def template_context(candidate_request: InterviewRequest) -> dict[str, Any]:
    order, now = candidate_request.order, candidate_request.now
    return {
        **branding_context(order.account),
        "order": order,
        "content": order.content,
        "positions": list_question_positions(order),
        "media_url": partial(media_url, order.public_id),
        "now": now,
        "now_ms": to_milliseconds(now),
        "seconds_left": order.time_left(now).total_seconds(),
        "ends_at": int(order.attempt_ends_at.timestamp()) if order.attempt_ends_at else 0,
        "pause_left": order.pause_left(now) if order.can_pause(now) else None,
    }


def clock_fields(candidate_request: InterviewRequest) -> dict[str, Any]:
    """Return what a page sets its clock by."""
    order, now = candidate_request.order, candidate_request.now
    seconds_left = order.time_left(now).total_seconds()
    return {"now": to_milliseconds(now), "seconds_left": seconds_left}


def media_url(public_id: str, name: str, variant: str = "files") -> str:
    """Return the address of a file that the template shows; `variant` may be `posters`."""
    return url_for(
        f"{BLUEPRINT}.course.media_file", public_id=public_id, variant=variant, name=name
    )


def recording_page_response(page: str) -> Response:
    """Return a page that may use the camera and microphone, and play a recording from memory."""
    response = Response(page)
    response.headers["Permissions-Policy"] = "camera=(self), microphone=(self), geolocation=()"
    response.headers["Content-Security-Policy"] = csp.recording_page_policy(
        current_services().media.origin
    )
    return response
