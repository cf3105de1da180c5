"""Sessions of the console: signing in, and ending the sessions of a person.

A sign-in has three steps: `register_sign_in_attempt`, `verify_password` and `complete_sign_in`, all
inside `sign_in_slot`. The attempt is counted before the verification, so simultaneous attempts
cannot exceed a limit. The verification is slow on purpose and must not keep a transaction open.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, LargeBinary, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core import audit
from provider.core.audit import Action
from provider.core.staff import passwords, throttle
from provider.core.staff.member import Staff
from provider.core.staff.throttle import SignInThrottled
from provider.errors import Unauthorized, Unavailable
from provider.storage import secrets
from provider.storage.database import Base

STAFF_SESSION_LIFETIME = timedelta(hours=12)
# Each verification takes 64 MiB and a processor.
MAX_CONCURRENT_SIGN_INS = 4
SLOT_WAIT_SECONDS = 0.5  # longer, and waiting sign-ins would take the threads of other requests
SLOT_RETRY_SECONDS = 2  # for Retry-After

_slots = threading.BoundedSemaphore(MAX_CONCURRENT_SIGN_INS)


class StaffSession(Base):
    """A signed-in browser. The table has only a digest of the cookie, so a copy is useless."""

    __tablename__ = "staff_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    staff: Mapped[Staff] = relationship()

    @classmethod
    def find(cls, session: Session, token: str, now: datetime) -> "StaffSession | None":
        """Return the session of a cookie; None for an expired one or disabled staff."""
        staff_session = session.scalar(
            select(cls).where(cls.token_hash == secrets.sha256_digest(token))
        )
        if (
            staff_session is None
            or staff_session.expires_at <= now
            or staff_session.staff.disabled_at
        ):
            return None
        return staff_session

    @classmethod
    def end_all(cls, session: Session, staff: Staff) -> None:
        """Sign a person out of every browser."""
        session.execute(delete(cls).where(cls.staff_id == staff.id))


@contextmanager
def sign_in_slot() -> Iterator[None]:
    """Let few sign-ins verify a password at once. Unavailable if none ends in time."""
    if not _slots.acquire(timeout=SLOT_WAIT_SECONDS):
        raise Unavailable("Many people are signing in at the moment. Try again in a few seconds")
    try:
        yield
    finally:
        _slots.release()


def register_sign_in_attempt(
    session: Session, email: str, ip_address: str, now: datetime, device_token: str = ""
) -> str:
    """Count an attempt and return the password hash to verify (a dummy for an unknown e-mail).

    Raises SignInThrottled when there were too many attempts.
    """
    email = _normalize_email(email)
    throttle.count_attempt(session, email, ip_address, device_token, now)
    staff = session.scalar(select(Staff).where(Staff.email == email, Staff.disabled_at.is_(None)))
    return staff.password_hash if staff else passwords.dummy_hash()


def complete_sign_in(
    session: Session,
    email: str,
    ip_address: str,
    now: datetime,
    *,
    device_token: str = "",
    verified_hash: str | None = None,
) -> str:
    """Create a session after `verify_password` succeeded. Returns the value of the cookie.

    Raises Unauthorized if the password was changed or the person disabled meanwhile.
    """
    email = _normalize_email(email)
    staff = session.scalars(select(Staff).where(Staff.email == email).with_for_update()).one()
    if staff.disabled_at or verified_hash not in (None, staff.password_hash):
        raise Unauthorized("Your account was changed just now. Sign in again")
    throttle.forget_attempts(session, email, ip_address, device_token, now)
    session.execute(delete(StaffSession).where(StaffSession.expires_at < now))
    origin = {"ip_address": ip_address}
    audit.record(session, email, Action.STAFF_SIGNED_IN, f"staff:{email}", now=now, after=origin)
    return _create_session(session, staff, now)


def remember_sign_in(
    session: Session, email: str, ip_address: str, now: datetime, device_token: str
) -> str:
    """Remember the network and the browser of a sign-in. Returns the browser's token."""
    staff = session.scalars(select(Staff).where(Staff.email == _normalize_email(email))).one()
    return throttle.remember_origin(session, staff, ip_address, device_token, now)


def record_failed_sign_in(session: Session, email: str, ip_address: str, now: datetime) -> None:
    """Write a failed sign-in to the audit log."""
    _record_refusal(session, Action.STAFF_SIGN_IN_FAILED, email, ip_address, now)


def record_throttled_sign_in(
    session: Session, error: SignInThrottled, email: str, ip_address: str, now: datetime
) -> None:
    """Write a refused attempt to the audit log, once for each limit and quarter of an hour.

    A stranger could fill the log otherwise.
    """
    if throttle.is_first_refusal(session, error.limit_key, now):
        _record_refusal(session, Action.STAFF_SIGN_IN_THROTTLED, email, ip_address, now)


def _record_refusal(
    session: Session, action: Action, email: str, ip_address: str, now: datetime
) -> None:
    """Write an entry without an e-mail that is not of the staff.

    People type their password into that field too.
    """
    email = _normalize_email(email)
    is_known = session.scalar(select(Staff.id).where(Staff.email == email)) is not None
    subject = f"staff:{email if is_known else 'unknown'}"
    origin = {"ip_address": ip_address}
    audit.record(session, audit.SYSTEM, action, subject, now=now, after=origin)


def _normalize_email(email: str) -> str:
    return "".join(filter(str.isprintable, email.strip().casefold()))[:254]


def _create_session(session: Session, staff: Staff, now: datetime) -> str:
    token = secrets.generate_token()
    session.add(
        StaffSession(
            staff=staff,
            token_hash=secrets.sha256_digest(token),
            created_at=now,
            expires_at=now + STAFF_SESSION_LIFETIME,
        )
    )
    return token
