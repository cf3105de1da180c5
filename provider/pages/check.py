"""Agreeing to a background check: the text, what the screenings need, and a typed name.

Plain forms, without scripts. What was typed is given back until it can be taken, and kept
nowhere before.
"""

from typing import Any

from flask import Blueprint, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from provider.errors import ProviderError
from provider.here import here
from provider.kinds.check import Check, Incomplete
from provider.kinds.check.particulars import OLDEST, PARTICULARS
from provider.orders import CONSENTED, PENDING
from provider.pages.candidate_answers import dress, to_landing
from provider.pages.candidate_door import Visit, acting, looking

routes = Blueprint("check", __name__, url_prefix="/o/<public_id>/consent")

MOST_TYPED = 2000  # characters of a field that a page gives back


@routes.get("")
def form(public_id: str) -> ResponseReturnValue:
    """Show what is to be agreed to, and the form."""
    with looking(public_id, Check) as visit:
        if visit.order.status != PENDING:
            return to_landing(public_id)
        return _page(visit)


@routes.post("")
def agree(public_id: str) -> ResponseReturnValue:
    """Take the consent, or say all that is to be mended; agreeing twice changes nothing."""
    try:
        with acting(public_id, Check) as visit:
            if visit.order.status != CONSENTED:
                _consent(visit)
    except Incomplete as error:
        return _again(public_id, error.fields)
    return to_landing(public_id)


@routes.errorhandler(CSRFError)
def _unproven(_: CSRFError) -> ResponseReturnValue:
    """The browser has lost its form cookie: give it a new one and keep what was typed."""
    public_id = str((request.view_args or {})["public_id"])
    try:
        return _again(public_id, {})
    except ProviderError as error:
        return current_app.handle_user_exception(error)


def _consent(visit: Visit[Check]) -> None:
    visit.order.consent(
        visit.session,
        here().vault,
        request.form.get("name", ""),
        request.form,
        address=request.remote_addr or "",
        agent=request.user_agent.string,
        at=visit.at,
    )


def _again(public_id: str, problems: dict[str, str]) -> ResponseReturnValue:
    with looking(public_id, Check) as visit:
        visit.order.must_be_open(visit.at)
        return _page(visit, problems, again=True), 400


def _page(
    visit: Visit[Check], problems: dict[str, str] | None = None, *, again: bool = False
) -> str:
    content, today = visit.order.content, visit.at.date()
    return render_template(
        "candidate/check/consent.html",
        **_facts(visit),
        particulars={name: PARTICULARS[name] for name in content.asked},
        typed={name: value[:MOST_TYPED] for name, value in request.form.items()},
        problems=problems or {},
        again=again,
        latest=today.isoformat(),
        earliest=f"{today.year - OLDEST}-01-01",
    )


def _facts(visit: Visit[Check]) -> dict[str, Any]:
    order = visit.order
    return {**dress(order.account), "order": order, "content": order.content}
