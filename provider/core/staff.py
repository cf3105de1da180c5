"""Who signs in to the console: argon2id passwords, throttled in the database."""

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
SESSION_LIFETIME = timedelta(hours=12)
ATTEMPT_WINDOW = timedelta(minutes=15)
MAX_ATTEMPTS_PER_EMAIL = 5
MAX_ATTEMPTS_PER_IP_ADDRESS = 30
MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH = 10, 1000  # characters of a password


class Staff(Base):
    """A person who may sign in; `role` is admin, operator or viewer."""

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
        """Add a member of staff; Invalid or Conflict says what is wrong."""
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
        """Whether this person may do more than look."""
        return self.role in ("admin", "operator")


class StaffSession(Base):
    """A signed-in browser; the cookie's digest, so a copy of the table opens nothing."""

    __tablename__ = "staff_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    staff: Mapped[Staff] = relationship()

    @classmethod
    def find(cls, session: Session, token: str, now: datetime) -> "StaffSession | None":
        """Return the live session of a cookie, or None."""
        found = session.scalar(select(cls).where(cls.token_hash == secrets.sha256_digest(token)))
        if found is None or found.expires_at <= now or found.staff.disabled_at:
            return None
        return found


class SignInAttempt(Base):
    """One failed sign-in, kept as long as it counts."""

    __tablename__ = "sign_in_attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    attempted_at: Mapped[datetime] = mapped_column(index=True)


def register_sign_in_attempt(session: Session, email: str, ip_address: str, now: datetime) -> str:
    """Count a try to sign in and return the password hash to hold against (a dummy's if unknown).

    Denied when too many failed in the last quarter of an hour, for the e-mail or for the network
    address. The try is counted before the password is judged, so that tries side by side cannot
    slip through; judging is slow by intent and wants no open transaction, hence three steps:
    `knock`, `matches`, `enter`.
    """
    email = _normalize_email(email)
    for key, most in _attempt_limits(email, ip_address).items():
        acquire_advisory_lock(session, f"knock {key.hex()}")
        if _count_attempts(session, key, now) >= most:
            raise Unauthorized("Too many tries. Wait a quarter of an hour, then try again")
        session.add(SignInAttempt(key=key, attempted_at=now))
    staff = session.scalar(select(Staff).where(Staff.email == email, Staff.disabled_at.is_(None)))
    return staff.password_hash if staff else _dummy_hash()


def verify_password(password_hash: str, password: str) -> bool:
    """Hold a password against its hash; about 50 ms, whether the person exists or not."""
    try:
        return _hasher().verify(password_hash, password[: MAX_PASSWORD_LENGTH + 1])
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False


def complete_sign_in(session: Session, email: str, ip_address: str, now: datetime) -> str:
    """Sign a person in whose password matched: uncount the try, return a session token.

    The e-mail's tries are forgotten, of the address's only this one: else whoever has one password
    could go on guessing everybody else's.
    """
    email = _normalize_email(email)
    staff = session.scalars(select(Staff).where(Staff.email == email)).one()
    own, shared = _attempt_limits(email, ip_address)
    this = select(func.max(SignInAttempt.id)).where(SignInAttempt.key == shared).scalar_subquery()
    old = SignInAttempt.attempted_at < now - ATTEMPT_WINDOW
    session.execute(
        delete(SignInAttempt).where((SignInAttempt.key == own) | (SignInAttempt.id == this) | old)
    )
    session.execute(delete(StaffSession).where(StaffSession.expires_at < now))
    return _create_session(session, staff, now)


def _is_printable(text: str) -> bool:
    return text.isprintable()  # neither control characters nor half a character


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
            expires_at=now + SESSION_LIFETIME,
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
