"""Who signs in to the console: argon2id passwords, throttled in the database."""

import re
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import ForeignKey, LargeBinary, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider import vault
from provider.db import Base, in_turn
from provider.errors import Conflict, Denied, Invalid

ROLES = ("admin", "operator", "viewer")
SESSION_LIFE = timedelta(hours=12)
WINDOW = timedelta(minutes=15)
TRIES_PER_EMAIL = 5
TRIES_PER_ADDRESS = 30
SHORTEST, LONGEST = 10, 1000  # characters of a password


class Staff(Base):
    """A person who may sign in; `role` is admin, operator or viewer."""

    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    role: Mapped[str] = mapped_column(String(20))
    password: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]

    @classmethod
    def create(
        cls, session: Session, email: str, password: str, role: str, at: datetime
    ) -> "Staff":
        """Add a member of staff; Invalid or Conflict says what is wrong."""
        email = email.strip().casefold()
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", email) or not _plain(email) or len(email) > 254:
            raise Invalid(f"“{email}” is not an e-mail address")
        if role not in ROLES:
            raise Invalid(f"The role should be one of {', '.join(ROLES)}")
        if not SHORTEST <= len(password) <= LONGEST or not _plain(password):
            raise Invalid(f"A password has {SHORTEST} to {LONGEST} plain characters")
        in_turn(session, "staff")
        if session.scalar(select(cls.id).where(cls.email == email)):
            raise Conflict(f"{email} is on the staff already")
        staff = cls(email=email, role=role, password=_hasher().hash(password), created_at=at)
        session.add(staff)
        return staff

    @property
    def may_change(self) -> bool:
        """Whether this person may do more than look."""
        return self.role in ("admin", "operator")


class StaffSession(Base):
    """A signed-in browser; the cookie's digest, so a copy of the table opens nothing."""

    __tablename__ = "staff_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    staff: Mapped[Staff] = relationship()

    @classmethod
    def find(cls, session: Session, token: str, at: datetime) -> "StaffSession | None":
        """Return the live session of a cookie, or None."""
        found = session.scalar(select(cls).where(cls.digest == vault.digest(token)))
        if found is None or found.expires_at <= at or found.staff.disabled_at:
            return None
        return found


class SignInTry(Base):
    """One failed sign-in, kept as long as it counts."""

    __tablename__ = "sign_in_tries"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    at: Mapped[datetime] = mapped_column(index=True)


def knock(session: Session, email: str, address: str, at: datetime) -> str:
    """Count a try to sign in and return the password hash to hold against (a dummy's if unknown).

    Denied when too many failed in the last quarter of an hour, for the e-mail or for the network
    address. The try is counted before the password is judged, so that tries side by side cannot
    slip through; judging is slow by intent and wants no open transaction, hence three steps:
    `knock`, `matches`, `enter`.
    """
    email = _folded(email)
    for key, most in _keys(email, address).items():
        in_turn(session, f"knock {key.hex()}")
        if _tries(session, key, at) >= most:
            raise Denied("Too many tries. Wait a quarter of an hour, then try again")
        session.add(SignInTry(key=key, at=at))
    staff = session.scalar(select(Staff).where(Staff.email == email, Staff.disabled_at.is_(None)))
    return staff.password if staff else _nobody()


def matches(hashed: str, password: str) -> bool:
    """Hold a password against its hash; about 50 ms, whether the person exists or not."""
    try:
        return _hasher().verify(hashed, password[: LONGEST + 1])
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False


def enter(session: Session, email: str, address: str, at: datetime) -> str:
    """Sign a person in whose password matched: uncount the try, return a session token.

    The e-mail's tries are forgotten, of the address's only this one: else whoever has one password
    could go on guessing everybody else's.
    """
    email = _folded(email)
    staff = session.scalars(select(Staff).where(Staff.email == email)).one()
    own, shared = _keys(email, address)
    this = select(func.max(SignInTry.id)).where(SignInTry.key == shared).scalar_subquery()
    old = SignInTry.at < at - WINDOW
    session.execute(delete(SignInTry).where((SignInTry.key == own) | (SignInTry.id == this) | old))
    session.execute(delete(StaffSession).where(StaffSession.expires_at < at))
    return _begin(session, staff, at)


def _plain(text: str) -> bool:
    return text.isprintable()  # neither control characters nor half a character


def _folded(email: str) -> str:
    return "".join(filter(_plain, email.strip().casefold()))[:254]


def _keys(email: str, address: str) -> dict[bytes, int]:
    return {
        vault.digest(f"email {email}"): TRIES_PER_EMAIL,
        vault.digest(f"address {address}"): TRIES_PER_ADDRESS,
    }


def _begin(session: Session, staff: Staff, at: datetime) -> str:
    token = vault.token()
    session.add(
        StaffSession(
            staff=staff,
            digest=vault.digest(token),
            created_at=at,
            expires_at=at + SESSION_LIFE,
        )
    )
    return token


def _tries(session: Session, key: bytes, at: datetime) -> int:
    query = select(func.count()).where(SignInTry.key == key, SignInTry.at > at - WINDOW)
    return session.scalar(query) or 0


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id with the RFC 9106 low-memory parameters


@cache
def _nobody() -> str:
    return _hasher().hash(vault.token())
