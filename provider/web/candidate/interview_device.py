"""The candidate's device before an interview: the speed of its line, and the way to a phone."""

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from provider.core.kinds.interview import Interview
from provider.core.orders import INVITE, Link
from provider.services import current_services
from provider.texts import gettext
from provider.web.candidate.session import CandidateRequest, order_for_read
from provider.web.qr_code import qr_code

MAX_MEASURED_BYTES = 1024 * 1024

routes = Blueprint("device", __name__)


@routes.url_value_preprocessor
def _limit_body(*_: Any) -> None:
    # The CSRF check may read the body before the view runs, so the limit is set before it.
    request.max_content_length = MAX_MEASURED_BYTES


@routes.post("/line")
def measure_line(public_id: str) -> ResponseReturnValue:
    """Read and discard a body: the browser measures how long its way takes."""
    with order_for_read(public_id, Interview):
        pass
    request.get_data(cache=False)
    return "", 204


def phone_code(candidate_request: CandidateRequest[Interview]) -> Markup | None:
    """Return the invitation as a QR code; None when no invitation is valid any more."""
    services = current_services()
    link = Link.find_permanent(candidate_request.session, candidate_request.order, INVITE)
    if link is None:
        return None
    url = services.urls.invitation(link.get_token(services.secret_box))
    return qr_code(url, gettext("QR code that opens this interview on your phone"))
