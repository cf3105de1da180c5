"""The candidate's first and last pages: the invitation, declining, and the status page."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from jinja2 import Template

from provider.core import markdown
from provider.core.accounts.logo import find_logo
from provider.core.accounts.setting_texts import contact_url
from provider.core.orders import DECLINED, PENDING, Accommodation, Order, TimedOrder
from provider.core.orders.accommodation import ASKED, propose_terms
from provider.core.orders.candidate import parse_time_zone
from provider.core.orders.states import MARKING, SUBMITTED
from provider.core.products.schema_fields import clean_text
from provider.errors import Conflict, NotFound, Unauthorized, Unavailable
from provider.services import current_services
from provider.texts import list_languages
from provider.web.candidate import before_start
from provider.web.candidate.local_time import local_time
from provider.web.candidate.responses import (
    landing_url,
    order_context,
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

# In the URL of the first page after an invitation: without a cookie there, the browser keeps none.
COOKIE_CHECK = "cookie-check"
# The state of what the person was granted for an earlier order, until the staff decide.
PROPOSED = "proposed"
YEAR_SECONDS = 31_536_000

routes = Blueprint("candidate", __name__, url_prefix="/c")
routes.register_blueprint(before_start.routes)
routes.add_app_template_filter(markdown.render_markdown, "markdown")
routes.add_app_template_filter(contact_url, "contact_url")
routes.add_app_template_filter(local_time, "local")


@routes.get("/<token>", strict_slashes=False)
def open_invitation(token: str) -> ResponseReturnValue:
    """Exchange the invitation's token for a session cookie, and redirect to a URL without it."""
    limit_by_address()
    public_id, session = redeem_invitation(token)
    if not session:
        return redirect_to_landing(public_id)
    response = redirect(landing_url(public_id, **{COOKIE_CHECK: "1"}), 303)
    set_session_cookie(response, public_id, session)
    return response


@routes.get("/o/<public_id>/")
def landing(public_id: str) -> ResponseReturnValue:
    """Show the invitation, or the order's status once the candidate has acted."""
    page = _render_status_page(public_id)
    return redirect_to_landing(public_id) if COOKIE_CHECK in request.args else page


@routes.post("/o/<public_id>/opened")
def record_opening(public_id: str) -> ResponseReturnValue:
    """Record that somebody has used the page, and the browser's time zone.

    The page's script sends this at the first touch or key.
    """
    with order_for_update(public_id, Order) as candidate_request:
        timezone = parse_time_zone(request.form.get("timezone", ""))
        if timezone:
            candidate_request.order.candidate.timezone = timezone
        return "", 204


@routes.post("/o/<public_id>/language")
def choose_language(public_id: str) -> ResponseReturnValue:
    """Use another language for the order's pages and e-mails."""
    language = request.form.get("language", "")
    if language not in list_languages():
        raise NotFound("There is no such page")
    with order_for_update(public_id, Order) as candidate_request:
        candidate_request.order.language = language
    return redirect_to_landing(public_id)


@routes.get("/o/<public_id>/decline")
def confirm_decline(public_id: str) -> ResponseReturnValue:
    """Ask for a confirmation and an optional reason."""
    with order_for_read(public_id, Order) as candidate_request:
        order = candidate_request.order
        if order.status != PENDING or order.progress in (MARKING, SUBMITTED):
            return redirect_to_landing(public_id)
        return render_template("candidate/decline.html", **order_context(candidate_request))


@routes.post("/o/<public_id>/decline")
def decline(public_id: str) -> ResponseReturnValue:
    """Decline the order; a second decline changes nothing."""
    services = current_services()
    folders: Sequence[str] = ()
    with order_for_update(public_id, Order) as candidate_request:
        order = candidate_request.order
        is_new = order.status != DECLINED
        if is_new:
            reason = clean_text(request.form.get("reason", ""))
            folders = order.decline(
                candidate_request.session,
                reason,
                candidate_request.now,
                given_at=candidate_request.given.given_at,
            )
    with suppress(Unavailable):  # scheduled work deletes files without a row later
        for folder in folders:
            services.media.delete_folder(folder)
    if is_new:
        services.db.truncate_wal()  # or deleted data stays in the side file
    return redirect_to_landing(public_id)


@routes.get("/colour/<colour>.css")
def branding_css(colour: str) -> ResponseReturnValue:
    """Return a style sheet with an account's colour; the page policy forbids inline styles."""
    if not re.fullmatch("[0-9a-f]{6}", colour):
        raise NotFound("There is no such colour")
    response = Response(f":root {{ --accent: #{colour}; }}\n", mimetype="text/css")
    response.cache_control.public, response.cache_control.max_age = True, YEAR_SECONDS
    return response


@routes.get("/logo/<file_name>")
def logo(file_name: str) -> ResponseReturnValue:
    """Return the logo of an account; its name is made from its content."""
    with current_services().db.reading() as session:
        picture = find_logo(session, file_name)
        response = Response(picture.content, mimetype=picture.content_type)
    response.cache_control.public, response.cache_control.max_age = True, YEAR_SECONDS
    response.cache_control.immutable = True
    return response


@routes.errorhandler(NotFound)
def _handle_not_found(error: NotFound) -> ResponseReturnValue:
    return respond_with_message(404, "candidate/not_found.html", error.translated())


@routes.errorhandler(Unauthorized)
def _handle_unauthorized(error: Unauthorized) -> ResponseReturnValue:
    template = "no_cookies" if COOKIE_CHECK in request.args else "unauthorized"
    return respond_with_message(403, f"candidate/{template}.html", error.translated())


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    return respond_form_expired()


@routes.errorhandler(Conflict)
def _handle_conflict(error: Conflict) -> ResponseReturnValue:
    """Answer an action that is no longer possible with the status page."""
    public_id = str((request.view_args or {})["public_id"])
    if wants_json():
        return jsonify(error=error.translated(), next=landing_url(public_id)), 409
    return _render_status_page(public_id, error.translated()), 409


def _render_status_page(public_id: str, refusal: str = "") -> str:
    """Return the status page; `refusal` says why an action was refused, for a pause's page."""
    with order_for_read(public_id, Order) as candidate_request:
        order = candidate_request.order
        templates = _status_templates(order, candidate_request.now)
        context = order_context(candidate_request)
        if order.is_waiting_for_candidate:
            context |= _accommodation_context(candidate_request)
            secret_box, now = current_services().secret_box, candidate_request.now
            context["start_refusal"] = order.find_start_refusal(secret_box, now)
        return render_template(templates, **context, refusal=refusal, has_language_menu=True)


def _accommodation_context(candidate_request: CandidateRequest[Order]) -> dict[str, object]:
    """Return the accommodation of the order, and what was asked for or decided."""
    secret_box, session = current_services().secret_box, candidate_request.session
    order = candidate_request.order
    accommodation = Accommodation.of(session, order)
    if accommodation:
        is_asked = accommodation.state == ASKED
        terms = accommodation.asked(secret_box) if is_asked else accommodation.decided(secret_box)
        return {"accommodation_state": accommodation.state, "terms": terms}
    terms = propose_terms(session, secret_box, order) if order.accommodation_asked_at else None
    return {"accommodation_state": PROPOSED, "terms": terms} if terms else {}


def _status_templates(order: Order, now: datetime) -> list[str | Template]:
    """Return the templates of the status page by preference: the kind's own, then the common."""
    if order.is_past_expiry(now):  # the order expires within seconds
        return ["candidate/ended.html"]
    if order.status != PENDING:
        return [f"candidate/{order.kind}/{order.status}.html", "candidate/ended.html"]
    if order.is_waiting_for_candidate:
        return ["candidate/invited.html"]
    if isinstance(order, TimedOrder) and order.is_ending(now):
        return ["candidate/ending.html"]
    if isinstance(order, TimedOrder) and order.is_paused(now):
        return [f"candidate/{order.kind}/paused.html"]
    return [f"candidate/{order.kind}/{order.progress}.html"]
