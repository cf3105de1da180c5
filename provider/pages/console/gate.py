"""Who is at the console: the session behind a request, and what its role allows."""

from dataclasses import dataclass
from typing import Any

from flask import g, redirect, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.accounts import StaffSession
from provider.errors import Denied
from provider.here import here
from provider.house import House
from provider.outbox import PARKED, Message, in_state

OPEN = "console.signing_in.sign_in"  # the one endpoint that needs no session
LEAVE = "console.signing_in.sign_out"  # the one change that everybody may make
SAFE = ("GET", "HEAD", "OPTIONS")
MOST_COUNTED = 100  # parked deliveries that the menu counts: a longer count would cost, not help


@dataclass(frozen=True)
class Visitor:
    """The member of staff behind a request, and how many deliveries are parked meanwhile."""

    email: str
    role: str
    may_change: bool
    parked: int


def check() -> Response | None:
    """Let nobody in without a session, and nobody change anything whose role is to look."""
    if request.endpoint == OPEN:
        return None
    visitor = _visitor(here())
    if visitor is None:
        if request.method not in SAFE:
            raise Denied("You are not signed in any more. Sign in, then do it again")
        return redirect(url_for(OPEN, next=request.full_path.removesuffix("?")))
    g.visitor = visitor
    if request.method not in SAFE and request.endpoint != LEAVE:
        require_change()
    return None


def visitor() -> Visitor:
    """Return who is signed in."""
    found: Visitor = g.visitor
    return found


def require_change() -> None:
    """Raise Denied unless the visitor may do more than look."""
    if not visitor().may_change:
        raise Denied("Your role is to look, not to change. Ask an administrator or an operator")


def known() -> dict[str, Any]:
    """Return what every page of the console may show."""
    return {"visitor": g.get("visitor"), "most_counted": MOST_COUNTED}


def cookie_name(house: House) -> str:
    """Return the name of the staff's cookie; bound to the host wherever there is TLS."""
    return "__Host-staff" if house.settings.https else "staff"


def _visitor(house: House) -> Visitor | None:
    token = request.cookies.get(cookie_name(house))
    if not token:
        return None
    with house.db.reading() as session:
        found = StaffSession.find(session, token, house.now())
        if found is None:
            return None
        staff = found.staff
        return Visitor(staff.email, staff.role, staff.may_change, _parked(session))


def _parked(session: Session) -> int:
    query = select(Message.id).where(in_state(PARKED)).limit(MOST_COUNTED)
    return len(session.scalars(query).all())
