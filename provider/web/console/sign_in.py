"""Signing in and out.

Verifying a password is slow on purpose, so no transaction is open meanwhile.
"""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from sqlalchemy import delete, select
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.staff import (
    STAFF_SESSION_LIFETIME,
    Staff,
    StaffSession,
    complete_sign_in,
    record_failed_sign_in,
    register_sign_in_attempt,
    verify_password,
)
from provider.errors import Unauthorized
from provider.services import Services, current_services
from provider.storage import secrets
from provider.web.console.authentication import (
    cookie_name,
    current_staff,
    public,
    record_act,
    requires,
)
from provider.web.rate_limit import limit_by_address

routes = Blueprint("sign_in", __name__)

INVALID_CREDENTIALS_MESSAGE = "The e-mail address or the password is wrong"


@routes.route("/sign-in", methods=["GET", "POST"])
@public
def sign_in() -> Response:
    limit_by_address()
    if request.method == "GET":
        return _render_form()
    services, email = current_services(), request.form.get("email", "")
    ip_address = request.remote_addr or ""
    try:
        with services.db.writing() as session:
            password_hash = register_sign_in_attempt(session, email, ip_address, services.now())
    except Unauthorized as error:
        return _render_form(str(error), 429)
    if not verify_password(password_hash, request.form.get("password", "")):
        with services.db.writing() as session:
            record_failed_sign_in(session, email, ip_address, services.now())
        return _render_form(INVALID_CREDENTIALS_MESSAGE, 403)
    with services.db.writing() as session:
        token = complete_sign_in(session, email, ip_address, services.now())
    return _sign_in_response(services, token)


@routes.post("/sign-out")
@requires()
def sign_out() -> Response:
    """Delete the session, so that a copied cookie is useless too."""
    services = current_services()
    token = request.cookies.get(cookie_name(services), "")
    with services.db.writing() as session:
        session.execute(
            delete(StaffSession).where(StaffSession.token_hash == secrets.sha256_digest(token))
        )
        record_act(session, Action.STAFF_SIGNED_OUT, f"staff:{current_staff().email}")
    response = redirect(url_for("console.sign_in.sign_in"))
    _set_cookie(services, response, "", 0)
    return response


def safe_redirect_target(url: str) -> str:
    """Return the URL if it is a path of the console, else the console's home."""
    is_in_console = (url.partition("?")[0] + "/").startswith("/console/")
    if is_in_console and url.isprintable() and "\\" not in url and ".." not in url:
        return url
    return url_for("console.home")


def _render_form(problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        has_no_staff = session.scalar(select(Staff.id).limit(1)) is None
    page = render_template(
        "console/sign_in.html",
        problem=problem,
        has_no_staff=has_no_staff,
        email=request.form.get("email", ""),
        next=request.values.get("next", ""),
    )
    return make_response(page, status_code)


def _sign_in_response(services: Services, token: str) -> Response:
    response = redirect(safe_redirect_target(request.form.get("next", "")))
    _set_cookie(services, response, token, int(STAFF_SESSION_LIFETIME.total_seconds()))
    return response


def _set_cookie(services: Services, response: Response, value: str, max_age_seconds: int) -> None:
    response.set_cookie(
        cookie_name(services),
        value,
        max_age=max_age_seconds,
        path="/",
        secure=services.settings.is_https,
        httponly=True,
        samesite="Lax",
    )
