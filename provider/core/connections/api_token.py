"""Tokens that an ATS has granted to an account, and the lease of the process that renews them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, Text, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.accounts import Account
from provider.storage import secrets
from provider.storage.database import Base, acquire_advisory_lock
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox

LIFE_SHARE = 0.8  # of a token's life, after which it is renewed


class ApiToken(Base):
    """The tokens of an account. `generation` counts the grants.

    `reconnect_reason` says why a person must connect the account again; empty while it works.
    `keep_alive_at` is when an unused refresh token must be used, or it ends.
    """

    __tablename__ = "api_tokens"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    generation: Mapped[int] = mapped_column(default=0)
    access_encrypted: Mapped[bytes | None] = mapped_column(
        Encrypted("accounts/{account_id.public_id}/tokens/access")
    )
    refresh_encrypted: Mapped[bytes | None] = mapped_column(
        Encrypted("accounts/{account_id.public_id}/tokens/refresh")
    )
    renew_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    keep_alive_at: Mapped[datetime | None] = mapped_column(index=True)
    reconnect_reason: Mapped[str] = mapped_column(Text, default="")
    lease: Mapped[str | None] = mapped_column(String(22))
    leased_until: Mapped[datetime | None]

    def store(
        self,
        secret_box: SecretBox,
        account: Account,
        *,
        access: str,
        refresh: str,
        expires_at: datetime,
        refresh_expires_at: datetime | None,
        now: datetime,
    ) -> None:
        """Store new tokens. An answer without a refresh token keeps the old one."""
        self.generation += 1
        self.access_encrypted = secret_box.encrypt(access, _row_path(account, "access"))
        if refresh:
            self.refresh_encrypted = secret_box.encrypt(refresh, _row_path(account, "refresh"))
        self.renew_at = now + (expires_at - now) * LIFE_SHARE
        self.expires_at = expires_at
        self.keep_alive_at = None
        if self.refresh_encrypted and refresh_expires_at:
            self.keep_alive_at = now + (refresh_expires_at - now) / 4
        self.reconnect_reason = ""

    @property
    def is_connected(self) -> bool:
        """Whether there is a grant. The access token alone may be dropped and obtained again."""
        return self.refresh_encrypted is not None or self.access_encrypted is not None

    def access_token(self, secret_box: SecretBox, account: Account) -> str:
        return _decrypt(secret_box, self.access_encrypted, account, "access")

    def refresh_token(self, secret_box: SecretBox, account: Account) -> str:
        return _decrypt(secret_box, self.refresh_encrypted, account, "refresh")


def ensure_token_row(session: Session, account_id: int) -> ApiToken:
    row = session.get(ApiToken, account_id)
    if row is None:
        acquire_advisory_lock(session, f"token {account_id}")
        row = session.get(ApiToken, account_id, populate_existing=True)
    if row is None:
        row = ApiToken(account_id=account_id)
        session.add(row)
        session.flush()
    return row


def lease_token(
    session: Session, account_id: int, generation: int, now: datetime, duration: timedelta
) -> str | None:
    """Lease the renewal of a generation: of several processes one gets the lease."""
    return session.scalar(
        update(ApiToken)
        .where(
            ApiToken.account_id == account_id,
            ApiToken.generation == generation,
            or_(ApiToken.leased_until.is_(None), ApiToken.leased_until <= now),
        )
        .values(lease=secrets.generate_public_id(), leased_until=now + duration)
        .returning(ApiToken.lease)
        .execution_options(synchronize_session=False)
    )


def find_leased_token(session: Session, lease: str) -> ApiToken | None:
    """Return the row and lock it; None if the lease is lost."""
    query = select(ApiToken).where(ApiToken.lease == lease).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def tokens_to_keep_alive(session: Session, now: datetime) -> Sequence[int]:
    """Return the accounts whose refresh token must be used now, or it would end."""
    query = select(ApiToken.account_id).where(
        ApiToken.keep_alive_at <= now, ApiToken.reconnect_reason == ""
    )
    return session.scalars(query.order_by(ApiToken.keep_alive_at)).all()


def forget_tokens(session: Session) -> None:
    """After a restore: a backup's tokens may have been replaced since, so none is used.

    An account that a person has connected must be connected again: using a replaced refresh token
    could end the connection.
    """
    for row in session.scalars(select(ApiToken)):
        if row.refresh_encrypted:
            row.reconnect_reason = "A backup was restored"
        row.access_encrypted = row.refresh_encrypted = None
        row.renew_at = row.expires_at = row.keep_alive_at = None


def _decrypt(secret_box: SecretBox, value: bytes | None, account: Account, name: str) -> str:
    return secret_box.decrypt(value, _row_path(account, name)) if value else ""


def _row_path(account: Account, name: str) -> str:
    return f"accounts/{account.public_id}/tokens/{name}"
