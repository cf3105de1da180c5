"""The signals of a running test: what its page reports, and the connection of each request."""

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.integrity_signals import (
    MAX_EVENTS_PER_REQUEST,
    PageEvent,
    record_connection,
    record_events,
)
from provider.core.kinds.assessment.integrity_summary import reading_ms
from provider.core.kinds.assessment.items import Item
from provider.core.networks import network_of
from provider.services import current_services
from provider.web.browsers import find_browser_family
from provider.web.candidate.session import CandidateRequest, order_for_update
from provider.web.client_address import client_address

EVENT_FIELD = "event"  # TYPE:NUMBER:LENGTH; the field is repeated

routes = Blueprint("signals", __name__)


@routes.post("/signals")
def record(public_id: str) -> ResponseReturnValue:
    """Store the events that the page's script reports. Events that cannot be stored are dropped.

    A test that records no signals stores none, whatever is sent.
    """
    with order_for_update(public_id, Assessment) as candidate_request:
        note_connection(candidate_request)
        if candidate_request.order.content.integrity.record:
            texts = request.form.getlist(EVENT_FIELD)[:MAX_EVENTS_PER_REQUEST]
            events = [event for text in texts if (event := PageEvent.parse(text))]
            record_events(
                candidate_request.session, candidate_request.order, events, candidate_request.now
            )
    return "", 204


def note_connection(candidate_request: CandidateRequest[Assessment]) -> None:
    """Store the network and the browser of a request, if the test records signals."""
    if candidate_request.order.content.integrity.record:
        record_connection(
            candidate_request.session,
            current_services().secret_box,
            candidate_request.order,
            network_of(client_address()),
            find_browser_family(request.user_agent.string),
            candidate_request.now,
        )


def find_reading_ms(
    candidate_request: CandidateRequest[Any], item: Item, *, is_answered: bool
) -> int | None:
    """Return below which time a first answer is a signal; None where it never is."""
    order = candidate_request.order
    if is_answered or not order.content.integrity.record or not order.is_judged_by_speed:
        return None
    return reading_ms(item.prompt_text)
