"""The passkeys of the staff as rows; `webauthn.py` registers and verifies them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.staff.member import Staff
from provider.core.staff.sign_in import StaffSession
from provider.errors import NotFound
from provider.storage.database import Base

MAX_NAME_LENGTH = 60  # characters


class Passkey(Base):
    """A public key of a person's device. `sign_count` is the device's counter at the last use."""

    __tablename__ = "staff_passkeys"

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    credential_data: Mapped[bytes] = mapped_column(LargeBinary)  # `AttestedCredentialData`
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(MAX_NAME_LENGTH))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    staff: Mapped[Staff] = relationship()


def find_by_credential(session: Session, credential_id: bytes) -> Passkey | None:
    return session.scalar(select(Passkey).where(Passkey.credential_id == credential_id))


def list_passkeys(session: Session, staff: Staff) -> Sequence[Passkey]:
    """Return a person's passkeys, the oldest first."""
    query = select(Passkey).where(Passkey.staff_id == staff.id).order_by(Passkey.id)
    return session.scalars(query).all()


def remove_passkey(session: Session, staff: Staff, number: int) -> str:
    """Remove one of a person's passkeys and return its name. Raises NotFound."""
    removed = delete(Passkey).where(Passkey.id == number, Passkey.staff_id == staff.id)
    name: str | None = session.scalar(removed.returning(Passkey.name))
    if name is None:
        raise NotFound("This passkey is removed already")
    return name


def remove_all_passkeys(session: Session, staff: Staff) -> None:
    """Remove a person's passkeys, and end the person's sessions."""
    session.execute(delete(Passkey).where(Passkey.staff_id == staff.id))
    StaffSession.end_all(session, staff)
