"""Agreeing to a background check: the text, what the screenings need, and a typed name.

Plain forms, without scripts. What was typed is given back until it can be taken, and kept
nowhere before.
"""

from typing import Any

from flask import Blueprint, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from provider.core.kinds.check import Check, IncompleteForm
from provider.core.kinds.check.candidate_details import DETAIL_FIELDS, MAX_AGE_YEARS
from provider.core.orders import CONSENTED, PENDING
from provider.errors import ProviderError
from provider.services import current_services
from provider.web.candidate.responses import branding_context, redirect_to_landing
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update

routes = Blueprint("check", __name__, url_prefix="/o/<public_id>/consent")

MAX_VALUE_LENGTH = 2000  # characters of a field that a page gives back


@routes.get("")
def form(public_id: str) -> ResponseReturnValue:
    """Show what is to be agreed to, and the form."""
    with order_for_read(public_id, Check) as visit:
        if visit.order.status != PENDING:
            return redirect_to_landing(public_id)
        return _render_form(visit)


@routes.post("")
def agree(public_id: str) -> ResponseReturnValue:
    """Take the consent, or say all that is to be mended; agreeing twice changes nothing."""
    try:
        with order_for_update(public_id, Check) as visit:
            if visit.order.status != CONSENTED:
                _record_consent(visit)
    except IncompleteForm as error:
        return _render_form_again(public_id, error.fields)
    return redirect_to_landing(public_id)


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """The browser has lost its form cookie: give it a new one and keep what was typed."""
    public_id = str((request.view_args or {})["public_id"])
    try:
        return _render_form_again(public_id, {})
    except ProviderError as error:
        return current_app.handle_user_exception(error)


def _record_consent(visit: CandidateRequest[Check]) -> None:
    visit.order.give_consent(
        visit.session,
        current_services().secret_box,
        request.form.get("name", ""),
        request.form,
        ip_address=request.remote_addr or "",
        user_agent=request.user_agent.string,
        now=visit.now,
    )


def _render_form_again(public_id: str, problems: dict[str, str]) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as visit:
        visit.order.require_open(visit.now)
        return _render_form(visit, problems, is_redisplayed=True), 400


def _render_form(
    visit: CandidateRequest[Check],
    problems: dict[str, str] | None = None,
    *,
    is_redisplayed: bool = False,
) -> str:
    content, today = visit.order.content, visit.now.date()
    return render_template(
        "candidate/check/consent.html",
        **_template_context(visit),
        particulars={name: DETAIL_FIELDS[name] for name in content.requested_details},
        typed={name: value[:MAX_VALUE_LENGTH] for name, value in request.form.items()},
        problems=problems or {},
        again=is_redisplayed,
        latest=today.isoformat(),
        earliest=f"{today.year - MAX_AGE_YEARS}-01-01",
    )


def _template_context(visit: CandidateRequest[Check]) -> dict[str, Any]:
    order = visit.order
    return {**branding_context(order.account), "order": order, "content": order.content}
