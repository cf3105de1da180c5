"""Staff accounts, their passwords (argon2id) and sessions, and a limit on sign-in attempts.

The database counts the attempts, so that all processes share the limit.
"""

import re
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import ForeignKey, LargeBinary, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.errors import Conflict, Invalid, Unauthorized
from provider.storage import secrets
from provider.storage.database import Base, acquire_advisory_lock

ROLES = ("admin", "operator", "viewer")
STAFF_SESSION_LIFETIME = timedelta(hours=12)
ATTEMPT_WINDOW = timedelta(minutes=15)
MAX_ATTEMPTS_PER_EMAIL = 5
MAX_ATTEMPTS_PER_IP_ADDRESS = 30
MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH = 10, 1000  # characters


class Staff(Base):
    """A person who may sign in to the console. `role` is one of ROLES."""

    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]

    @classmethod
    def create(
        cls, session: Session, email: str, password: str, role: str, now: datetime
    ) -> "Staff":
        """Add a member of staff.

        Raises Invalid for a wrong value and Conflict for an e-mail address that is already used.
        """
        email = email.strip().casefold()
        if (
            not re.fullmatch(r"[^@\s]+@[^@\s]+", email)
            or not _is_printable(email)
            or len(email) > 254
        ):
            raise Invalid(f"“{email}” is not an e-mail address")
        if role not in ROLES:
            raise Invalid(f"The role should be one of {', '.join(ROLES)}")
        if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH or not _is_printable(
            password
        ):
            raise Invalid(
                f"A password has {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} plain characters"
            )
        acquire_advisory_lock(session, "staff")
        if session.scalar(select(cls.id).where(cls.email == email)):
            raise Conflict(f"{email} is on the staff already")
        staff = cls(email=email, role=role, password_hash=_hasher().hash(password), created_at=now)
        session.add(staff)
        return staff

    @property
    def can_edit(self) -> bool:
        """Whether the role may change anything."""
        return self.role in ("admin", "operator")


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
    return staff.password_hash if staff else _dummy_hash()


def verify_password(password_hash: str, password: str) -> bool:
    """Compare a password with a hash. This takes about 50 ms, also for a dummy hash."""
    try:
        return _hasher().verify(password_hash, password[: MAX_PASSWORD_LENGTH + 1])
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False


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
    return _create_session(session, staff, now)


def _is_printable(text: str) -> bool:
    return text.isprintable()  # no control characters and no surrogates


def _normalize_email(email: str) -> str:
    return "".join(filter(_is_printable, email.strip().casefold()))[:254]


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


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id with the RFC 9106 low-memory parameters


@cache
def _dummy_hash() -> str:
    return _hasher().hash(secrets.generate_token())
