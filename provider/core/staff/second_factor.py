"""The second factor of a sign-in: one-time codes of an app (RFC 6238), and recovery codes."""

import secrets as random_secrets
from collections.abc import Sequence
from datetime import datetime

import pyotp
from sqlalchemy import ForeignKey, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.staff.member import Staff
from provider.core.staff.sign_in import StaffSession, complete_sign_in
from provider.errors import Conflict, Invalid
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted, KeyedDigest
from provider.storage.secrets import SecretBox

ISSUER = "Provider console"  # how the app lists the secret
STEP_SECONDS = 30
ACCEPTED_STEPS = (0, -1, 1)  # a device's clock may be half a minute wrong
RECOVERY_CODE_COUNT = 10
RECOVERY_CODE_LENGTH = 10  # characters of 5 bits
RECOVERY_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without I, O, 0 and 1
_DIGEST_PURPOSE = "recovery code"
WRONG_CODE_MESSAGE = "This code is not right. Take the one that your app shows now"


class OneTimeSecret(Base):
    """The secret that a person's app and this server share.

    `last_counter` is the time step of the last accepted code: a code is accepted once. Until
    `confirmed_at` the secret is not asked for, because the app may not have it.
    """

    __tablename__ = "staff_one_time_secrets"

    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), primary_key=True)
    secret_encrypted: Mapped[bytes] = mapped_column(Encrypted("staff_one_time_secrets/{staff_id}"))
    last_counter: Mapped[int] = mapped_column(default=0)
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """A code that signs in once without the app. Only a keyed digest is stored."""

    __tablename__ = "staff_recovery_codes"

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    digest: Mapped[bytes] = mapped_column(KeyedDigest)


def has_second_factor(session: Session, staff: Staff) -> bool:
    row = session.get(OneTimeSecret, staff.id)
    return row is not None and row.confirmed_at is not None


def begin_set_up(session: Session, secret_box: SecretBox, staff: Staff) -> str:
    """Return the address `otpauth://…` of a secret that waits for its first code.

    An unconfirmed secret stays the same, so that a second tab shows the same picture. Conflict if
    the person has a confirmed one.
    """
    row = session.get(OneTimeSecret, staff.id)
    if row is not None and row.confirmed_at:
        raise Conflict("The second step is set up already")
    if row is None:
        secret = pyotp.random_base32()
        row = OneTimeSecret(
            staff_id=staff.id, secret_encrypted=secret_box.encrypt(secret, _row_path(staff))
        )
        session.add(row)
        session.flush()
    return _totp(secret_box, staff, row).provisioning_uri(name=staff.email, issuer_name=ISSUER)


def confirm_set_up(
    session: Session, secret_box: SecretBox, staff: Staff, code: str, now: datetime
) -> list[str]:
    """Switch the second step on by the app's first code; return new recovery codes.

    Raises Invalid for a wrong code.
    """
    row = session.get(OneTimeSecret, staff.id)
    if row is None or row.confirmed_at:
        raise Conflict("Begin the set-up again")
    if not _use_one_time_code(session, secret_box, staff, row, code, now):
        raise Invalid(WRONG_CODE_MESSAGE)
    row.confirmed_at = now
    return renew_recovery_codes(session, secret_box, staff)


def remove_second_factor(session: Session, staff: Staff) -> None:
    """Forget the secret and the recovery codes, and end the person's sessions."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.staff_id == staff.id))
    session.execute(delete(OneTimeSecret).where(OneTimeSecret.staff_id == staff.id))
    StaffSession.end_all(session, staff)


def renew_recovery_codes(session: Session, secret_box: SecretBox, staff: Staff) -> list[str]:
    """Replace all recovery codes; the new ones are shown once."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.staff_id == staff.id))
    codes = [
        "".join(random_secrets.choice(RECOVERY_ALPHABET) for _ in range(RECOVERY_CODE_LENGTH))
        for _ in range(RECOVERY_CODE_COUNT)
    ]
    for code in codes:
        digest = secret_box.blind_index(_digest_text(staff, code), _DIGEST_PURPOSE)
        session.add(RecoveryCode(staff_id=staff.id, digest=digest))
    half = RECOVERY_CODE_LENGTH // 2
    return [f"{code[:half]}-{code[half:]}" for code in codes]


def count_recovery_codes(session: Session, staff: Staff) -> int:
    query = select(func.count(RecoveryCode.id)).where(RecoveryCode.staff_id == staff.id)
    return session.scalar(query) or 0


def use_code(
    session: Session, secret_box: SecretBox, staff: Staff, code: str, now: datetime
) -> bool:
    """Return whether a code of the app or a recovery code is right; it is accepted once."""
    code = "".join(code.split()).replace("-", "").upper()
    row = session.get(OneTimeSecret, staff.id)
    if row is None or not row.confirmed_at:
        return False
    if code.isdecimal() and len(code) < RECOVERY_CODE_LENGTH:
        return _use_one_time_code(session, secret_box, staff, row, code, now)
    digests = secret_box.blind_indexes(_digest_text(staff, code), _DIGEST_PURPOSE)
    used = delete(RecoveryCode).where(
        RecoveryCode.staff_id == staff.id, RecoveryCode.digest.in_(digests)
    )
    return session.scalar(used.returning(RecoveryCode.id)) is not None


def complete_second_step(
    session: Session,
    secret_box: SecretBox,
    waiting: StaffSession,
    code: str,
    now: datetime,
    *,
    device_token: str,
    user_agent: str,
) -> str | None:
    """Return the cookie of a verified session; None for a wrong code.

    The session that waited for the code ends.
    """
    staff = waiting.staff
    if not use_code(session, secret_box, staff, code, now):
        return None
    session.delete(waiting)
    return complete_sign_in(
        session,
        staff.email,
        waiting.ip_address,
        now,
        device_token=device_token,
        user_agent=user_agent,
    )


def _use_one_time_code(
    session: Session,
    secret_box: SecretBox,
    staff: Staff,
    row: OneTimeSecret,
    code: str,
    now: datetime,
) -> bool:
    totp = _totp(secret_box, staff, row)
    present = int(now.timestamp()) // STEP_SECONDS
    for counter in _matching_counters(totp, "".join(code.split()), present):
        # By a conditional UPDATE: of two requests with the same code one is accepted.
        accepted = (
            update(OneTimeSecret)
            .where(OneTimeSecret.staff_id == staff.id, OneTimeSecret.last_counter < counter)
            .values(last_counter=counter)
            .returning(OneTimeSecret.staff_id)
        )
        if session.scalar(accepted) is not None:
            return True
    return False


def _matching_counters(totp: pyotp.TOTP, code: str, present: int) -> Sequence[int]:
    counters = [present + step for step in ACCEPTED_STEPS]
    return [
        counter
        for counter in counters
        if random_secrets.compare_digest(totp.generate_otp(counter).encode(), code.encode())
    ]


def _totp(secret_box: SecretBox, staff: Staff, row: OneTimeSecret) -> pyotp.TOTP:
    secret = secret_box.decrypt(row.secret_encrypted, _row_path(staff))
    return pyotp.TOTP(secret, interval=STEP_SECONDS)


def _row_path(staff: Staff) -> str:
    return f"staff_one_time_secrets/{staff.id}"


def _digest_text(staff: Staff, code: str) -> str:
    return f"{staff.id} {code}"
