"""Orders at vendors: one row for each screening that a connector does.

The state only rises, however late or often a vendor answers. Staff alone begin a new attempt.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.kinds.check.tables.connector import Connector
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox

# The states, and how far each is. Only a result follows an error.
TO_SEND, SENT, AT_WORK, FAILED, ANSWERED, WITHDRAWN = (
    "to send",
    "submitted",
    "in progress",
    "error",
    "answered",
    "withdrawn",
)
RANKS: Mapping[str, int] = {
    TO_SEND: 0,
    SENT: 1,
    AT_WORK: 2,
    FAILED: 3,
    ANSWERED: 4,
    WITHDRAWN: 5,
}
VENDOR_ORDER_LABELS = {
    TO_SEND: "Being sent to the vendor",
    SENT: "Submitted to the vendor",
    AT_WORK: "In progress at the vendor",
    FAILED: "Failed",
    ANSWERED: "The vendor has answered",
    WITHDRAWN: "Withdrawn",
}
MAX_ERROR_LENGTH = 300  # characters
_POLLED_SQL = text("next_poll_at IS NOT NULL")


@dataclass(frozen=True)
class VendorResult:
    """The outcome that a vendor proposes, and its text. A person decides.

    Without an outcome the text says why the vendor failed.
    """

    outcome: str
    text: str


class VendorOrder(Base):
    """A screening at a vendor. Without a connector it is one of the simulator of sandboxes.

    `attempt` counts how often staff have begun anew. The result is encrypted in `answer_encrypted`;
    `answer_digest` tells a repeated result from a changed one. It is encrypted, too: a digest of a
    few known words could be guessed. `polls` is the number of polls, for the simulator that of its
    steps.
    """

    __tablename__ = "vendor_orders"
    __table_args__ = (
        UniqueConstraint("order_id", "screening"),
        Index("ix_vendor_orders_reference", "connector_id", "reference"),
        Index(
            "ix_vendor_orders_poll",
            "next_poll_at",
            sqlite_where=_POLLED_SQL,
            postgresql_where=_POLLED_SQL,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    screening: Mapped[str] = mapped_column(String(64))
    connector_id: Mapped[int | None] = mapped_column(ForeignKey("connectors.id"))
    state: Mapped[str] = mapped_column(String(12), default=TO_SEND)
    attempt: Mapped[int] = mapped_column(default=1)
    reference: Mapped[str] = mapped_column(String(200), default="")
    answer_encrypted: Mapped[bytes | None] = mapped_column(
        Encrypted("vendor_orders/{public_id}/answer")
    )
    answer_digest: Mapped[bytes | None] = mapped_column(
        Encrypted("vendor_orders/{public_id}/answer_digest")
    )
    last_error: Mapped[str] = mapped_column(String(MAX_ERROR_LENGTH), default="")
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    next_poll_at: Mapped[datetime | None]
    polls: Mapped[int] = mapped_column(default=0)
    connector: Mapped[Connector | None] = relationship()

    @property
    def key(self) -> str:
        """The id of the order at the vendor, and the idempotency key: one for each attempt."""
        return f"{self.public_id}.{self.attempt}"

    @property
    def vendor_name(self) -> str:
        return self.connector.name if self.connector else "Vendor simulator"

    @property
    def is_open(self) -> bool:
        return self.state not in (ANSWERED, WITHDRAWN)

    def may_become(self, state: str) -> bool:
        return RANKS[state] > RANKS[self.state]

    def get_result(self, secret_box: SecretBox) -> VendorResult | None:
        """Return what the vendor proposes; None before its result."""
        if self.answer_encrypted is None:
            return None
        entry = json.loads(secret_box.decrypt(self.answer_encrypted, self._path("answer")))
        return VendorResult(entry["outcome"], entry["text"])

    def set_result(self, secret_box: SecretBox, result: VendorResult) -> None:
        entry: dict[str, Any] = {"outcome": result.outcome, "text": result.text}
        encoded = json.dumps(entry, ensure_ascii=False)
        self.answer_encrypted = secret_box.encrypt(encoded, self._path("answer"))

    def get_answer_digest(self, secret_box: SecretBox) -> bytes | None:
        if self.answer_digest is None:
            return None
        return secret_box.decrypt_bytes(self.answer_digest, self._path("answer_digest"))

    def set_answer_digest(self, secret_box: SecretBox, digest: bytes) -> None:
        self.answer_digest = secret_box.encrypt_bytes(digest, self._path("answer_digest"))

    def _path(self, column: str) -> str:
        return f"vendor_orders/{self.public_id}/{column}"


def find_vendor_order(session: Session, order_id: int, screening: str) -> VendorOrder | None:
    return session.scalar(
        select(VendorOrder).where(
            VendorOrder.order_id == order_id, VendorOrder.screening == screening
        )
    )


def list_vendor_orders(session: Session, order_id: int) -> list[VendorOrder]:
    query = select(VendorOrder).where(VendorOrder.order_id == order_id)
    return list(session.scalars(query.order_by(VendorOrder.id)))


def find_by_key(session: Session, connector_id: int, key: str) -> tuple[VendorOrder, bool] | None:
    """Return the order of a key, and whether the key is of the present attempt."""
    public_id, _, attempt = key.partition(".")
    vendor_order = session.scalar(
        select(VendorOrder).where(
            VendorOrder.public_id == public_id, VendorOrder.connector_id == connector_id
        )
    )
    return (vendor_order, attempt == str(vendor_order.attempt)) if vendor_order else None


def find_by_reference(session: Session, connector_id: int, reference: str) -> VendorOrder | None:
    """Return the newest order of a vendor's reference."""
    if not reference:
        return None
    query = select(VendorOrder).where(
        VendorOrder.connector_id == connector_id, VendorOrder.reference == reference
    )
    return session.scalar(query.order_by(VendorOrder.id.desc()).limit(1))
