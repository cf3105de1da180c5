"""A check after the consent: messages about its steps, and the candidate's copy of the report.

The status page itself is `candidate/check/consented.html`, later `completed.html`. All pages work
without scripts.
"""

from datetime import UTC, date, datetime, time

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from provider.core import formats
from provider.core.kinds.check import Check
from provider.core.kinds.check.documents import open_slots
from provider.core.kinds.check.screening_status import (
    PERFORMER_TEXTS,
    list_statuses,
    may_read_report,
    wants_messages,
)
from provider.core.kinds.check.step_messages import choose_messages
from provider.core.orders import CONSENTED, PDF, REPORT
from provider.core.report import build_report
from provider.errors import Conflict, NotFound
from provider.services import current_services
from provider.texts import LazyText
from provider.web.candidate import check_disputes
from provider.web.candidate.responses import (
    order_context,
    redirect_to_landing,
)
from provider.web.candidate.session import order_for_read, order_for_update
from provider.web.pdf_response import report_pdf_response

routes = Blueprint("check_status", __name__, url_prefix="/o/<public_id>/check")
routes.register_blueprint(check_disputes.routes)


@routes.post("/messages")
def save_messages(public_id: str) -> ResponseReturnValue:
    """Switch the e-mails about steps on or off."""
    with order_for_update(public_id, Check) as candidate_request:
        if candidate_request.order.status != CONSENTED:
            raise Conflict("There are no more steps to write to you about")
        is_wanted = request.form.get("messages") == "yes"
        choose_messages(candidate_request.session, candidate_request.order, is_wanted)
    return redirect_to_landing(public_id)


@routes.get("/report")
def report(public_id: str) -> str:
    """Show the candidate her copy of the report."""
    with order_for_read(public_id, Check) as candidate_request:
        check = _require_copy(candidate_request.order)
        return render_template(
            "candidate/check/report.html",
            **order_context(candidate_request),
            report=build_report(check, current_services().secret_box, {REPORT}),
        )


@routes.get("/report.pdf")
def report_pdf(public_id: str) -> Response:
    with order_for_read(public_id, Check) as candidate_request:
        check = _require_copy(candidate_request.order)
        report_data = build_report(check, current_services().secret_box, {PDF})
    return report_pdf_response(report_data)


@routes.app_template_global("check_status_context")
def status_context(check: Check) -> dict[str, object]:
    """Return the variables of the status page."""
    services = current_services()
    return {
        "statuses": list_statuses(check, services.secret_box, services.now()),
        "has_copy": may_read_report(check),
        "wants_messages": wants_messages(check),
        "asks_documents": check.progress == "asked" and bool(open_slots(check)),
    }


@routes.app_template_global("performer_text")
def performer_text(performer: str) -> LazyText:
    """Return who makes a screening, in the words of the candidate."""
    return PERFORMER_TEXTS[performer]


@routes.app_template_filter("day")
def format_day(day: date) -> str:
    """Return a date without a time, in the language of the page."""
    return formats.format_date(datetime.combine(day, time(), UTC))


def _require_copy(check: Check) -> Check:
    if not may_read_report(check):
        raise NotFound("There is no such page")
    return check
