"""One customer's ATS connection, and the tokens that open it."""

import hmac
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.errors import Conflict, NotFound, Unauthorized, Unavailable
from provider.storage import secrets
from provider.storage.database import Base, Database
from provider.storage.secrets import SecretBox

CACHE_TTL = timedelta(seconds=5)  # how old a cached caller may be: another process may have written
LAST_USED_PRECISION = timedelta(minutes=5)  # how exact a token's last use is
MAX_CACHE_ENTRIES = 10_000  # cached callers
TOKEN_PREFIX_LENGTH = 12  # characters of a token that are kept readable


class Account(Base):
    """One customer's ATS connection: dialect, tokens, callback hosts, switches, brand."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    name: Mapped[str] = mapped_column(String(100), unique=True)
    ats: Mapped[str] = mapped_column(String(30))
    callback_token: Mapped[bytes | None] = mapped_column(LargeBinary)
    callback_hosts: Mapped[list[str]] = mapped_column(JSON, default=list)
    expire_after_seconds: Mapped[int] = mapped_column(default=7 * 86400)  # seconds
    timezone: Mapped[str] = mapped_column(String(50), default="UTC")
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    shared_ttl: Mapped[int | None]
    shared_ttl_units: Mapped[str | None] = mapped_column(String(10))  # minutes, days, views
    branding: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # display_name, colour
    all_products: Mapped[bool] = mapped_column(default=True)
    sandbox: Mapped[bool] = mapped_column(default=False)
    # Callbacks a second that each of the account's hosts gets at most; None: as many as it takes.
    callback_rate: Mapped[float | None]
    # Contract calls a second that the account may make; None: as many as it likes.
    request_rate: Mapped[int | None]
    created_at: Mapped[datetime]
    tokens: Mapped[list["AccountToken"]] = relationship(
        back_populates="account", order_by="AccountToken.id"
    )

    @property
    def display_name(self) -> str:
        """The name that candidates read."""
        return str(self.branding.get("display_name") or self.name)

    def set_callback_token(self, secret_box: SecretBox, token: str | None) -> None:
        """Keep the bearer token for the account's callbacks, encrypted."""
        self.callback_token = (
            secret_box.encrypt(token, _token_row_path(self.public_id)) if token else None
        )

    def get_callback_token(self, secret_box: SecretBox) -> str | None:
        """Return the bearer token for the account's callbacks."""
        return self.decrypt_callback_token(secret_box, self.callback_token, self.public_id)

    @staticmethod
    def decrypt_callback_token(
        secret_box: SecretBox, token_encrypted: bytes | None, public_id: str
    ) -> str | None:
        """Return the token that `set_callback_token` sealed."""
        return (
            secret_box.decrypt(token_encrypted, _token_row_path(public_id))
            if token_encrypted
            else None
        )

    def issue_token(self, now: datetime) -> str:
        """Add an inbound token and return it: it is shown this once."""
        secret = f"prv_{secrets.generate_token()}"
        self.tokens.append(
            AccountToken(
                prefix=secret[:TOKEN_PREFIX_LENGTH],
                token_hash=secrets.sha256_digest(secret),
                created_at=now,
            )
        )
        return secret

    def revoke_token(self, prefix: str, now: datetime) -> "AccountToken":
        """Close the token that begins with `prefix`; NotFound or Conflict when not exactly one."""
        prefix = prefix[
            :TOKEN_PREFIX_LENGTH
        ]  # whoever gives a whole token must not read it in an error
        found = [t for t in self.tokens if t.prefix.startswith(prefix) and not t.revoked_at]
        if not found or not prefix:
            raise NotFound(f"Account {self.name} has no open token that begins with {prefix}")
        if len(found) > 1:
            raise Conflict(f"{len(found)} tokens begin with {prefix}: give more characters")
        found[0].revoked_at = now
        return found[0]

    @classmethod
    def get_by_name(cls, session: Session, name: str, *, lock: bool = False) -> "Account":
        """Return the account with this name; NotFound names the command that lists them.

        With `lock` nobody else changes it before the transaction has ended.
        """
        query = select(cls).where(cls.name == name)
        account = session.scalar(query.with_for_update() if lock else query)
        if account is None:
            raise NotFound(f"There is no account “{name}”: see `provider account list`")
        return account


def _token_row_path(public_id: str) -> str:
    return f"accounts/{public_id}/callback_token"


class AccountToken(Base):
    """An inbound bearer token: a digest and a readable beginning, never the token."""

    __tablename__ = "account_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    prefix: Mapped[str] = mapped_column(String(TOKEN_PREFIX_LENGTH), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    account: Mapped[Account] = relationship(back_populates="tokens")


class AccountProduct(Base):
    """A product that an account sees, where it does not see all."""

    __tablename__ = "account_products"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), primary_key=True)


@dataclass(frozen=True)
class Caller:
    """The account behind a request, as the token cache holds it."""

    account_id: int
    ats: str
    name: str
    all_products: bool
    callback_hosts: tuple[str, ...]
    expire_after: timedelta
    options: dict[str, Any] = field(hash=False)
    shared_ttl: int | None
    shared_ttl_units: str | None
    sandbox: bool
    request_rate: int | None = None

    @classmethod
    def from_account(cls, account: Account) -> "Caller":
        """Return an account as a caller."""
        return cls(
            account_id=account.id,
            ats=account.ats,
            name=account.name,
            all_products=account.all_products,
            callback_hosts=tuple(account.callback_hosts),
            expire_after=timedelta(seconds=account.expire_after_seconds),
            options=dict(account.options),
            shared_ttl=account.shared_ttl,
            shared_ttl_units=account.shared_ttl_units,
            sandbox=account.sandbox,
            request_rate=account.request_rate,
        )


class TokenAuthenticator:
    """Turns a bearer token into a Caller; remembers it for at most five seconds."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._cache: dict[bytes, tuple[datetime, Caller]] = {}
        self._last_used: dict[int, datetime] = {}
        self._lock = threading.Lock()
        db.on_write.append(self._on_write)

    def authenticate(self, token: str, ats: str, now: datetime) -> Caller:
        """Return who holds the token; Denied when nobody does or it is another dialect's."""
        digest = secrets.sha256_digest(token)
        cached = self._cache.get(digest)
        if cached and cached[0] <= now < cached[0] + CACHE_TTL:
            caller = cached[1]
        else:
            caller = self._look_up(token, digest, now)
        if caller.ats != ats:
            raise Unauthorized("Invalid Token")
        return caller

    def clear_cache(self) -> None:
        """Drop what is remembered."""
        with self._lock:
            self._cache = {}

    def _on_write(self, tables: set[str]) -> None:
        if tables & {Account.__tablename__, AccountToken.__tablename__}:
            self.clear_cache()

    def _look_up(self, token: str, token_hash: bytes, now: datetime) -> Caller:
        with self._db.reading() as session:
            rows = session.scalars(
                select(AccountToken).where(
                    AccountToken.prefix == token[:TOKEN_PREFIX_LENGTH].replace("\x00", ""),
                    AccountToken.revoked_at.is_(None),
                )
            ).all()
            # Every candidate is compared, each in constant time.
            found = [row for row in rows if hmac.compare_digest(row.token_hash, token_hash)]
            if not found:
                raise Unauthorized("Invalid Token")
            caller = Caller.from_account(found[0].account)
        self._record_use(found[0], now)
        with self._lock:
            if len(self._cache) >= MAX_CACHE_ENTRIES:
                self._cache = {}
            self._cache[token_hash] = (now, caller)
        return caller

    def _record_use(self, token: AccountToken, now: datetime) -> None:
        last = max(filter(None, [token.last_used_at, self._last_used.get(token.id)]), default=None)
        if last and now < last + LAST_USED_PRECISION:
            return
        self._last_used[token.id] = now
        note = update(AccountToken).where(AccountToken.id == token.id).values(last_used_at=now)
        # A request that only reads must not fail because somebody else writes for long.
        with suppress(Unavailable), self._db.writing() as session:
            session.execute(note)
