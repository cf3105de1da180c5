"""The candidate's first and last pages: the invitation, declining, and what became of it."""

import re
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from jinja2 import Template

from provider import text
from provider.errors import Conflict, Denied, NotFound
from provider.here import here
from provider.kinds import KINDS
from provider.kinds.document import load
from provider.kinds.fields import cleaned
from provider.orders import DECLINED, PENDING, Order
from provider.orders.order import INVITED, SUBMITTED
from provider.pages import assessment, check, interview
from provider.pages.candidate_answers import (
    dress,
    forgotten,
    landing_of,
    say,
    to_landing,
    wants_json,
)
from provider.pages.candidate_door import Visit, acting, admit, looking, remember
from provider.pages.pace import keep_pace

routes = Blueprint("candidate", __name__, url_prefix="/c")
routes.register_blueprint(assessment.routes)
routes.register_blueprint(check.routes)
routes.register_blueprint(interview.routes)
routes.add_app_template_filter(text.markdown, "markdown")
routes.add_app_template_filter(text.plain, "plain")


@routes.get("/<token>", strict_slashes=False)
def arrive(token: str) -> ResponseReturnValue:
    """Swap an invitation's link for a session, and go to an address without the token."""
    keep_pace()
    public_id, session = admit(token)
    response = redirect(landing_of(public_id), 303)
    if session:
        remember(response, public_id, session)
    return response


@routes.get("/o/<public_id>/")
def landing(public_id: str) -> ResponseReturnValue:
    """Show what the invitation is about, or how things stand."""
    if request.method != "HEAD":
        _note_first_view(public_id)
    return _standing(public_id)


@routes.get("/o/<public_id>/decline")
def consider(public_id: str) -> ResponseReturnValue:
    """Ask whether the candidate means to decline, and why if they want to say."""
    with looking(public_id, Order) as visit:
        if visit.order.status != PENDING or visit.order.progress == SUBMITTED:
            return to_landing(public_id)
        return render_template("candidate/decline.html", **_facts(visit))


@routes.post("/o/<public_id>/decline")
def decline(public_id: str) -> ResponseReturnValue:
    """The candidate says no; saying it twice changes nothing."""
    with acting(public_id, Order) as visit:
        if visit.order.status != DECLINED:
            reason = cleaned(request.form.get("reason", ""))
            visit.order.decline(visit.session, reason, visit.at)
    return to_landing(public_id)


@routes.get("/colour/<colour>.css")
def colour(colour: str) -> ResponseReturnValue:
    """A style sheet of an account's colour: the pages' policy allows no styles of their own."""
    if not re.fullmatch("[0-9a-f]{6}", colour):
        raise NotFound("There is no such colour")
    response = Response(f":root {{ --accent: #{colour}; }}\n", mimetype="text/css")
    response.cache_control.public, response.cache_control.max_age = True, 31_536_000
    return response


@routes.errorhandler(NotFound)
def _lost(error: NotFound) -> ResponseReturnValue:
    return say(404, "candidate/lost.html", str(error))


@routes.errorhandler(Denied)
def _denied(error: Denied) -> ResponseReturnValue:
    return say(403, "candidate/denied.html", str(error))


@routes.errorhandler(CSRFError)
def _forgotten(_: CSRFError) -> ResponseReturnValue:
    return forgotten()


@routes.errorhandler(Conflict)
def _too_late(error: Conflict) -> ResponseReturnValue:
    """Whatever was tried cannot be done any more: show how things stand instead."""
    public_id = str((request.view_args or {})["public_id"])
    if wants_json():
        return jsonify(error=str(error), next=landing_of(public_id)), 409
    return _standing(public_id), 409


def _standing(public_id: str) -> str:
    with looking(public_id, Order) as visit:
        return render_template(_pages(visit.order), **_facts(visit))


def _pages(order: Order) -> list[str | Template]:
    """Name the page that says how things stand: the kind's own where it has one."""
    if order.status != PENDING:
        return [f"candidate/{order.kind}/{order.status}.html", "candidate/ended.html"]
    if order.waits_on_candidate:
        return ["candidate/invited.html"]
    return [f"candidate/{order.kind}/{order.progress}.html", "candidate/running.html"]


def _facts(visit: Visit[Order]) -> dict[str, Any]:
    order = visit.order
    content = load(order.version.content, KINDS[order.kind].shape)
    aside = order.aside(here().vault)
    return {**dress(order.account), **aside, "order": order, "content": content, "at": visit.at}


def _note_first_view(public_id: str) -> None:
    with looking(public_id, Order) as visit:
        if visit.order.status != PENDING or visit.order.progress != INVITED:
            return
    with acting(public_id, Order) as action:
        action.order.open(action.session, action.at)
