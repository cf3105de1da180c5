"""Accounts and their bearer tokens, and the authentication of API requests."""

import hmac
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, inspect, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.working_days import WorkingDays, region_of_time_zone
from provider.errors import Conflict, NotFound, Unauthorized, Unavailable
from provider.storage import secrets
from provider.storage.database import Base, Database, acquire_advisory_lock
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox

# A write of another process does not clear the caches of this one, so entries expire.
CACHE_TTL = timedelta(seconds=5)
# `last_used_at` is written at most once per interval, so that a request rarely waits for a write.
LAST_USED_PRECISION = timedelta(minutes=5)
MAX_CACHE_ENTRIES = 10_000
TOKEN_PREFIX_LENGTH = 12  # characters of a token that are stored in clear text


class Account(Base):
    """The ATS connection of one customer. `ats` is the name of its adapter."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    name: Mapped[str] = mapped_column(String(100), unique=True)
    ats: Mapped[str] = mapped_column(String(30))
    callback_token: Mapped[bytes | None] = mapped_column(
        Encrypted("accounts/{public_id}/callback_token")
    )
    callback_hosts: Mapped[list[str]] = mapped_column(JSON, default=list)
    expire_after_seconds: Mapped[int] = mapped_column(default=7 * 86400)
    timezone: Mapped[str] = mapped_column(String(50), default="UTC")
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    shared_ttl: Mapped[int | None]
    shared_ttl_units: Mapped[str | None] = mapped_column(String(10))  # minutes, days, views
    # display_name, colour, support_address, privacy_address, and the file name of the logo
    branding: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    all_products: Mapped[bool] = mapped_column(default=True)
    sandbox: Mapped[bool] = mapped_column(default=False)
    # The maximum number of callbacks per second to each host of the account; None means no limit.
    callback_rate: Mapped[float | None]
    # The maximum number of API requests per second of the account; None means no limit.
    request_rate: Mapped[int | None]
    # How long recordings, and everything about a candidate, are stored after an order has ended;
    # None: until somebody erases them.
    keep_recordings_seconds: Mapped[int | None]
    keep_candidates_seconds: Mapped[int | None]
    created_at: Mapped[datetime]
    # Since when its tokens are refused and nothing is ordered for it; see `offboarding.py`.
    disabled_at: Mapped[datetime | None]
    tokens: Mapped[list["AccountToken"]] = relationship(
        back_populates="account", order_by="AccountToken.id"
    )

    @property
    def hides_names_from_reviewers(self) -> bool:
        """Whether reviewers see no name of a candidate before they have rated."""
        return bool(self.options.get("hide_names"))

    @property
    def working_days(self) -> WorkingDays:
        """The working days of the setting `holidays`; without it, those of the time zone."""
        region = self.options.get("holidays") or region_of_time_zone(self.timezone)
        return WorkingDays(str(region), self.timezone)

    @property
    def shows_partial_results(self) -> bool:
        """Whether outcomes of screenings are shown before the whole check is completed."""
        return bool(self.options.get("partial_results"))

    @property
    def gives_check_copies(self) -> bool:
        """Whether every candidate may read the report of her check; unless switched off."""
        return bool(self.options.get("check_copies", True))

    @property
    def display_name(self) -> str:
        """The name to show to candidates."""
        return str(self.branding.get("display_name") or self.name)

    def change_branding(self, **values: str | None) -> None:
        """Change what candidates see of the company; None removes a value."""
        branding = {**self.branding, **values}
        # A new dict: SQLAlchemy does not notice a change inside the old one.
        self.branding = {name: value for name, value in branding.items() if value}

    def audit_fields(self) -> dict[str, Any]:
        """Return the settings that an entry of the audit log may contain: no secret."""
        hidden = {"id", "public_id", "callback_token", "created_at", "disabled_at"}
        columns = inspect(Account).column_attrs.keys()
        return {name: getattr(self, name) for name in columns if name not in hidden}

    def set_callback_token(self, secret_box: SecretBox, token: str | None) -> None:
        """Set the bearer token of the account's callbacks; None removes it."""
        self.callback_token = (
            secret_box.encrypt(token, _token_row_path(self.public_id)) if token else None
        )

    def get_callback_token(self, secret_box: SecretBox) -> str | None:
        return self.decrypt_callback_token(secret_box, self.callback_token, self.public_id)

    @staticmethod
    def decrypt_callback_token(
        secret_box: SecretBox, token_encrypted: bytes | None, public_id: str
    ) -> str | None:
        """Return the token that `set_callback_token` encrypted."""
        return (
            secret_box.decrypt(token_encrypted, _token_row_path(public_id))
            if token_encrypted
            else None
        )

    def has_callback_token(self, secret_box: SecretBox, token: str) -> bool:
        """Return whether callbacks carry this token; False for a token that cannot be decrypted."""
        with suppress(Unavailable):
            return self.get_callback_token(secret_box) == token
        return False

    def has_open_token(self, token: str) -> bool:
        """Return whether this is a token for API requests that nobody has revoked."""
        digest = secrets.sha256_digest(token)
        return any(row.token_hash == digest and not row.revoked_at for row in self.tokens)

    def issue_token(self, now: datetime) -> str:
        """Create a token for API requests. It cannot be shown again: only its digest is stored."""
        token = f"prv_{secrets.generate_token()}"
        self.tokens.append(
            AccountToken(
                prefix=token[:TOKEN_PREFIX_LENGTH],
                token_hash=secrets.sha256_digest(token),
                created_at=now,
            )
        )
        return token

    def revoke_token(self, prefix: str, now: datetime, secret_box: SecretBox) -> "AccountToken":
        """Revoke the token that begins with `prefix`; callbacks do not carry it any longer.

        Raises NotFound when no token matches, and Conflict when several tokens match.
        """
        # A caller may pass a whole token, which must not appear in an error.
        prefix = prefix[:TOKEN_PREFIX_LENGTH]
        matches = [
            token
            for token in self.tokens
            if token.prefix.startswith(prefix) and not token.revoked_at
        ]
        if not matches or not prefix:
            raise NotFound(f"Account {self.name} has no open token that begins with {prefix}")
        if len(matches) > 1:
            raise Conflict(f"{len(matches)} tokens begin with {prefix}: give more characters")
        token = matches[0]
        token.revoked_at = now
        with suppress(Unavailable):  # without the secret key nobody can use the callback token
            callback_token = self.get_callback_token(secret_box)
            if callback_token and secrets.sha256_digest(callback_token) == token.token_hash:
                self.callback_token = None
        return token

    @classmethod
    def get_by_name(cls, session: Session, name: str, *, lock: bool = False) -> "Account":
        """Return the account with this name. Raises NotFound with the command that lists accounts.

        `lock` locks the row until the end of the transaction.
        """
        query = select(cls).where(cls.name == name)
        account = session.scalar(query.with_for_update() if lock else query)
        if account is None:
            raise NotFound(f"There is no account “{name}”: see `provider account list`")
        return account

    @classmethod
    def create(cls, session: Session, name: str, ats: str, now: datetime) -> "Account":
        """Add an account; Conflict if another account has the name."""
        acquire_advisory_lock(session, "accounts")
        if session.scalar(select(cls.id).where(cls.name == name)):
            raise Conflict(f"There is an account “{name}” already")
        account = cls(name=name, ats=ats, created_at=now)
        session.add(account)
        session.flush()
        return account


def _token_row_path(public_id: str) -> str:
    return f"accounts/{public_id}/callback_token"


class AccountToken(Base):
    """A bearer token for API requests: its digest, and a prefix that staff recognise."""

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
    """A product that an account may see. It only matters for accounts without `all_products`."""

    __tablename__ = "account_products"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), primary_key=True)


@dataclass(frozen=True)
class Caller:
    """The account of an API request, as the token cache stores it."""

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
    """Finds the Caller of a bearer token. Callers are cached for CACHE_TTL."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._cache: dict[bytes, tuple[datetime, Caller]] = {}
        self._last_used: dict[int, datetime] = {}
        self._lock = threading.Lock()
        db.on_write.append(self._on_write)

    def authenticate(self, token: str, ats: str, now: datetime) -> Caller:
        """Return the caller. Raises Unauthorized for an unknown token or one of another adapter."""
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
            # Each row is compared in constant time, so the response time reveals no digest.
            matches = [row for row in rows if hmac.compare_digest(row.token_hash, token_hash)]
            if not matches or matches[0].account.disabled_at:
                raise Unauthorized("Invalid Token")
            caller = Caller.from_account(matches[0].account)
        self._record_use(matches[0], now)
        with self._lock:
            if len(self._cache) >= MAX_CACHE_ENTRIES:
                self._cache = {}
            self._cache[token_hash] = (now, caller)
        return caller

    def _record_use(self, token: AccountToken, now: datetime) -> None:
        known_uses = filter(None, [token.last_used_at, self._last_used.get(token.id)])
        last_used_at = max(known_uses, default=None)
        if last_used_at and now < last_used_at + LAST_USED_PRECISION:
            return
        self._last_used[token.id] = now
        statement = update(AccountToken).where(AccountToken.id == token.id).values(last_used_at=now)
        # A request that only reads must not fail when another writer blocks this write.
        with suppress(Unavailable), self._db.writing() as session:
            session.execute(statement)
