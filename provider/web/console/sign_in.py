"""Signing in and out.

Verifying a password is slow on purpose, so no transaction is open meanwhile.
"""

from datetime import timedelta

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from sqlalchemy import delete, select
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.staff import (
    KNOWN_ORIGIN_LIFETIME,
    SLOT_RETRY_SECONDS,
    STAFF_SESSION_LIFETIME,
    SignInThrottled,
    Staff,
    StaffSession,
    complete_sign_in,
    record_failed_sign_in,
    record_throttled_sign_in,
    register_sign_in_attempt,
    remember_sign_in,
    sign_in_slot,
    verify_password,
)
from provider.errors import Unavailable
from provider.services import Services, current_services
from provider.storage import secrets
from provider.web.client_address import client_address
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
    try:
        with sign_in_slot():
            return _verify_and_sign_in(current_services())
    except Unavailable as error:
        response = _render_form(str(error), 503)
        response.headers["Retry-After"] = str(SLOT_RETRY_SECONDS)
        return response


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
    _set_cookie(services, response, cookie_name(services), "", timedelta(0))
    return response


def _verify_and_sign_in(services: Services) -> Response:
    email, ip_address, now = request.form.get("email", ""), client_address(), services.now()
    device_token = request.cookies.get(_device_cookie_name(services), "")
    try:
        with services.db.writing() as session:
            password_hash = register_sign_in_attempt(session, email, ip_address, now, device_token)
    except SignInThrottled as error:
        with services.db.writing() as session:
            record_throttled_sign_in(session, error, email, ip_address, now)
        return _render_form(str(error), 429)
    if not verify_password(password_hash, request.form.get("password", "")):
        with services.db.writing() as session:
            record_failed_sign_in(session, email, ip_address, now)
        return _render_form(INVALID_CREDENTIALS_MESSAGE, 403)
    with services.db.writing() as session:
        token = complete_sign_in(
            session, email, ip_address, now, device_token=device_token, verified_hash=password_hash
        )
        device_token = remember_sign_in(session, email, ip_address, now, device_token)
    return _sign_in_response(services, token, device_token)


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


def _sign_in_response(services: Services, token: str, device_token: str) -> Response:
    response = redirect(safe_redirect_target(request.form.get("next", "")))
    _set_cookie(services, response, cookie_name(services), token, STAFF_SESSION_LIFETIME)
    # Signing out keeps it: it opens nothing, and saves the person from the limits on strangers.
    device_cookie = _device_cookie_name(services)
    _set_cookie(services, response, device_cookie, device_token, KNOWN_ORIGIN_LIFETIME)
    return response


def _device_cookie_name(services: Services) -> str:
    return "__Host-device" if services.settings.is_https else "device"


def _set_cookie(
    services: Services, response: Response, name: str, value: str, max_age: timedelta
) -> None:
    response.set_cookie(
        name,
        value,
        max_age=max_age,
        path="/",
        secure=services.settings.is_https,
        httponly=True,
        samesite="Lax",
    )
