"""The proof of a check's consent, for the staff who decide."""

from flask import Blueprint
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.consent_proof import render_consent_proof
from provider.core.staff import Permission
from provider.errors import Conflict
from provider.services import current_services
from provider.texts import DEFAULT_LANGUAGE, use_language
from provider.web.console import authentication
from provider.web.console.authentication import requires
from provider.web.pdf_response import pdf_response

routes = Blueprint("consent", __name__)


@routes.post("/consent.pdf")
@requires(Permission.DECIDE_CHECKS)
def download_evidence(order_id: str) -> Response:
    """Return the proof in the candidate's language, and record the access."""
    services = current_services()
    with services.db.writing() as session:
        check = Check.find(session, order_id)
        if not check.consents:
            raise Conflict("The candidate has not consented yet")
        authentication.record_act(session, Action.CHECK_EVIDENCE_DOWNLOADED, f"order:{order_id}")
    with services.db.reading() as session:
        check = Check.find(session, order_id)
        with use_language(check.texts_language or DEFAULT_LANGUAGE):
            pdf = render_consent_proof(
                check,
                check.consents[-1],
                services.secret_box,
                services.settings,
                services.now(),
            )
    return pdf_response(pdf, f"attachment; filename=consent-{order_id}.pdf")
