"""Secrets of an account besides its callback token: API keys, client secrets, passwords."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.accounts import Account
from provider.errors import Invalid
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox

PREVIOUS_SECRET_LIFETIME = timedelta(days=7)
MAX_SECRET_LENGTH = 4096  # characters


class AccountSecret(Base):
    """One encrypted secret of an account. `name` is one that the account's adapter declares."""

    __tablename__ = "account_secrets"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value_encrypted: Mapped[bytes] = mapped_column(
        Encrypted("accounts/{account_id.public_id}/secrets/{name}")
    )
    # The previous secret; a webhook may still be signed with it for some days.
    previous_encrypted: Mapped[bytes | None] = mapped_column(
        Encrypted("accounts/{account_id.public_id}/secrets/{name}")
    )
    changed_at: Mapped[datetime]


def parse_secret(text: str) -> str:
    """Return a secret without the spaces around it; Invalid for what is not one plain line."""
    text = text.strip()
    if not text or not (text.isascii() and text.isprintable()) or len(text) > MAX_SECRET_LENGTH:
        raise Invalid(
            f"A secret is one line of at most {MAX_SECRET_LENGTH} plain characters, as the ATS "
            "shows it"
        )
    return text


def set_secret(
    session: Session,
    secret_box: SecretBox,
    account: Account,
    name: str,
    value: str | None,
    now: datetime,
) -> None:
    """Store a secret; None deletes it."""
    # Locked, so that the previous ciphertext is not one from before a new encryption.
    row = session.get(AccountSecret, (account.id, name), with_for_update=True)
    if value is None:
        if row is not None:
            session.delete(row)
        return
    if row is None:
        row = AccountSecret(account_id=account.id, name=name)
        session.add(row)
    else:
        row.previous_encrypted = row.value_encrypted
    row.value_encrypted = secret_box.encrypt(value, _row_path(account.public_id, name))
    row.changed_at = now


def get_secrets(session: Session, secret_box: SecretBox, account: Account) -> Mapping[str, str]:
    """Return the secrets of an account by name; Unavailable if one cannot be decrypted."""
    rows = session.scalars(select(AccountSecret).where(AccountSecret.account_id == account.id))
    return {
        row.name: secret_box.decrypt(row.value_encrypted, _row_path(account.public_id, row.name))
        for row in rows
    }


def secrets_revision(session: Session, account_id: int) -> bytes:
    """Return a digest that changes with every secret that is set, also to the same value."""
    query = select(AccountSecret.name, AccountSecret.value_encrypted).where(
        AccountSecret.account_id == account_id
    )
    rows = session.execute(query.order_by(AccountSecret.name))
    return sha256(b"".join(row.name.encode() + row.value_encrypted for row in rows)).digest()


def has_secrets(session: Session, account_id: int) -> bool:
    query = select(AccountSecret.name).where(AccountSecret.account_id == account_id)
    return session.scalar(query.limit(1)) is not None


def get_previous_secrets(
    session: Session, secret_box: SecretBox, account: Account, now: datetime
) -> Mapping[str, str]:
    """Return by name what was replaced within `PREVIOUS_SECRET_LIFETIME`."""
    rows = session.scalars(
        select(AccountSecret).where(
            AccountSecret.account_id == account.id,
            AccountSecret.changed_at > now - PREVIOUS_SECRET_LIFETIME,
        )
    )
    return {
        row.name: secret_box.decrypt(row.previous_encrypted, _row_path(account.public_id, row.name))
        for row in rows
        if row.previous_encrypted
    }


def _row_path(public_id: str, name: str) -> str:
    return f"accounts/{public_id}/secrets/{name}"
