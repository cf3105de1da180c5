"""Signing in, with a second step for whoever has set one up, and signing out.

Verifying a password is slow on purpose, so no transaction is open meanwhile.
"""

from datetime import timedelta

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.staff import (
    KNOWN_ORIGIN_LIFETIME,
    SECOND_STEP_LIFETIME,
    SLOT_RETRY_SECONDS,
    STAFF_SESSION_LIFETIME,
    WRONG_CODE_MESSAGE,
    SignInThrottled,
    Staff,
    StaffSession,
    begin_second_step,
    complete_second_step,
    complete_sign_in,
    has_second_factor,
    record_failed_sign_in,
    record_throttled_sign_in,
    register_sign_in_attempt,
    remember_sign_in,
    sign_in_slot,
    verify_password,
)
from provider.core.staff.webauthn import RelyingParty
from provider.core.text_cleaning import clean_line
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
        return render_form()
    try:
        with sign_in_slot():
            return _verify_and_sign_in(current_services())
    except Unavailable as error:
        response = render_form(str(error), 503)
        response.headers["Retry-After"] = str(SLOT_RETRY_SECONDS)
        return response


@routes.route("/sign-in/code", methods=["GET", "POST"])
@public
def second_step() -> Response:
    """Ask for a code of the app or a recovery code, after the password was right."""
    limit_by_address()
    services = current_services()
    token = request.cookies.get(cookie_name(services), "")
    with services.db.reading() as session:
        waiting = StaffSession.find(session, token, services.now(), is_verified=False)
    if waiting is None:
        return redirect(url_for("console.sign_in.sign_in", next=request.values.get("next", "")))
    if request.method == "GET":
        return _render_code_form()
    return _verify_code(services, token)


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
    set_cookie(services, response, cookie_name(services), "", timedelta(0))
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
        return render_form(str(error), 429)
    if not verify_password(password_hash, request.form.get("password", "")):
        with services.db.writing() as session:
            record_failed_sign_in(session, email, ip_address, now)
        return render_form(INVALID_CREDENTIALS_MESSAGE, 403)
    with services.db.writing() as session:
        if has_second_factor(session, Staff.get_by_email(session, email)):
            token = begin_second_step(session, email, ip_address, now, verified_hash=password_hash)
            return _second_step_response(services, token)
        return complete(session, email, verified_hash=password_hash)


def complete(
    session: Session,
    email: str,
    method: str = "",
    *,
    verified_hash: str | None = None,
    target: str = "",
) -> Response:
    """Sign a person in whose every factor was verified, and go to the target or the form's page.

    Raises Unauthorized as `complete_sign_in`.
    """
    services, ip_address = current_services(), client_address()
    device_token = request.cookies.get(_device_cookie_name(services), "")
    token = complete_sign_in(
        session,
        email,
        ip_address,
        services.now(),
        device_token=device_token,
        verified_hash=verified_hash,
        user_agent=_user_agent(),
        method=method,
    )
    device_token = remember_sign_in(session, email, ip_address, services.now(), device_token)
    return _sign_in_response(services, token, device_token, target)


def _verify_code(services: Services, token: str) -> Response:
    """Count an attempt as for a password, in a transaction of its own; then verify the code."""
    ip_address, now = client_address(), services.now()
    device_token = request.cookies.get(_device_cookie_name(services), "")
    try:
        with services.db.writing() as session:
            waiting = StaffSession.require_waiting(session, token, now)
            email = waiting.staff.email
            register_sign_in_attempt(session, email, ip_address, now, device_token)
    except SignInThrottled as error:
        with services.db.writing() as session:
            record_throttled_sign_in(session, error, email, ip_address, now)
        return _render_code_form(str(error), 429)
    with services.db.writing() as session:
        waiting = StaffSession.require_waiting(session, token, now)
        cookie = complete_second_step(
            session,
            services.secret_box,
            waiting,
            request.form.get("code", ""),
            now,
            device_token=device_token,
            user_agent=_user_agent(),
        )
        if cookie:
            device_token = remember_sign_in(session, email, ip_address, now, device_token)
        else:
            record_failed_sign_in(session, email, ip_address, now)
    if not cookie:
        return _render_code_form(WRONG_CODE_MESSAGE, 403)
    return _sign_in_response(services, cookie, device_token)


def _user_agent() -> str:
    return clean_line(request.headers.get("User-Agent", ""))


def safe_redirect_target(url: str) -> str:
    """Return the URL if it is a path of the console, else the console's home."""
    is_in_console = (url.partition("?")[0] + "/").startswith("/console/")
    if is_in_console and url.isprintable() and "\\" not in url and ".." not in url:
        return url
    return url_for("console.home.overview")


def render_form(problem: str = "", status_code: int = 200) -> Response:
    settings = current_services().settings
    with current_services().db.reading() as session:
        has_no_staff = session.scalar(select(Staff.id).limit(1)) is None
    page = render_template(
        "console/sign_in.html",
        problem=problem,
        has_no_staff=has_no_staff,
        email=request.form.get("email", ""),
        next=request.values.get("next", ""),
        openid_label=settings.openid_label if settings.openid_issuer else "",
        has_passkeys=RelyingParty(settings.base_url).is_usable,
    )
    return make_response(page, status_code)


def _render_code_form(problem: str = "", status_code: int = 200) -> Response:
    page = render_template(
        "console/sign_in_code.html", problem=problem, next=request.values.get("next", "")
    )
    return make_response(page, status_code)


def _second_step_response(services: Services, token: str) -> Response:
    target = safe_redirect_target(request.form.get("next", ""))
    response = redirect(url_for("console.sign_in.second_step", next=target))
    set_cookie(services, response, cookie_name(services), token, SECOND_STEP_LIFETIME)
    return response


def _sign_in_response(
    services: Services, token: str, device_token: str, target: str = ""
) -> Response:
    response = redirect(safe_redirect_target(target or request.form.get("next", "")))
    set_cookie(services, response, cookie_name(services), token, STAFF_SESSION_LIFETIME)
    # Signing out keeps it: it opens nothing, and saves the person from the limits on strangers.
    device_cookie = _device_cookie_name(services)
    set_cookie(services, response, device_cookie, device_token, KNOWN_ORIGIN_LIFETIME)
    return response


def browser_cookie_name(services: Services) -> str:
    """Return the name of the cookie that binds a challenge to the browser that asked for it."""
    return "__Host-sign-in" if services.settings.is_https else "sign-in"


def _device_cookie_name(services: Services) -> str:
    return "__Host-device" if services.settings.is_https else "device"


def set_cookie(
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
