"""Who is at the console: the session behind a request, and what its role allows."""

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

SIGN_IN_ENDPOINT = "console.signing_in.sign_in"  # the one endpoint that needs no session
SIGN_OUT_ENDPOINT = "console.signing_in.sign_out"  # the one change that everybody may make
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MAX_DISPLAYED_COUNT = (
    100  # parked deliveries that the menu counts: a longer count would cost, not help
)


@dataclass(frozen=True)
class CurrentStaff:
    """The member of staff behind a request, and how many deliveries are parked meanwhile."""

    email: str
    role: str
    can_change: bool
    parked_count: int


def authenticate() -> Response | None:
    """Let nobody in without a session, and nobody change anything whose role is to look."""
    if request.endpoint == SIGN_IN_ENDPOINT:
        return None
    visitor = _find_current_staff(current_services())
    if visitor is None:
        if request.method not in SAFE_METHODS:
            raise Unauthorized("You are not signed in any more. Sign in, then do it again")
        return redirect(url_for(SIGN_IN_ENDPOINT, next=request.full_path.removesuffix("?")))
    g.visitor = visitor
    if request.method not in SAFE_METHODS and request.endpoint != SIGN_OUT_ENDPOINT:
        require_change_permission()
    return None


def current_staff() -> CurrentStaff:
    """Return who is signed in."""
    found: CurrentStaff = g.visitor
    return found


def require_change_permission() -> None:
    """Raise Denied unless the visitor may do more than look."""
    if not current_staff().can_change:
        raise Unauthorized(
            "Your role is to look, not to change. Ask an administrator or an operator"
        )


def template_context() -> dict[str, Any]:
    """Return what every page of the console may show."""
    return {"visitor": g.get("visitor"), "most_counted": MAX_DISPLAYED_COUNT}


def cookie_name(services: Services) -> str:
    """Return the name of the staff's cookie; bound to the host wherever there is TLS."""
    return "__Host-staff" if services.settings.is_https else "staff"


def _find_current_staff(services: Services) -> CurrentStaff | None:
    token = request.cookies.get(cookie_name(services))
    if not token:
        return None
    with services.db.reading() as session:
        found = StaffSession.find(session, token, services.now())
        if found is None:
            return None
        staff = found.staff
        return CurrentStaff(staff.email, staff.role, staff.can_edit, _count_parked(session))


def _count_parked(session: Session) -> int:
    query = select(Message.id).where(is_in_state(PARKED)).limit(MAX_DISPLAYED_COUNT)
    return len(session.scalars(query).all())
