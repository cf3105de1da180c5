"""The candidate's first and last pages: the invitation, declining, and the status page."""

import re
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from jinja2 import Template

from provider.core import markdown
from provider.core.kinds import KINDS
from provider.core.orders import DECLINED, PENDING, Order
from provider.core.orders.states import INVITED, SUBMITTED
from provider.core.products.documents import load_content
from provider.core.products.schema_fields import clean_text
from provider.errors import Conflict, NotFound, Unauthorized
from provider.services import current_services
from provider.web.candidate.responses import (
    branding_context,
    landing_url,
    redirect_to_landing,
    respond_form_expired,
    respond_with_message,
    wants_json,
)
from provider.web.candidate.session import (
    CandidateRequest,
    order_for_read,
    order_for_update,
    redeem_invitation,
    set_session_cookie,
)
from provider.web.rate_limit import limit_by_address

routes = Blueprint("candidate", __name__, url_prefix="/c")
routes.add_app_template_filter(markdown.render_markdown, "markdown")
routes.add_app_template_filter(markdown.markdown_to_text, "plain")


@routes.get("/<token>", strict_slashes=False)
def open_invitation(token: str) -> ResponseReturnValue:
    """Exchange the invitation's token for a session cookie, and redirect to a URL without it."""
    limit_by_address()
    public_id, session = redeem_invitation(token)
    response = redirect(landing_url(public_id), 303)
    if session:
        set_session_cookie(response, public_id, session)
    return response


@routes.get("/o/<public_id>/")
def landing(public_id: str) -> ResponseReturnValue:
    """Show the invitation, or the order's status once the candidate has acted."""
    if request.method != "HEAD":
        _record_first_view(public_id)
    return _render_status_page(public_id)


@routes.get("/o/<public_id>/decline")
def confirm_decline(public_id: str) -> ResponseReturnValue:
    """Ask for a confirmation and an optional reason."""
    with order_for_read(public_id, Order) as candidate_request:
        order = candidate_request.order
        if order.status != PENDING or order.progress == SUBMITTED:
            return redirect_to_landing(public_id)
        return render_template("candidate/decline.html", **_template_context(candidate_request))


@routes.post("/o/<public_id>/decline")
def decline(public_id: str) -> ResponseReturnValue:
    """Decline the order; a second decline changes nothing."""
    with order_for_update(public_id, Order) as candidate_request:
        order = candidate_request.order
        if order.status != DECLINED:
            reason = clean_text(request.form.get("reason", ""))
            order.decline(candidate_request.session, reason, candidate_request.now)
    return redirect_to_landing(public_id)


@routes.get("/colour/<colour>.css")
def branding_css(colour: str) -> ResponseReturnValue:
    """Return a style sheet with an account's colour; the page policy forbids inline styles."""
    if not re.fullmatch("[0-9a-f]{6}", colour):
        raise NotFound("There is no such colour")
    response = Response(f":root {{ --accent: #{colour}; }}\n", mimetype="text/css")
    response.cache_control.public, response.cache_control.max_age = True, 31_536_000
    return response


@routes.errorhandler(NotFound)
def _handle_not_found(error: NotFound) -> ResponseReturnValue:
    return respond_with_message(404, "candidate/not_found.html", error.translated())


@routes.errorhandler(Unauthorized)
def _handle_unauthorized(error: Unauthorized) -> ResponseReturnValue:
    return respond_with_message(403, "candidate/unauthorized.html", error.translated())


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    return respond_form_expired()


@routes.errorhandler(Conflict)
def _handle_conflict(error: Conflict) -> ResponseReturnValue:
    """Answer an action that is no longer possible with the status page."""
    public_id = str((request.view_args or {})["public_id"])
    if wants_json():
        return jsonify(error=error.translated(), next=landing_url(public_id)), 409
    return _render_status_page(public_id), 409


def _render_status_page(public_id: str) -> str:
    with order_for_read(public_id, Order) as candidate_request:
        templates = _status_templates(candidate_request.order)
        return render_template(templates, **_template_context(candidate_request))


def _status_templates(order: Order) -> list[str | Template]:
    """Return the templates of the status page by preference: the kind's own, then the common."""
    if order.status != PENDING:
        return [f"candidate/{order.kind}/{order.status}.html", "candidate/ended.html"]
    if order.is_waiting_for_candidate:
        return ["candidate/invited.html"]
    return [f"candidate/{order.kind}/{order.progress}.html"]


def _template_context(candidate_request: CandidateRequest[Order]) -> dict[str, Any]:
    order = candidate_request.order
    kind = KINDS[order.kind]
    return {
        **branding_context(order.account),
        **order.kind_context(current_services().secret_box),
        "order": order,
        "kind_texts": kind.texts,
        "content": load_content(order.version.content, kind.schema),
        "now": candidate_request.now,
    }


def _record_first_view(public_id: str) -> None:
    # Most views are not the first: a read transaction finds out without the write lock.
    with order_for_read(public_id, Order) as candidate_request:
        order = candidate_request.order
        if order.status != PENDING or order.progress != INVITED:
            return
    with order_for_update(public_id, Order) as candidate_request:
        candidate_request.order.mark_opened(candidate_request.session, candidate_request.now)
