"""The logo of an account, which its candidates see."""

import hashlib
from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.accounts.account import Account
from provider.core.accounts.picture import read_picture
from provider.errors import Invalid, NotFound
from provider.storage.database import Base

MAX_LOGO_BYTES = 200 * 1000
MAX_LOGO_PIXELS = 1000  # of the width, and of the height
CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg"}
DIGEST_LENGTH = 32  # characters of the SHA-256 in a file name


class AccountLogo(Base):
    """The picture of an account. `file_name` is made from its content, so browsers may keep it.

    The file is in the database, so that it is in every backup and read by every server.
    """

    __tablename__ = "account_logos"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    file_name: Mapped[str] = mapped_column(String(40), index=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    changed_at: Mapped[datetime]

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.file_name.rpartition(".")[2]]


def set_logo(session: Session, account: Account, content: bytes, now: datetime) -> None:
    """Store a logo; Invalid says what is wrong with a file."""
    if not content:
        raise Invalid("Choose a file")
    if len(content) > MAX_LOGO_BYTES:
        raise Invalid(f"The logo should have at most {MAX_LOGO_BYTES // 1000} kB")
    picture = read_picture(content)
    if not all(0 < size <= MAX_LOGO_PIXELS for size in (picture.width, picture.height)):
        raise Invalid(
            f"The logo should be at most {MAX_LOGO_PIXELS} pixels wide and high, and not "
            f"{picture.width} × {picture.height}"
        )
    digest = hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
    logo = session.get(AccountLogo, account.id) or AccountLogo(account_id=account.id)
    logo.file_name, logo.content, logo.changed_at = f"{digest}.{picture.suffix}", content, now
    session.add(logo)
    account.change_branding(logo=logo.file_name)


def remove_logo(session: Session, account: Account) -> None:
    logo = session.get(AccountLogo, account.id)
    if logo is not None:
        session.delete(logo)
    account.change_branding(logo=None)


def find_logo(session: Session, file_name: str) -> AccountLogo:
    """Return a logo by its file name; NotFound."""
    logo = None
    if "\x00" not in file_name:
        query = select(AccountLogo).where(AccountLogo.file_name == file_name)
        logo = session.scalars(query.limit(1)).first()
    if logo is None:
        raise NotFound("There is no such logo")
    return logo
