"""Sessions of the console, and a limit on sign-in attempts.

The database counts the attempts, so that all processes share the limit.
"""

from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, LargeBinary, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core import audit
from provider.core.audit import Action
from provider.core.staff import passwords
from provider.core.staff.member import Staff
from provider.errors import Unauthorized
from provider.storage import secrets
from provider.storage.database import Base, acquire_advisory_lock

STAFF_SESSION_LIFETIME = timedelta(hours=12)
ATTEMPT_WINDOW = timedelta(minutes=15)
MAX_ATTEMPTS_PER_EMAIL = 5
MAX_ATTEMPTS_PER_IP_ADDRESS = 30


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


class SignInAttempt(Base):
    """A failed or unfinished sign-in. `key` is a digest of the e-mail or the IP address."""

    __tablename__ = "sign_in_attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    attempted_at: Mapped[datetime] = mapped_column(index=True)


def register_sign_in_attempt(session: Session, email: str, ip_address: str, now: datetime) -> str:
    """Count an attempt and return the password hash to verify (a dummy for an unknown e-mail).

    Raises Unauthorized when the e-mail or the IP address has too many attempts in ATTEMPT_WINDOW.

    A sign-in has three steps: this function, `verify_password` and `complete_sign_in`. The attempt
    is counted before the verification, so simultaneous attempts cannot exceed the limit. The
    verification is slow on purpose and must not keep a transaction open.
    """
    email = _normalize_email(email)
    for key, max_attempts in _attempt_limits(email, ip_address).items():
        acquire_advisory_lock(session, f"sign-in attempt {key.hex()}")
        if _count_attempts(session, key, now) >= max_attempts:
            raise Unauthorized("Too many attempts. Wait a quarter of an hour, then try again")
        session.add(SignInAttempt(key=key, attempted_at=now))
    staff = session.scalar(select(Staff).where(Staff.email == email, Staff.disabled_at.is_(None)))
    return staff.password_hash if staff else passwords.dummy_hash()


def complete_sign_in(session: Session, email: str, ip_address: str, now: datetime) -> str:
    """Create a session after `verify_password` succeeded. Returns the value of the cookie.

    All attempts of the e-mail are deleted, but only this attempt of the IP address. Otherwise a
    person with one password could guess the passwords of others without a limit.
    """
    email = _normalize_email(email)
    staff = session.scalars(select(Staff).where(Staff.email == email)).one()
    email_key, ip_address_key = _attempt_limits(email, ip_address)
    this_attempt = (
        select(func.max(SignInAttempt.id))
        .where(SignInAttempt.key == ip_address_key)
        .scalar_subquery()
    )
    session.execute(
        delete(SignInAttempt).where(
            (SignInAttempt.key == email_key)
            | (SignInAttempt.id == this_attempt)
            | (SignInAttempt.attempted_at < now - ATTEMPT_WINDOW)
        )
    )
    session.execute(delete(StaffSession).where(StaffSession.expires_at < now))
    origin = {"ip_address": ip_address}
    audit.record(session, email, Action.STAFF_SIGNED_IN, f"staff:{email}", now=now, after=origin)
    return _create_session(session, staff, now)


def record_failed_sign_in(session: Session, email: str, ip_address: str, now: datetime) -> None:
    """Write a failed sign-in to the audit log.

    An e-mail that is not of the staff is left out: people type their password into that field too.
    """
    email = _normalize_email(email)
    is_known = session.scalar(select(Staff.id).where(Staff.email == email)) is not None
    audit.record(
        session,
        audit.SYSTEM,
        Action.STAFF_SIGN_IN_FAILED,
        f"staff:{email if is_known else 'unknown'}",
        now=now,
        after={"ip_address": ip_address},
    )


def _normalize_email(email: str) -> str:
    return "".join(filter(str.isprintable, email.strip().casefold()))[:254]


def _attempt_limits(email: str, ip_address: str) -> dict[bytes, int]:
    return {
        secrets.sha256_digest(f"email {email}"): MAX_ATTEMPTS_PER_EMAIL,
        secrets.sha256_digest(f"address {ip_address}"): MAX_ATTEMPTS_PER_IP_ADDRESS,
    }


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


def _count_attempts(session: Session, key: bytes, now: datetime) -> int:
    query = select(func.count()).where(
        SignInAttempt.key == key, SignInAttempt.attempted_at > now - ATTEMPT_WINDOW
    )
    return session.scalar(query) or 0
