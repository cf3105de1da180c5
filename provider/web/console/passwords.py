"""Pages of the links that the staff get by e-mail: join the console, or choose a new password."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from provider.core import audit
from provider.core.account_limits import account_names
from provider.core.audit import Action
from provider.core.staff import (
    INVITATION,
    MIN_PASSWORD_LENGTH,
    RESET,
    ROLE_DESCRIPTIONS,
    accept_invitation,
    find_link,
    reset_password,
    send_reset,
)
from provider.errors import Invalid
from provider.services import current_services
from provider.web.console.authentication import public
from provider.web.rate_limit import limit_by_address

routes = Blueprint("passwords", __name__)

SENT_MESSAGE = (
    "If this address belongs to a member of the staff, an e-mail with a link is on its way. The "
    "link works for an hour."
)


@routes.route("/password", methods=["GET", "POST"])
@public
def forgotten() -> Response:
    """Send a link for a new password. The answer is the same for an unknown address."""
    limit_by_address()
    if request.method == "GET":
        return make_response(render_template("console/forgotten_password.html"))
    services = current_services()
    with services.db.writing() as session:
        email, now = request.form.get("email", ""), services.now()
        link = send_reset(session, services.secret_box, email, now)
        if link:
            subject = f"staff:{link.email}"
            audit.record(session, audit.SYSTEM, Action.STAFF_RESET_SENT, subject, now=now)
    return make_response(render_template("console/forgotten_password.html", sent=SENT_MESSAGE))


@routes.route("/password/<token>", methods=["GET", "POST"])
@public
def reset(token: str) -> Response:
    limit_by_address()
    if request.method == "GET":
        return _render_form(token, RESET)
    try:
        services = current_services()
        with services.db.writing() as session:
            now = services.now()
            link = find_link(session, token, RESET, now)
            staff = reset_password(session, link, _read_password(), now)
            audit.record(
                session, staff.email, Action.STAFF_PASSWORD_CHANGED, f"staff:{staff.email}", now=now
            )
    except Invalid as error:
        return _render_form(token, RESET, str(error))
    flash("You have a new password. Sign in with it.", "success")
    return redirect(url_for("console.sign_in.sign_in"))


@routes.route("/join/<token>", methods=["GET", "POST"])
@public
def join(token: str) -> Response:
    limit_by_address()
    if request.method == "GET":
        return _render_form(token, INVITATION)
    try:
        services = current_services()
        with services.db.writing() as session:
            now = services.now()
            link = find_link(session, token, INVITATION, now)
            staff = accept_invitation(session, link, _read_password(), now)
            audit.record(
                session,
                staff.email,
                Action.STAFF_CREATED,
                f"staff:{staff.email}",
                now=now,
                after={
                    "role": staff.role,
                    "accounts": account_names(session, staff.account_ids),
                },
            )
    except Invalid as error:
        return _render_form(token, INVITATION, str(error))
    flash("You are on the staff now. Sign in with your password.", "success")
    return redirect(url_for("console.sign_in.sign_in"))


def _read_password() -> str:
    """Return the new password of the form. Invalid if both fields differ."""
    password = request.form.get("password", "")
    if password != request.form.get("repeated", ""):
        raise Invalid("The two passwords differ: type the same one twice")
    return password


def _render_form(token: str, purpose: str, problem: str = "") -> Response:
    services = current_services()
    with services.db.reading() as session:
        link = find_link(session, token, purpose, services.now(), lock=False)
        page = render_template(
            "console/new_password.html",
            link=link,
            token=token,
            is_invitation=purpose == INVITATION,
            role_description=ROLE_DESCRIPTIONS.get(link.role or "", ""),
            min_length=MIN_PASSWORD_LENGTH,
            problem=problem,
        )
    return make_response(page, 400 if problem else 200)
