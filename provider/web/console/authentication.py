"""The session behind a console request, and the permissions of its role.

`Staff.can_edit` in `core/staff.py` decides which roles may change something; a viewer may not.
"""

from dataclasses import dataclass
from typing import Any

from flask import g, redirect, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.staff import StaffSession
from provider.errors import Unauthorized
from provider.outbox import PARKED, Message, is_in_state
from provider.services import Services, current_services

SIGN_IN_ENDPOINT = "console.sign_in.sign_in"  # the only endpoint that needs no session
SIGN_OUT_ENDPOINT = "console.sign_in.sign_out"  # the only POST that every role may send
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Counting stops here: the exact number of a long list is slow to count and tells staff no more.
MAX_DISPLAYED_COUNT = 100


@dataclass(frozen=True)
class CurrentStaff:
    """The member of staff behind a request; `parked_count` is shown in the navigation."""

    email: str
    role: str
    can_change: bool
    parked_count: int


def authenticate() -> Response | None:
    """Redirect requests without a session to the sign-in page; refuse changes by viewers.

    Raises Unauthorized.
    """
    if request.endpoint == SIGN_IN_ENDPOINT:
        return None
    staff = _find_current_staff(current_services())
    if staff is None:
        if request.method not in SAFE_METHODS:
            raise Unauthorized("You are not signed in any more. Sign in, then do it again")
        return redirect(url_for(SIGN_IN_ENDPOINT, next=request.full_path.removesuffix("?")))
    g.current_staff = staff
    if request.method not in SAFE_METHODS and request.endpoint != SIGN_OUT_ENDPOINT:
        require_change_permission()
    return None


def current_staff() -> CurrentStaff:
    staff: CurrentStaff = g.current_staff
    return staff


def require_change_permission() -> None:
    """Raise Unauthorized for a viewer."""
    if not current_staff().can_change:
        raise Unauthorized("Your role may view but not change. Ask an administrator or an operator")


def template_context() -> dict[str, Any]:
    """Return the variables of every console template; `current_staff` is None before sign-in."""
    return {
        "current_staff": g.get("current_staff"),
        "max_displayed_count": MAX_DISPLAYED_COUNT,
    }


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
        return CurrentStaff(staff.email, staff.role, staff.can_edit, _count_parked(session))


def _count_parked(session: Session) -> int:
    query = select(Message.id).where(is_in_state(PARKED)).limit(MAX_DISPLAYED_COUNT)
    return len(session.scalars(query).all())
