"""The session behind a console request, and the permission that its view requires.

`core/staff/permissions.py` defines the roles. `core/staff/sign_in.py` creates and ends sessions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import current_app, g, has_request_context, redirect, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core import audit
from provider.core.account_limits import limit_to_accounts
from provider.core.audit import Action, Fields
from provider.core.candidate_names import CandidateNames
from provider.core.kinds import result_events
from provider.core.labels import label_for
from provider.core.staff import INSTANCE_PERMISSIONS, Permission, StaffSession
from provider.errors import Unauthorized
from provider.outbox import PARKED, Message, is_in_state
from provider.services import Services, current_services
from provider.storage.database import session_listeners

SIGN_IN_ENDPOINT = "console.sign_in.sign_in"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Counting stops here: the exact number of a long list is slow to count and tells staff no more.
MAX_DISPLAYED_COUNT = 100

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class CurrentStaff:
    """The member of staff behind a request; `parked_count` is shown in the navigation.

    `account_ids` are the accounts that the person is limited to; None is no limit.
    """

    email: str
    account_ids: tuple[int, ...] | None
    permissions: frozenset[Permission]
    parked_count: int


def public(view: View) -> View:
    """Mark a view that needs no session."""
    view.required_permissions = None  # type: ignore[attr-defined]
    return view


def requires(*permissions: Permission) -> Callable[[View], View]:
    """Mark a view with the permissions that it requires; without one, any session is enough.

    `authenticate` checks them, and refuses every view without a mark.
    """

    def mark(view: View) -> View:
        view.required_permissions = permissions  # type: ignore[attr-defined]
        return view

    return mark


def authenticate() -> Response | None:
    """Redirect requests without a session to the sign-in page; check the view's permissions.

    Raises Unauthorized.
    """
    view = current_app.view_functions[str(request.endpoint)]
    if not hasattr(view, "required_permissions"):
        raise RuntimeError(f"{request.endpoint} has neither @requires(…) nor @public")
    if view.required_permissions is None:
        return None
    staff = _find_current_staff(current_services())
    if staff is None:
        if request.method not in SAFE_METHODS:
            raise Unauthorized("You are not signed in any more. Sign in, then do it again")
        return redirect(url_for(SIGN_IN_ENDPOINT, next=request.full_path.removesuffix("?")))
    g.current_staff = staff
    for permission in view.required_permissions:
        require(permission)
    return None


def limit_session(session: Session) -> None:
    """Hide from a request's session the accounts that its member of staff may not see."""
    staff = g.get("current_staff") if has_request_context() else None
    if staff and staff.account_ids is not None:
        limit_to_accounts(session, staff.account_ids)


session_listeners.append(limit_session)


def require(permission: Permission) -> None:
    """Raise Unauthorized unless the member of staff behind the request has a permission."""
    if not may(permission):
        if current_staff().account_ids is not None and permission in INSTANCE_PERMISSIONS:
            raise Unauthorized(
                f"Somebody who sees only some accounts may not {permission.value}. "
                "Ask an admin or an owner who sees all accounts"
            )
        raise Unauthorized(f"Your role may not {permission.value}. Ask an admin or an owner")


def current_staff() -> CurrentStaff:
    staff: CurrentStaff = g.current_staff
    return staff


def may(permission: Permission) -> bool:
    """Return whether the member of staff behind the request has a permission."""
    return permission in current_staff().permissions


def candidate_names() -> CandidateNames:
    """Return the names of candidates that the member of staff behind the request sees."""
    return CandidateNames(current_staff().email, current_staff().permissions)


def record_act(
    session: Session,
    action: Action,
    subject: str,
    before: Fields | None = None,
    after: Fields | None = None,
) -> None:
    """Write an act of the member of staff behind the request to the audit log."""
    audit.record(
        session,
        current_staff().email,
        action,
        subject,
        now=current_services().now(),
        before=before,
        after=after,
    )


def template_context() -> dict[str, Any]:
    """Return the variables of every console template; `current_staff` is None before sign-in."""
    return {
        "current_staff": g.get("current_staff"),
        "may": may,
        "Permission": Permission,
        "max_displayed_count": MAX_DISPLAYED_COUNT,
        "candidate_name": lambda order: candidate_names().name_of(order),
    }


def topic_label(topic: str) -> str:
    """Return what a message is about; a result is not named to staff who may not see results."""
    is_secret = topic in result_events() and not may(Permission.VIEW_RESULTS)
    return "About the order" if is_secret else label_for("event", topic)


def cookie_name(services: Services) -> str:
    """Return the session cookie's name; with TLS, its prefix binds the cookie to the host."""
    return "__Host-staff" if services.settings.is_https else "staff"


def _find_current_staff(services: Services) -> CurrentStaff | None:
    token = request.cookies.get(cookie_name(services))
    if not token:
        return None
    with services.db.reading() as session:
        staff_session = StaffSession.find(session, token, services.now())
        if staff_session is None:
            return None
        staff = staff_session.staff
        account_ids = None if staff.account_ids is None else tuple(staff.account_ids)
        if account_ids is not None:
            limit_to_accounts(session, account_ids)
        return CurrentStaff(staff.email, account_ids, staff.permissions, _count_parked(session))


def _count_parked(session: Session) -> int:
    query = select(Message.id).where(is_in_state(PARKED)).limit(MAX_DISPLAYED_COUNT)
    return len(session.scalars(query).all())
