"""The page of the person who is signed in: password, second step, passkeys, and sessions."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.staff import (
    MIN_PASSWORD_LENGTH,
    Permission,
    Staff,
    StaffSession,
    begin_set_up,
    change_password,
    confirm_set_up,
    count_recovery_codes,
    forget_sign_in_attempts,
    has_second_factor,
    list_passkeys,
    register_sign_in_attempt,
    remove_second_factor,
    renew_recovery_codes,
    sign_in_slot,
    verify_password,
)
from provider.core.staff.webauthn import RelyingParty
from provider.errors import Conflict, Invalid, NotFound, ProviderError
from provider.services import current_services
from provider.web.browsers import describe_browser
from provider.web.client_address import client_address
from provider.web.console.alerts import change_alerts, change_marking_emails
from provider.web.console.authentication import (
    cookie_name,
    current_staff,
    record_act,
    requires,
)
from provider.web.qr_code import qr_code

routes = Blueprint("own_account", __name__, url_prefix="/me")


@routes.get("/")
@requires()
def detail() -> Response:
    return render_page()


@routes.post("/password")
@requires()
def set_password() -> Response:
    """Change the password, and sign out everywhere: also here."""
    try:
        require_password()
        password = request.form.get("new", "")
        if password != request.form.get("repeated", ""):
            raise Invalid("The two new passwords differ: type the same one twice")
        with current_services().db.writing() as session:
            staff = find_self(session)
            change_password(session, staff, password)
            record_act(session, Action.STAFF_PASSWORD_CHANGED, subject())
    except ProviderError as error:
        return render_page(password_problem=str(error))
    flash("Your password is changed. Sign in with it.", "success")
    return redirect(url_for("console.sign_in.sign_in"))


@routes.route("/second-step", methods=["GET", "POST"])
@requires()
def set_up_second_step() -> Response:
    """Show the picture for the app; with the app's first code, switch the second step on."""
    services = current_services()
    if request.method == "GET":
        return _render_set_up()
    try:
        with services.db.writing() as session:
            codes = confirm_set_up(
                session,
                services.secret_box,
                find_self(session),
                request.form.get("code", ""),
                services.now(),
            )
            record_act(session, Action.STAFF_SECOND_STEP_ADDED, subject())
    except Invalid as error:
        return _render_set_up(str(error))
    return _render_codes(codes, is_new=True)


@routes.post("/recovery-codes")
@requires()
def renew_codes() -> Response:
    try:
        require_password()
    except ProviderError as error:
        return render_page(factor_problem=str(error))
    services = current_services()
    with services.db.writing() as session:
        staff = find_self(session)
        if not has_second_factor(session, staff):
            raise NotFound("The second step is not set up")
        codes = renew_recovery_codes(session, services.secret_box, staff)
        record_act(session, Action.STAFF_RECOVERY_CODES_RENEWED, subject())
    return _render_codes(codes, is_new=False)


@routes.post("/second-step/remove")
@requires()
def remove_second_step() -> Response:
    try:
        require_password()
    except ProviderError as error:
        return render_page(factor_problem=str(error))
    with current_services().db.writing() as session:
        remove_second_factor(session, find_self(session))
        record_act(session, Action.STAFF_SECOND_STEP_REMOVED, subject())
    flash("The second step is switched off. Sign in again.", "success")
    return redirect(url_for("console.sign_in.sign_in"))


@routes.post("/alerts")
@requires(Permission.VIEW_DELIVERIES)
def choose_alerts() -> Response:
    """Switch the e-mails about failed deliveries on or off."""
    with current_services().db.writing() as session:
        change_alerts(session, find_self(session))
    flash("Saved.", "success")
    return redirect(url_for("console.own_account.detail", _anchor="alerts"))


@routes.post("/marking-emails")
@requires(Permission.RATE_INTERVIEWS)
def choose_marking_emails() -> Response:
    """Switch the e-mails about answers to mark on or off."""
    with current_services().db.writing() as session:
        change_marking_emails(session, find_self(session))
    flash("Saved.", "success")
    return redirect(url_for("console.own_account.detail", _anchor="marking-emails"))


@routes.post("/sessions/<int:number>/end")
@requires()
def end_session(number: int) -> Response:
    """End one of the person's sessions."""
    with current_services().db.writing() as session:
        staff_session = session.get(StaffSession, number)
        if staff_session is None or staff_session.staff_id != find_self(session).id:
            raise NotFound("This session has ended already")
        if staff_session.id == _present_id(session):
            raise Conflict("This is the session of this browser: sign out instead")
        session.delete(staff_session)
        record_act(session, Action.STAFF_SESSION_ENDED, subject())
    flash("The session is ended.", "success")
    return redirect(url_for("console.own_account.detail"))


def subject() -> str:
    return f"staff:{current_staff().email}"


def find_self(session: Session) -> Staff:
    return session.scalars(select(Staff).where(Staff.email == current_staff().email)).one()


def _present_id(session: Session) -> int | None:
    """Return the id of this browser's session."""
    services = current_services()
    token = request.cookies.get(cookie_name(services), "")
    staff_session = StaffSession.find(session, token, services.now())
    return staff_session.id if staff_session else None


def require_password() -> None:
    """Raise Unauthorized unless the form has the present password; attempts are limited.

    A browser that was left open must not be enough to change how its person signs in.
    """
    services = current_services()
    with sign_in_slot():
        with services.db.writing() as session:
            password_hash = register_sign_in_attempt(
                session, current_staff().email, client_address(), services.now()
            )
        if not verify_password(password_hash, request.form.get("password", "")):
            raise Invalid("Your present password is not right")
    with services.db.writing() as session:
        forget_sign_in_attempts(session, current_staff().email, client_address(), services.now())


def render_page(
    password_problem: str = "", factor_problem: str = "", passkey_problem: str = ""
) -> Response:
    services = current_services()
    now = services.now()
    with services.db.reading() as session:
        staff = find_self(session)
        page = render_template(
            "console/own_account.html",
            staff=staff,
            sessions=StaffSession.list_open(session, staff, now),
            describe_browser=describe_browser,
            present_id=_present_id(session),
            has_second_step=has_second_factor(session, staff),
            recovery_code_count=count_recovery_codes(session, staff),
            min_length=MIN_PASSWORD_LENGTH,
            password_problem=password_problem,
            factor_problem=factor_problem,
            passkey_problem=passkey_problem,
            passkeys=list_passkeys(session, staff),
            may_add_passkeys=RelyingParty(services.settings.base_url).is_usable,
        )
    is_refused = password_problem or factor_problem or passkey_problem
    return make_response(page, 400 if is_refused else 200)


def _render_set_up(problem: str = "") -> Response:
    services = current_services()
    with services.db.writing() as session:
        staff = find_self(session)
        if has_second_factor(session, staff):
            return redirect(url_for("console.own_account.detail"))
        address = begin_set_up(session, services.secret_box, staff)
    page = render_template(
        "console/second_step.html",
        picture=qr_code(address, "QR code for your authenticator app"),
        secret=address.partition("secret=")[2].partition("&")[0],
        problem=problem,
    )
    return make_response(page, 400 if problem else 200)


def _render_codes(codes: list[str], *, is_new: bool) -> Response:
    return make_response(render_template("console/recovery_codes.html", codes=codes, is_new=is_new))
