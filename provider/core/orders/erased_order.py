"""Erased orders: the figures that stay when the data of a candidate is erased."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    String,
    exists,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.orders.order import Order
from provider.storage.database import Base
from provider.storage.encrypted import KeyedDigest
from provider.storage.secrets import SecretBox

_DIGEST_PURPOSE = "erased order"


class ErasedOrder(Base):
    """The statistics of an order whose row was deleted. Nothing in it names the candidate.

    `key_digest` is a keyed digest of the account and the external key: the ATS may send the same
    order again, and an erased candidate must not be invited again.
    """

    __tablename__ = "erased_orders"
    __table_args__ = (
        Index("ix_erased_orders_account", "account_id", "placed_at"),
        # As those of `orders`, for the usage.
        Index("ix_erased_orders_usage", "account_id", "product_id", "placed_at"),
        Index(
            "ix_erased_orders_completed",
            "account_id",
            "product_id",
            "finished_at",
            sqlite_where=text("status = 'completed'"),
            postgresql_where=text("status = 'completed'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(22), unique=True)
    key_digest: Mapped[bytes] = mapped_column(KeyedDigest, index=True)
    kind: Mapped[str] = mapped_column(String(20))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    version_id: Mapped[int] = mapped_column(ForeignKey("product_versions.id"))
    status: Mapped[str] = mapped_column(String(12))
    score: Mapped[float | None]  # of the last result, in per cent
    grade: Mapped[str | None] = mapped_column(String(10))
    duration: Mapped[int | None]  # in seconds
    placed_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    erased_at: Mapped[datetime]

    @classmethod
    def from_order(cls, secret_box: SecretBox, order: Order, now: datetime) -> Self:
        result = order.result
        return cls(
            public_id=order.public_id,
            key_digest=secret_box.blind_index(
                _digest_text(order.account_id, order.external_key), _DIGEST_PURPOSE
            ),
            kind=order.kind,
            account_id=order.account_id,
            product_id=order.product_id,
            version_id=order.version_id,
            status=order.status,
            score=result.score if result else None,
            grade=result.grade if result else None,
            duration=result.duration if result else None,
            placed_at=order.placed_at,
            started_at=order.started_at,
            finished_at=order.finished_at,
            erased_at=now,
        )


def is_erased(session: Session, secret_box: SecretBox, account_id: int, external_key: str) -> bool:
    """Return whether the data of the order with this external key was erased."""
    digests = list_key_digests(secret_box, account_id, external_key)
    return bool(session.scalar(select(has_erased_key(digests))))


def has_erased_key(digests: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that an order with one of these digests was erased."""
    return exists(select(ErasedOrder.id).where(ErasedOrder.key_digest.in_(digests)))


def list_key_digests(secret_box: SecretBox, account_id: int, external_key: str) -> list[bytes]:
    """Return the digests that an erased order may have, one for each secret key."""
    return secret_box.blind_indexes(_digest_text(account_id, external_key), _DIGEST_PURPOSE)


def _digest_text(account_id: int, external_key: str) -> str:
    # In hexadecimal digits: a blind index ignores case, but two keys may differ in case alone.
    return f"{account_id} {external_key.encode().hex()}"
