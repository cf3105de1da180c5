"""Links that open one order (invitation, report, PDF, shared link), and candidates' sessions."""

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
from provider.storage.database import Base, acquire_advisory_lock
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox

if TYPE_CHECKING:
    from provider.core.orders.order import Order

INVITE, REPORT, PDF, SHARED = "invite", "report", "pdf", "shared"
CANDIDATE_SESSION_LIFETIME = timedelta(days=30)
# A visit prolongs the session when less is left, so that most visits write nothing.
SESSION_RENEWAL_AGE = timedelta(days=29)


class Link(Base):
    """A secret URL. `token_hash` finds the link; `token_encrypted` shows its URL again."""

    __tablename__ = "links"
    __table_args__ = (Index("ix_links_order", "order_id", "purpose"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    purpose: Mapped[str] = mapped_column(String(10))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    token_encrypted: Mapped[bytes] = mapped_column(
        Encrypted("links/{order_id.public_id}/{purpose}")
    )
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
        """Return a new link of an order. The caller adds it to the session."""
        token_columns = cls.new_token_columns(secret_box, order.public_id, purpose)
        return cls(
            order=order,
            purpose=purpose,
            expires_at=expires_at,
            views_left=max_views,
            created_at=now,
            **token_columns,
        )

    @staticmethod
    def new_token_columns(
        secret_box: SecretBox, order_public_id: str, purpose: str
    ) -> dict[str, bytes]:
        """Generate a token. Returns the columns that store it."""
        token = secrets.generate_token()
        encrypted = secret_box.encrypt(token, f"links/{order_public_id}/{purpose}")
        return {"token_hash": secrets.sha256_digest(token), "token_encrypted": encrypted}

    @classmethod
    def find(cls, session: Session, token: str, purpose: str) -> "Link | None":
        """Return the link of a token; None for an unknown or revoked token.

        The link may have expired: see `is_valid`.
        """
        link = session.scalar(
            select(cls).where(
                cls.token_hash == secrets.sha256_digest(token), cls.purpose == purpose
            )
        )
        return link if link and not link.revoked_at else None

    @classmethod
    def was_revoked(cls, session: Session, token: str, purpose: str) -> bool:
        """Return whether a token is of a link that worked once."""
        query = select(cls.id).where(
            cls.token_hash == secrets.sha256_digest(token),
            cls.purpose == purpose,
            cls.revoked_at.is_not(None),
        )
        return session.scalar(query) is not None

    @classmethod
    def find_permanent(cls, session: Session, order: "Order", purpose: str) -> "Link | None":
        """Return the newest link of an order that never expires."""
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
        """Return a valid shared link: the permanent one, or a new one for a ttl.

        `units` is minutes, days or views. Raises Conflict for an order without a result.
        """
        if order.result is None:
            raise Conflict("There is no result to share yet")
        limits: dict[str, Any] = {}
        if ttl and units == "views":
            limits["max_views"] = ttl
        elif ttl:
            limits["expires_at"] = now + timedelta(**{str(units): ttl})
        link = None if limits else cls.find_permanent(session, order, SHARED)
        if link is None:
            link = cls.create(secret_box, order, SHARED, now, **limits)
            session.add(link)
        return link

    def get_token(self, secret_box: SecretBox) -> str:
        """Return the secret part of the URL, to show the link again."""
        return self.decrypt_token(
            secret_box, self.token_encrypted, self.order.public_id, self.purpose
        )

    @staticmethod
    def decrypt_token(
        secret_box: SecretBox, token_encrypted: bytes, order_public_id: str, purpose: str
    ) -> str:
        """Return the token that `new_token_columns` encrypted."""
        return secret_box.decrypt(token_encrypted, f"links/{order_public_id}/{purpose}")

    @classmethod
    def permanent_token_query(cls, order_id: ColumnElement[int], purpose: str) -> Select[bytes]:
        """Select the encrypted token of the newest link that never expires."""
        return (
            select(cls.token_encrypted)
            .where(cls.order_id == order_id, cls.purpose == purpose, *cls._permanent_conditions())
            .order_by(cls.id.desc())
            .limit(1)
        )

    @classmethod
    def _permanent_conditions(cls) -> tuple[ColumnElement[bool], ...]:
        return cls.revoked_at.is_(None), cls.expires_at.is_(None), cls.views_left.is_(None)

    @property
    def is_permanent(self) -> bool:
        """Whether the link works until it is revoked."""
        return not self.revoked_at and self.expires_at is None and self.views_left is None

    def is_valid(self, now: datetime) -> bool:
        """Whether the link is neither revoked nor expired and has views left."""
        is_expired = self.expires_at is not None and self.expires_at <= now
        return not self.revoked_at and not is_expired and self.views_left != 0

    def consume_view(self, session: Session, now: datetime) -> bool:
        """Use up one view. Returns False when none is left.

        The UPDATE checks the number of views, so simultaneous requests cannot exceed it.
        """
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
    """The session of whoever has an invitation. The table has only a digest of the cookie.

    The cookie is derived from the invitation's token, so all browsers that open the invitation
    share one row. However often scanners open it, they end nobody's session and fill no table.
    """

    __tablename__ = "order_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    order: Mapped["Order"] = relationship()

    @staticmethod
    def derive_cookie(invitation_token: str) -> str:
        """Return the value of the cookie for an invitation."""
        return secrets.derive_token(invitation_token, "candidate session")

    @classmethod
    def is_fresh(cls, session: Session, cookie: str, now: datetime) -> bool:
        """Whether the session of this cookie exists and needs no renewal."""
        order_session = cls._find(session, cookie)
        return order_session is not None and order_session.expires_at > now + SESSION_RENEWAL_AGE

    @classmethod
    def create_or_renew(cls, session: Session, order: "Order", cookie: str, now: datetime) -> None:
        acquire_advisory_lock(session, f"order session/{order.public_id}")
        order_session = cls._find(session, cookie)
        if order_session is None:
            order_session = cls(
                order=order, token_hash=secrets.sha256_digest(cookie), created_at=now
            )
            session.add(order_session)
        order_session.expires_at = now + CANDIDATE_SESSION_LIFETIME

    @classmethod
    def _find(cls, session: Session, cookie: str) -> "OrderSession | None":
        return session.scalar(select(cls).where(cls.token_hash == secrets.sha256_digest(cookie)))

    @classmethod
    def end_all(cls, session: Session, order: "Order") -> None:
        """End the candidate's sessions in every browser."""
        session.execute(delete(cls).where(cls.order_id == order.id))
