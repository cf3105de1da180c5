"""Changes of a member of staff; each signs the person out of every browser."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from provider.core.staff.member import Staff, require_role
from provider.core.staff.passwords import hash_password
from provider.core.staff.permissions import OWNER
from provider.core.staff.sign_in import StaffSession
from provider.core.staff.throttle import KnownOrigin
from provider.errors import Conflict
from provider.storage.database import acquire_advisory_lock


def change_password(session: Session, staff: Staff, password: str) -> None:
    """Set a new password and forget the browsers of the old one. Invalid for a weak password."""
    staff.password_hash = hash_password(password, staff.email)
    session.execute(delete(KnownOrigin).where(KnownOrigin.staff_id == staff.id))
    StaffSession.end_all(session, staff)


def change_role(session: Session, staff: Staff, role: str) -> None:
    """Give another role; Invalid for an unknown one, Conflict for the present one."""
    require_role(role, staff.account_ids)
    if staff.role == role:
        raise Conflict(f"{staff.email} is {role} already")
    staff.role = role
    StaffSession.end_all(session, staff)


def limit_accounts(session: Session, staff: Staff, account_ids: list[int] | None) -> None:
    """Limit a person to some accounts; None ends the limit. Invalid for an owner."""
    require_role(staff.role, account_ids)
    staff.account_ids = account_ids
    StaffSession.end_all(session, staff)


def require_other_owner(session: Session, staff: Staff) -> None:
    """Raise Conflict if nobody else is an owner: the instance would have none."""
    acquire_advisory_lock(session, "staff")
    others = select(Staff.id).where(
        Staff.role == OWNER, Staff.disabled_at.is_(None), Staff.id != staff.id
    )
    if session.scalar(others.limit(1)) is None:
        raise Conflict(f"{staff.email} is the only owner: make somebody else an owner first")


def disable(session: Session, staff: Staff, now: datetime) -> None:
    if staff.disabled_at:
        raise Conflict(f"{staff.email} is disabled already")
    staff.disabled_at = now
    StaffSession.end_all(session, staff)


def enable(session: Session, staff: Staff) -> None:
    if not staff.disabled_at:
        raise Conflict(f"{staff.email} is not disabled")
    staff.disabled_at = None
    StaffSession.end_all(session, staff)
