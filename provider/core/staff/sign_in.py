"""Sessions of the console: signing in, and ending the sessions of a person.

A sign-in has three steps: `register_sign_in_attempt`, `verify_password` and `complete_sign_in`, all
inside `sign_in_slot`. The attempt is counted before the verification, so simultaneous attempts
cannot exceed a limit. The verification is slow on purpose and must not keep a transaction open.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, LargeBinary, String, delete, select, true
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
SECOND_STEP_LIFETIME = timedelta(minutes=10)
MAX_USER_AGENT_LENGTH = 200
# Each verification takes 64 MiB and a processor.
MAX_CONCURRENT_SIGN_INS = 4
SLOT_WAIT_SECONDS = 0.5  # longer, and waiting sign-ins would take the threads of other requests
SLOT_RETRY_SECONDS = 2  # for Retry-After

_slots = threading.BoundedSemaphore(MAX_CONCURRENT_SIGN_INS)


class StaffSession(Base):
    """A signed-in browser. The table has only a digest of the cookie, so a copy is useless.

    A session that is not verified waits for the code of the second factor; it opens nothing else.
    """

    __tablename__ = "staff_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ip_address: Mapped[str] = mapped_column(String(45), default="", server_default="")
    user_agent: Mapped[str] = mapped_column(
        String(MAX_USER_AGENT_LENGTH), default="", server_default=""
    )
    is_verified: Mapped[bool] = mapped_column(default=True, server_default=true())
    staff: Mapped[Staff] = relationship()

    @classmethod
    def find(
        cls, session: Session, token: str, now: datetime, *, is_verified: bool = True
    ) -> "StaffSession | None":
        """Return the session of a cookie; None for an expired one or disabled staff."""
        staff_session = session.scalar(
            select(cls).where(cls.token_hash == secrets.sha256_digest(token))
        )
        if (
            staff_session is None
            or staff_session.expires_at <= now
            or staff_session.staff.disabled_at
            or staff_session.is_verified != is_verified
        ):
            return None
        return staff_session

    @classmethod
    def require_waiting(cls, session: Session, token: str, now: datetime) -> "StaffSession":
        """Return the session that waits for a code; Unauthorized if it has ended."""
        waiting = cls.find(session, token, now, is_verified=False)
        if waiting is None:
            raise Unauthorized("The sign-in took too long. Sign in again")
        return waiting

    @classmethod
    def list_open(cls, session: Session, staff: Staff, now: datetime) -> list["StaffSession"]:
        """Return a person's open sessions, the newest first."""
        query = select(cls).where(cls.staff_id == staff.id, cls.expires_at > now, cls.is_verified)
        return list(session.scalars(query.order_by(cls.id.desc())))

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
    user_agent: str = "",
    method: str = "",
) -> str:
    """Create a session after every factor was verified. Returns the value of the cookie.

    `method` is for the audit log, where it is not the password.

    Raises Unauthorized if the password was changed or the person disabled meanwhile.
    """
    staff = _lock_unchanged(session, email, verified_hash)
    email = staff.email
    throttle.forget_attempts(session, email, ip_address, device_token, now)
    session.execute(delete(StaffSession).where(StaffSession.expires_at < now))
    origin = {"ip_address": ip_address, **({"method": method} if method else {})}
    audit.record(session, email, Action.STAFF_SIGNED_IN, f"staff:{email}", now=now, after=origin)
    return _create_session(session, staff, now, ip_address, user_agent)


def begin_second_step(
    session: Session, email: str, ip_address: str, now: datetime, *, verified_hash: str
) -> str:
    """Create a session that waits for a code. Returns the value of the cookie.

    The attempt stays counted until the code is right: a stranger with the password must not get a
    new set of attempts for the code. Raises Unauthorized as `complete_sign_in`.
    """
    staff = _lock_unchanged(session, email, verified_hash)
    return _create_session(session, staff, now, ip_address, lifetime=SECOND_STEP_LIFETIME)


def forget_sign_in_attempts(session: Session, email: str, ip_address: str, now: datetime) -> None:
    """Forget the attempts of a person who has just given the right password again."""
    throttle.forget_attempts(session, _normalize_email(email), ip_address, "", now)


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


def _lock_unchanged(session: Session, email: str, verified_hash: str | None) -> Staff:
    query = select(Staff).where(Staff.email == _normalize_email(email))
    staff = session.scalars(query.with_for_update()).one()
    if staff.disabled_at or verified_hash not in (None, staff.password_hash):
        raise Unauthorized("Your account was changed just now. Sign in again")
    return staff


def _create_session(
    session: Session,
    staff: Staff,
    now: datetime,
    ip_address: str,
    user_agent: str = "",
    *,
    lifetime: timedelta | None = None,
) -> str:
    """Create a session; one with a `lifetime` of its own is not verified."""
    token = secrets.generate_token()
    session.add(
        StaffSession(
            staff=staff,
            token_hash=secrets.sha256_digest(token),
            created_at=now,
            expires_at=now + (lifetime or STAFF_SESSION_LIFETIME),
            ip_address=ip_address,
            user_agent=user_agent[:MAX_USER_AGENT_LENGTH],
            is_verified=lifetime is None,
        )
    )
    return token
