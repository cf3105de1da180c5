"""The limits on sign-in attempts, and the networks and browsers that a person has used.

The database counts the attempts, so that all processes share the limits. The first limit is for an
e-mail address from one network, so a stranger elsewhere cannot lock a person out. The limit for an
e-mail address from all networks stops guessing from many; it does not apply where the person has
signed in before. A browser that the person has used has a limit of its own.
"""

from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, LargeBinary, UniqueConstraint, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.networks import network_of
from provider.core.staff.member import Staff
from provider.errors import Unauthorized
from provider.storage import secrets
from provider.storage.database import Base, acquire_advisory_lock

ATTEMPT_WINDOW = timedelta(minutes=15)
MAX_ATTEMPTS_PER_EMAIL_AND_NETWORK = 5
MAX_ATTEMPTS_PER_EMAIL_AND_DEVICE = 5
MAX_ATTEMPTS_PER_NETWORK = 30
MAX_ATTEMPTS_PER_EMAIL = 50  # from networks that the person has not used
KNOWN_ORIGIN_LIFETIME = timedelta(days=90)  # since the last sign-in


class SignInAttempt(Base):
    """A failed or unfinished sign-in. `key` is a digest of what a limit counts."""

    __tablename__ = "sign_in_attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    attempted_at: Mapped[datetime] = mapped_column(index=True)


class KnownOrigin(Base):
    """A network or a browser from which a person has signed in; `key` is its digest."""

    __tablename__ = "staff_known_origins"
    __table_args__ = (UniqueConstraint("staff_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    key: Mapped[bytes] = mapped_column(LargeBinary)
    last_signed_in_at: Mapped[datetime]


class SignInThrottled(Unauthorized):
    """A limit is reached; `limit_key` says which."""

    def __init__(self, limit_key: bytes) -> None:
        super().__init__("Too many attempts. Wait a quarter of an hour, then try again")
        self.limit_key = limit_key


def count_attempt(
    session: Session, email: str, ip_address: str, device_token: str, now: datetime
) -> None:
    """Count an attempt against each of its limits. Raises SignInThrottled."""
    for key, max_attempts in _limits(session, email, ip_address, device_token, now).items():
        acquire_advisory_lock(session, f"sign-in attempt {key.hex()}")
        if _count(session, key, now) >= max_attempts:
            raise SignInThrottled(key)
        session.add(SignInAttempt(key=key, attempted_at=now))


def forget_attempts(
    session: Session, email: str, ip_address: str, device_token: str, now: datetime
) -> None:
    """Delete the person's attempts from here, but only the newest of all from this network.

    Otherwise a person with one password could guess the passwords of others without a limit.
    """
    own_keys = (_network_key(email, ip_address), _device_key(email, device_token))
    session.execute(
        delete(SignInAttempt).where(
            SignInAttempt.key.in_(own_keys) | (SignInAttempt.attempted_at < now - ATTEMPT_WINDOW)
        )
    )
    for key in _limits(session, email, ip_address, device_token, now):
        newest = select(func.max(SignInAttempt.id)).where(SignInAttempt.key == key)
        session.execute(delete(SignInAttempt).where(SignInAttempt.id == newest.scalar_subquery()))


def is_first_refusal(session: Session, limit_key: bytes, now: datetime) -> bool:
    """Return whether a limit refuses for the first time in ATTEMPT_WINDOW, and remember it."""
    key = secrets.sha256_digest(f"refused {limit_key.hex()}")
    acquire_advisory_lock(session, f"sign-in attempt {key.hex()}")
    if _count(session, key, now):
        return False
    session.add(SignInAttempt(key=key, attempted_at=now))
    return True


def remember_origin(
    session: Session, staff: Staff, ip_address: str, device_token: str, now: datetime
) -> str:
    """Remember a person's network and browser. Returns the token for the browser's cookie."""
    if not _is_known(session, staff, _device_digest(device_token), now):
        device_token = secrets.generate_token()
    session.execute(
        delete(KnownOrigin).where(
            KnownOrigin.staff_id == staff.id,
            KnownOrigin.last_signed_in_at <= now - KNOWN_ORIGIN_LIFETIME,
        )
    )
    acquire_advisory_lock(session, f"origins of staff {staff.id}")
    for key in (_device_digest(device_token), _network_digest(ip_address)):
        origin = session.scalar(
            select(KnownOrigin).where(KnownOrigin.staff_id == staff.id, KnownOrigin.key == key)
        )
        if origin is None:
            origin = KnownOrigin(staff_id=staff.id, key=key)
            session.add(origin)
        origin.last_signed_in_at = now
    return device_token


def _limits(
    session: Session, email: str, ip_address: str, device_token: str, now: datetime
) -> dict[bytes, int]:
    """Return the limits of an attempt, by the key that each counts."""
    staff = session.scalar(select(Staff).where(Staff.email == email))
    if _is_known(session, staff, _device_digest(device_token), now):
        return {_device_key(email, device_token): MAX_ATTEMPTS_PER_EMAIL_AND_DEVICE}
    limits = {
        _network_key(email, ip_address): MAX_ATTEMPTS_PER_EMAIL_AND_NETWORK,
        _network_digest(ip_address): MAX_ATTEMPTS_PER_NETWORK,
    }
    if not _is_known(session, staff, _network_digest(ip_address), now):
        limits[secrets.sha256_digest(f"email {email}")] = MAX_ATTEMPTS_PER_EMAIL
    return limits


def _is_known(session: Session, staff: Staff | None, key: bytes, now: datetime) -> bool:
    query = select(KnownOrigin.id).where(
        KnownOrigin.staff_id == (staff.id if staff else None),
        KnownOrigin.key == key,
        KnownOrigin.last_signed_in_at > now - KNOWN_ORIGIN_LIFETIME,
    )
    return session.scalar(query) is not None


def _count(session: Session, key: bytes, now: datetime) -> int:
    query = select(func.count()).where(
        SignInAttempt.key == key, SignInAttempt.attempted_at > now - ATTEMPT_WINDOW
    )
    return session.scalar(query) or 0


def _network_key(email: str, ip_address: str) -> bytes:
    return secrets.sha256_digest(f"email {email} network {network_of(ip_address)}")


def _device_key(email: str, device_token: str) -> bytes:
    return secrets.sha256_digest(f"email {email} device {device_token}")


def _network_digest(ip_address: str) -> bytes:
    return secrets.sha256_digest(f"network {network_of(ip_address)}")


def _device_digest(device_token: str) -> bytes:
    return secrets.sha256_digest(f"device {device_token}")
