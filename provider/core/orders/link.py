"""Links that open one order: the invitation, the report, its PDF, and shared ones."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    ForeignKey,
    Index,
    LargeBinary,
    Select,
    String,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.errors import Conflict
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.secrets import SecretBox

if TYPE_CHECKING:
    from provider.core.orders.order import Order

INVITE, REPORT, PDF, SHARED = "invite", "report", "pdf", "shared"
SESSION_LIFETIME = timedelta(days=30)
MAX_SESSIONS_PER_ORDER = (
    20  # an order's newest ones are kept: a mail scanner may come in without end
)


class Link(Base):
    """A way in by a secret address: a digest to find it, a ciphertext to show it again."""

    __tablename__ = "links"
    __table_args__ = (Index("ix_links_order", "order_id", "purpose"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    purpose: Mapped[str] = mapped_column(String(10))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    token_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime | None]
    views_left: Mapped[int | None]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    order: Mapped["Order"] = relationship(back_populates="links")

    @classmethod
    def create(
        cls,
        secret_box: SecretBox,
        order: "Order",
        purpose: str,
        now: datetime,
        *,
        expires_at: datetime | None = None,
        max_views: int | None = None,
    ) -> "Link":
        """Make a link for an order; the caller's session keeps it."""
        secret = cls.new_token_columns(secret_box, order.public_id, purpose)
        return cls(
            order=order,
            purpose=purpose,
            expires_at=expires_at,
            views_left=max_views,
            created_at=now,
            **secret,
        )

    @staticmethod
    def new_token_columns(
        secret_box: SecretBox, order_public_id: str, purpose: str
    ) -> dict[str, bytes]:
        """Return the columns of a new token: how it is found, and how it is shown again."""
        token = secrets.generate_token()
        sealed = secret_box.encrypt(token, f"links/{order_public_id}/{purpose}")
        return {"token_hash": secrets.sha256_digest(token), "token_encrypted": sealed}

    @classmethod
    def find(cls, session: Session, token: str, purpose: str) -> "Link | None":
        """Return the link of a token, live or not; None when there never was one."""
        found = session.scalar(
            select(cls).where(
                cls.token_hash == secrets.sha256_digest(token), cls.purpose == purpose
            )
        )
        return found if found and not found.revoked_at else None

    @classmethod
    def find_permanent(cls, session: Session, order: "Order", purpose: str) -> "Link | None":
        """Return the newest permanent link of an order for a purpose."""
        return session.scalar(
            select(cls)
            .where(cls.order_id == order.id, cls.purpose == purpose, *cls._permanent_conditions())
            .order_by(cls.id.desc())
            .limit(1)
        )

    @classmethod
    def get_or_create_shared(
        cls,
        session: Session,
        secret_box: SecretBox,
        order: "Order",
        ttl: int | None,
        units: str | None,
        now: datetime,
    ) -> "Link":
        """Return a link to the report that works: the permanent one, or a new one with its ttl.

        Raises Conflict while there is no result to show.
        """
        if order.result is None:
            raise Conflict("There is no result to share yet")
        limits: dict[str, Any] = {}
        if ttl and units == "views":
            limits["views"] = ttl
        elif ttl:
            limits["expires_at"] = now + timedelta(**{str(units): ttl})
        link = None if limits else cls.find_permanent(session, order, SHARED)
        if link is None:
            link = cls.create(secret_box, order, SHARED, now, **limits)
            session.add(link)
        return link

    def get_token(self, secret_box: SecretBox) -> str:
        """Return the secret part of the address, to show the link again."""
        return self.decrypt_token(
            secret_box, self.token_encrypted, self.order.public_id, self.purpose
        )

    @staticmethod
    def decrypt_token(
        secret_box: SecretBox, token_encrypted: bytes, order_public_id: str, purpose: str
    ) -> str:
        """Return the token that `secret` sealed."""
        return secret_box.decrypt(token_encrypted, f"links/{order_public_id}/{purpose}")

    @classmethod
    def permanent_token_query(cls, order_id: ColumnElement[int], purpose: str) -> Select[bytes]:
        """Select the sealed token of an order's newest permanent link for a purpose."""
        return (
            select(cls.token_encrypted)
            .where(cls.order_id == order_id, cls.purpose == purpose, *cls._permanent_conditions())
            .order_by(cls.id.desc())
            .limit(1)
        )

    @classmethod
    def _permanent_conditions(cls) -> tuple[ColumnElement[bool], ...]:
        return cls.revoked_at.is_(None), cls.expires_at.is_(None), cls.views_left.is_(None)

    def is_valid(self, now: datetime) -> bool:
        """Whether the link still opens anything."""
        timely = self.expires_at is None or now < self.expires_at
        return not self.revoked_at and timely and self.views_left != 0

    def consume_view(self, session: Session, now: datetime) -> bool:
        """Take one view, counted in the database: of three views a hundred at once get three."""
        if self.views_left is None:
            return self.is_valid(now)
        result = session.execute(
            update(Link)
            .where(
                Link.id == self.id,
                Link.views_left > 0,
                Link.revoked_at.is_(None),
                or_(Link.expires_at.is_(None), Link.expires_at > now),
            )
            .values(views_left=Link.views_left - 1)
            .execution_options(synchronize_session=False)
        )
        assert isinstance(result, CursorResult)
        return result.rowcount == 1


class OrderSession(Base):
    """A browser that came in by an invitation, for one order; the cookie's digest."""

    __tablename__ = "order_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    order: Mapped["Order"] = relationship()

    @classmethod
    def create(cls, session: Session, order: "Order", now: datetime) -> str:
        """Open a session for one order and return the cookie's value."""
        token = secrets.generate_token()
        session.add(
            cls(
                order=order,
                token_hash=secrets.sha256_digest(token),
                created_at=now,
                expires_at=now + SESSION_LIFETIME,
            )
        )
        session.flush()
        cls._prune(session, order)
        return token

    @classmethod
    def _prune(cls, session: Session, order: "Order") -> None:
        newest = select(cls.id).where(cls.order_id == order.id).order_by(cls.id.desc())
        session.execute(
            delete(cls)
            .where(cls.order_id == order.id, cls.id.not_in(newest.limit(MAX_SESSIONS_PER_ORDER)))
            .execution_options(synchronize_session=False)
        )
