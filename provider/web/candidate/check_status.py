"""A check after the consent: messages about its steps, her copy of the report, and disputes.

The status page itself is `candidate/check/consented.html`, later `completed.html`. All pages work
without scripts.
"""

from datetime import UTC, date, datetime, time

from flask import Blueprint, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.wrappers import Response

from provider.core import labels
from provider.core.kinds.check import Check
from provider.core.kinds.check.dispute import DISPUTE_REASONS
from provider.core.kinds.check.disputes import (
    TEXT_LENGTHS,
    find_disputable,
    find_open_dispute,
    open_dispute,
    retract_dispute,
)
from provider.core.kinds.check.documents import open_slots
from provider.core.kinds.check.screening_status import (
    list_statuses,
    may_read_report,
    wants_messages,
)
from provider.core.kinds.check.step_messages import choose_messages
from provider.core.orders import CONSENTED, PDF, REPORT
from provider.core.report import build_report
from provider.errors import Conflict, Invalid, NotFound, ProviderError
from provider.services import current_services
from provider.texts import gettext
from provider.web.candidate.responses import (
    order_context,
    redirect_to_landing,
    respond_form_expired,
)
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update
from provider.web.pdf_response import pdf_response

CheckRequest = CandidateRequest[Check]

routes = Blueprint("check_status", __name__, url_prefix="/o/<public_id>/check")


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
    return pdf_response(report_data)


@routes.get("/disputes/<screening>")
def dispute_form(public_id: str, screening: str) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        find_disputable(check, screening)
        if find_open_dispute(check, screening):
            return redirect_to_landing(public_id)
        return _render_form(candidate_request, screening)


@routes.post("/disputes/<screening>")
def save_dispute(public_id: str, screening: str) -> ResponseReturnValue:
    """Open a dispute; a form that is sent twice opens one."""
    try:
        with order_for_update(public_id, Check) as candidate_request:
            open_dispute(
                candidate_request.session,
                current_services().secret_box,
                candidate_request.order,
                screening,
                request.form.get("reason", ""),
                request.form.get("text", ""),
                candidate_request.now,
            )
    except Invalid as error:
        return _render_form_again(public_id, screening, error.translated())
    return redirect_to_landing(public_id)


@routes.post("/disputes/<screening>/retract")
def retract(public_id: str, screening: str) -> ResponseReturnValue:
    """Retract the open dispute of a screening; a second press changes nothing."""
    with order_for_update(public_id, Check) as candidate_request:
        check = candidate_request.order
        check.find_screening(screening)
        if dispute := find_open_dispute(check, screening):
            retract_dispute(candidate_request.session, check, dispute, candidate_request.now)
    return redirect_to_landing(public_id)


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """Answer a dispute whose cookie is gone with a new form that has the typed text in it."""
    values = request.view_args or {}
    if "text" not in request.form or "screening" not in values:
        return respond_form_expired()
    problem = gettext("This page has been open for too long")
    try:
        return _render_form_again(values["public_id"], values["screening"], problem)
    except ProviderError as error:
        return current_app.handle_user_exception(error)


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


@routes.app_template_filter("day")
def format_day(day: date) -> str:
    """Return a date without a time, in the language of the page."""
    return labels.format_date(datetime.combine(day, time(), UTC))


def _require_copy(check: Check) -> Check:
    if not may_read_report(check):
        raise NotFound("There is no such page")
    return check


def _render_form_again(public_id: str, screening: str, problem: str) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        return _render_form(candidate_request, screening, problem), 400


def _render_form(candidate_request: CheckRequest, screening: str, problem: str = "") -> str:
    check = candidate_request.order
    entry = find_disputable(check, screening)
    return render_template(
        "candidate/check/dispute.html",
        **order_context(candidate_request),
        screening=entry,
        action=url_for(".save_dispute", public_id=check.public_id, screening=screening),
        reasons=DISPUTE_REASONS,
        chosen_reason=request.form.get("reason", ""),
        text=request.form.get("text", "")[: TEXT_LENGTHS.stop],
        max_length=TEXT_LENGTHS.stop - 1,
        problem=problem,
        title=gettext("Dispute an outcome"),
    )
