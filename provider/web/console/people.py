"""The staff: who may sign in, in which role; inviting colleagues."""

from collections.abc import Callable

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.account_limits import account_names, list_accounts, read_account_ids
from provider.core.audit import Action
from provider.core.staff import (
    OWNER,
    ROLE_DESCRIPTIONS,
    Permission,
    Staff,
    StaffSession,
    change_role,
    disable,
    enable,
    has_second_factor,
    invite,
    limit_accounts,
    list_passkeys,
    open_invitations,
    remove_all_passkeys,
    remove_second_factor,
    require_other_owner,
)
from provider.errors import Conflict, Invalid, NotFound, Unauthorized
from provider.services import current_services
from provider.web.console.alerts import change_alerts, change_marking_emails
from provider.web.console.authentication import current_staff, may, record_act, requires

routes = Blueprint("people", __name__, url_prefix="/staff")


@routes.get("/")
@requires(Permission.MANAGE_STAFF)
def listing() -> Response:
    return _render_page()


@routes.post("/invite")
@requires(Permission.MANAGE_STAFF)
def send_invitation() -> Response:
    services = current_services()
    email, role = request.form.get("email", ""), request.form.get("role", "")
    try:
        _require_owner_for(role)
        with services.db.writing() as session:
            account_ids = _read_account_ids(session)
            link = invite(
                session,
                services.secret_box,
                email,
                role,
                current_staff().email,
                services.now(),
                account_ids,
            )
            after = {"role": role, "accounts": account_names(session, account_ids)}
            record_act(session, Action.STAFF_INVITED, f"staff:{link.email}", after=after)
    except (Invalid, Conflict) as error:
        return _render_page(str(error))
    flash(f"{link.email} gets an e-mail with a link that works for seven days.", "success")
    return redirect(url_for("console.people.listing"))


@routes.post("/invitations/<link_id>/withdraw")
@requires(Permission.MANAGE_STAFF)
def withdraw(link_id: str) -> Response:
    services = current_services()
    with services.db.writing() as session:
        links = {link.public_id: link for link in open_invitations(session, services.now())}
        if link_id not in links:
            raise NotFound("This invitation has ended already")
        link = links[link_id]
        link.ended_at = services.now()
        record_act(session, Action.STAFF_INVITATION_WITHDRAWN, f"staff:{link.email}")
    flash(f"The invitation of {link.email} is withdrawn.", "success")
    return redirect(url_for("console.people.listing"))


@routes.get("/<int:number>")
@requires(Permission.MANAGE_STAFF)
def detail(number: int) -> Response:
    return _render_person(number)


@routes.post("/<int:number>/role")
@requires(Permission.MANAGE_STAFF)
def set_role(number: int) -> Response:
    role = request.form.get("role", "")

    def change(session: Session, staff: Staff) -> str:
        _require_owner_for(role)
        old_role = staff.role
        if old_role == OWNER:
            require_other_owner(session, staff)
        change_role(session, staff, role)
        record_act(
            session,
            Action.STAFF_ROLE_CHANGED,
            f"staff:{staff.email}",
            before={"role": old_role},
            after={"role": role},
        )
        return f"{staff.email} is {role} from now on, and is signed out everywhere."

    return _change(number, change)


@routes.post("/<int:number>/accounts")
@requires(Permission.MANAGE_STAFF)
def set_accounts(number: int) -> Response:
    """Limit a person to some accounts, or to none."""

    def change(session: Session, staff: Staff) -> str:
        before, account_ids = staff.account_ids, _read_account_ids(session)
        limit_accounts(session, staff, account_ids)
        record_act(
            session,
            Action.STAFF_ACCOUNTS_CHANGED,
            f"staff:{staff.email}",
            before={"accounts": account_names(session, before)},
            after={"accounts": account_names(session, account_ids)},
        )
        count = "all accounts" if account_ids is None else "the chosen accounts only"
        return f"{staff.email} sees {count} from now on, and is signed out everywhere."

    return _change(number, change)


@routes.post("/<int:number>/alerts")
@requires(Permission.MANAGE_STAFF)
def choose_alerts(number: int) -> Response:
    """Switch the e-mails about failed deliveries of a colleague on or off."""

    def change(session: Session, staff: Staff) -> str:
        change_alerts(session, staff)
        verb = "gets" if staff.gets_alerts else "no longer gets"
        return f"{staff.email} {verb} e-mails about failed deliveries."

    return _change(number, change)


@routes.post("/<int:number>/marking-emails")
@requires(Permission.MANAGE_STAFF)
def choose_marking_emails(number: int) -> Response:
    """Switch the e-mails about answers to mark of a colleague on or off."""

    def change(session: Session, staff: Staff) -> str:
        change_marking_emails(session, staff)
        verb = "gets" if staff.gets_marking_emails else "no longer gets"
        return f"{staff.email} {verb} e-mails about answers to mark."

    return _change(number, change)


@routes.post(
    "/<int:number>/<any(disable, enable, 'end-sessions', 'remove-second-step', "
    "'remove-passkeys'):act>"
)
@requires(Permission.MANAGE_STAFF)
def perform(number: int, act: str) -> Response:
    return _change(number, ACTS[act])


def _disable(session: Session, staff: Staff) -> str:
    if staff.role == OWNER:
        require_other_owner(session, staff)
    disable(session, staff, current_services().now())
    before = {"role": staff.role}
    record_act(session, Action.STAFF_DISABLED, f"staff:{staff.email}", before=before)
    return f"{staff.email} can no longer sign in."


def _enable(session: Session, staff: Staff) -> str:
    enable(session, staff)
    record_act(session, Action.STAFF_ENABLED, f"staff:{staff.email}", after={"role": staff.role})
    return f"{staff.email} can sign in again, as {staff.role}."


def _end_sessions(session: Session, staff: Staff) -> str:
    StaffSession.end_all(session, staff)
    record_act(session, Action.STAFF_SESSION_ENDED, f"staff:{staff.email}")
    return f"{staff.email} is signed out everywhere."


def _remove_second_step(session: Session, staff: Staff) -> str:
    """Help a person who has lost the app and the recovery codes."""
    if not has_second_factor(session, staff):
        raise Conflict(f"{staff.email} has no second step")
    remove_second_factor(session, staff)
    record_act(session, Action.STAFF_SECOND_STEP_REMOVED, f"staff:{staff.email}")
    return f"{staff.email} signs in with the password alone, until the second step is set up again."


def _remove_passkeys(session: Session, staff: Staff) -> str:
    """Help a person who has lost a device."""
    names = [passkey.name for passkey in list_passkeys(session, staff)]
    if not names:
        raise Conflict(f"{staff.email} has no passkeys")
    remove_all_passkeys(session, staff)
    before = {"names": names}
    record_act(session, Action.STAFF_PASSKEY_REMOVED, f"staff:{staff.email}", before=before)
    return f"{staff.email} signs in with the password, until a passkey is added again."


ACTS: dict[str, Callable[[Session, Staff], str]] = {
    "disable": _disable,
    "enable": _enable,
    "end-sessions": _end_sessions,
    "remove-second-step": _remove_second_step,
    "remove-passkeys": _remove_passkeys,
}


def _change(number: int, change: Callable[[Session, Staff], str]) -> Response:
    """Change one person in a transaction, and show the sentence that `change` returns."""
    try:
        with current_services().db.writing() as session:
            staff = _find_changeable(session, number)
            message = change(session, staff)
    except (Invalid, Conflict) as error:
        return _render_person(number, str(error))
    flash(message, "success")
    return redirect(url_for("console.people.listing"))


def _find_changeable(session: Session, number: int) -> Staff:
    """Return a locked person. Conflict for oneself, Unauthorized for an owner."""
    staff = session.scalar(select(Staff).where(Staff.id == number).with_for_update())
    if staff is None:
        raise NotFound("There is no such member of the staff")
    _require_owner_for(staff.role)
    if staff.email == current_staff().email:
        raise Conflict("You cannot do this to yourself: ask a colleague")
    return staff


def _require_owner_for(role: str) -> None:
    if role == OWNER and not may(Permission.MANAGE_OWNERS):
        raise Unauthorized(f"Your role may not {Permission.MANAGE_OWNERS.value}. Ask an owner")


def _read_account_ids(session: Session) -> list[int] | None:
    """Return the accounts of the form; None for all. Raises Invalid for none."""
    if request.form.get("choice", "all") == "all":
        return None
    return read_account_ids(session, request.form.getlist("account"))


def _role_choices() -> list[tuple[str, str]]:
    return [
        (role, role.capitalize())
        for role in ROLE_DESCRIPTIONS
        if role != OWNER or may(Permission.MANAGE_OWNERS)
    ]


def _render_page(problem: str = "") -> Response:
    services = current_services()
    with services.db.reading() as session:
        people = session.scalars(select(Staff).order_by(Staff.email)).all()
        page = render_template(
            "console/people.html",
            people=[
                (
                    person,
                    has_second_factor(session, person),
                    account_names(session, person.account_ids),
                )
                for person in people
            ],
            accounts=list_accounts(session),
            chosen=request.form.getlist("account"),
            invitations=open_invitations(session, services.now()),
            roles=_role_choices(),
            role_descriptions=ROLE_DESCRIPTIONS,
            problem=problem,
            form=request.form,
        )
    return make_response(page, 400 if problem else 200)


def _render_person(number: int, problem: str = "") -> Response:
    services = current_services()
    with services.db.reading() as session:
        staff = session.get(Staff, number)
        if staff is None:
            raise NotFound("There is no such member of the staff")
        accounts, limits = list_accounts(session), staff.account_ids or ()
        page = render_template(
            "console/person.html",
            person=staff,
            accounts=accounts,
            account_names=account_names(session, staff.account_ids),
            chosen=[account.public_id for account in accounts if account.id in limits],
            has_second_step=has_second_factor(session, staff),
            passkey_count=len(list_passkeys(session, staff)),
            sessions=StaffSession.list_open(session, staff, services.now()),
            roles=_role_choices(),
            role_descriptions=ROLE_DESCRIPTIONS,
            is_self=staff.email == current_staff().email,
            may_change=staff.role != OWNER or may(Permission.MANAGE_OWNERS),
            problem=problem,
        )
    return make_response(page, 400 if problem else 200)
