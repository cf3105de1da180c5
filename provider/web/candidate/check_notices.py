"""The notices of an adverse action, and the report that they are about, for the candidate."""

from flask import Blueprint
from werkzeug.wrappers import Response

from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse.notice_pdf import render_notice_pdf
from provider.core.orders import PDF
from provider.core.report import build_report
from provider.core.report_pdf import render_pdf
from provider.errors import NotFound
from provider.services import current_services
from provider.texts import gettext_noop
from provider.web.candidate.session import order_for_read
from provider.web.pdf_response import pdf_response

routes = Blueprint("notices", __name__, url_prefix="/notices")

NO_NOTICE_MESSAGE = gettext_noop("There is no such letter")


@routes.get("/<notice_id>.pdf")
def notice(public_id: str, notice_id: str) -> Response:
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        for action in check.adverse_actions:
            for row in action.notices:
                if row.public_id == notice_id:
                    content = check.decrypt_notice(current_services().secret_box, row)
                    return _pdf_response(render_notice_pdf(check, content, row.sent_at))
    raise NotFound(NO_NOTICE_MESSAGE)


@routes.get("/report.pdf")
def report(public_id: str) -> Response:
    """Return the report, for a candidate who has got a notice because of it."""
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        if not check.adverse_actions:
            raise NotFound(NO_NOTICE_MESSAGE)
        report_data = build_report(check, current_services().secret_box, {PDF})
    return _pdf_response(render_pdf(report_data))


def _pdf_response(pdf: bytes) -> Response:
    response = pdf_response(pdf, "inline; filename=letter.pdf")
    response.headers["Cache-Control"] = "no-store"
    return response
