"""The consent page of a background check: the text, the candidate's details and a typed name.

Plain forms, without scripts. An incomplete form is shown again with its values, and nothing of it
is stored.
"""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from provider.core.kinds.check import Check, IncompleteForm
from provider.core.kinds.check.candidate_details import DETAIL_FIELDS, MAX_AGE_YEARS
from provider.core.orders import CONSENTED, PENDING
from provider.errors import ProviderError
from provider.services import current_services
from provider.texts import Text
from provider.web.candidate import check_notices
from provider.web.candidate.responses import branding_context, redirect_to_landing
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update
from provider.web.client_address import client_address

CheckRequest = CandidateRequest[Check]

routes = Blueprint("check", __name__, url_prefix="/o/<public_id>/consent")

routes.register_blueprint(check_notices.routes)

# Characters of a submitted value that the page shows again.
MAX_VALUE_LENGTH = 2000


@routes.get("")
def consent_form(public_id: str) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        if candidate_request.order.status != PENDING:
            return redirect_to_landing(public_id)
        return _render_form(candidate_request)


@routes.post("")
def give_consent(public_id: str) -> ResponseReturnValue:
    """Record the consent, or list every problem of the form; a second consent changes nothing."""
    try:
        with order_for_update(public_id, Check) as candidate_request:
            if candidate_request.order.status != CONSENTED:
                _record_consent(candidate_request)
    except IncompleteForm as error:
        return _render_form_again(public_id, error.fields)
    return redirect_to_landing(public_id)


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """Answer a form whose cookie is gone with a new form that has the typed values in it."""
    public_id = str((request.view_args or {})["public_id"])
    try:
        return _render_form_again(public_id, {})
    except ProviderError as error:
        return current_app.handle_user_exception(error)


def _record_consent(candidate_request: CheckRequest) -> None:
    candidate_request.order.give_consent(
        candidate_request.session,
        current_services().secret_box,
        request.form.get("name", ""),
        request.form,
        ip_address=client_address(),
        user_agent=request.user_agent.string,
        now=candidate_request.now,
        submitted_at=candidate_request.given.given_at,
    )


def _render_form_again(public_id: str, problems: Mapping[str, Text]) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        candidate_request.order.require_open(candidate_request.given.given_at)
        return _render_form(candidate_request, problems, is_redisplayed=True), 400


def _render_form(
    candidate_request: CheckRequest,
    problems: Mapping[str, Text] | None = None,
    *,
    is_redisplayed: bool = False,
) -> str:
    content, today = candidate_request.order.content, candidate_request.now.date()
    return render_template(
        "candidate/check/consent.html",
        **_template_context(candidate_request),
        detail_fields={name: DETAIL_FIELDS[name] for name in content.requested_details},
        submitted_values={name: value[:MAX_VALUE_LENGTH] for name, value in request.form.items()},
        problems=problems or {},
        is_redisplayed=is_redisplayed,
        max_date=today.isoformat(),
        min_date=f"{today.year - MAX_AGE_YEARS}-01-01",
    )


def _template_context(candidate_request: CheckRequest) -> dict[str, Any]:
    order = candidate_request.order
    return {**branding_context(order.account), "order": order, "content": order.content}
