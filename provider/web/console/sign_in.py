"""Signing in and out. Judging a password is slow by intent, so no transaction is open meanwhile."""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from sqlalchemy import delete, select
from werkzeug.wrappers import Response

from provider.core.staff import (
    SESSION_LIFETIME,
    Staff,
    StaffSession,
    complete_sign_in,
    register_sign_in_attempt,
    verify_password,
)
from provider.errors import Unauthorized
from provider.services import Services, current_services
from provider.storage import secrets
from provider.web.console.authentication import cookie_name
from provider.web.rate_limit import limit_by_address

routes = Blueprint("signing_in", __name__)

INVALID_CREDENTIALS_MESSAGE = "The e-mail address or the password is not right"


@routes.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Response:
    """Ask who it is, and let them in."""
    limit_by_address()
    if request.method == "GET":
        return _render_form()
    services, email = current_services(), request.form.get("email", "")
    address = request.remote_addr or ""
    try:
        with services.db.writing() as session:
            hashed = register_sign_in_attempt(session, email, address, services.now())
    except Unauthorized as error:
        return _render_form(str(error), 429)
    if not verify_password(hashed, request.form.get("password", "")):
        return _render_form(INVALID_CREDENTIALS_MESSAGE, 403)
    with services.db.writing() as session:
        token = complete_sign_in(session, email, address, services.now())
    return _sign_in_response(services, token)


@routes.post("/sign-out")
def sign_out() -> Response:
    """Forget the session: the cookie opens nothing any more."""
    services = current_services()
    token = request.cookies.get(cookie_name(services), "")
    with services.db.writing() as session:
        session.execute(
            delete(StaffSession).where(StaffSession.token_hash == secrets.sha256_digest(token))
        )
    response = redirect(url_for("console.signing_in.sign_in"))
    _set_cookie(services, response, "", 0)
    return response


def safe_redirect_target(address: str) -> str:
    """Return where to go after signing in: an address of the console, and no other."""
    inside = (address.partition("?")[0] + "/").startswith("/console/")
    if inside and address.isprintable() and "\\" not in address and ".." not in address:
        return address
    return url_for("console.home")


def _render_form(problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        nobody = session.scalar(select(Staff.id).limit(1)) is None
    page = render_template(
        "console/sign_in.html",
        problem=problem,
        nobody=nobody,
        email=request.form.get("email", ""),
        next=request.values.get("next", ""),
    )
    return make_response(page, status_code)


def _sign_in_response(services: Services, token: str) -> Response:
    response = redirect(safe_redirect_target(request.form.get("next", "")))
    _set_cookie(services, response, token, int(SESSION_LIFETIME.total_seconds()))
    return response


def _set_cookie(services: Services, response: Response, value: str, seconds: int) -> None:
    response.set_cookie(
        cookie_name(services),
        value,
        max_age=seconds,
        path="/",
        secure=services.settings.is_https,
        httponly=True,
        samesite="Lax",
    )
