"""What a candidate recorded, and what the staff think of it."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.storage import secrets
from provider.storage.database import Base

if TYPE_CHECKING:
    from provider.core.kinds.interview import Interview

SENT, READY, BROKEN = "sent", "ready", "broken"


class Recording(Base):
    """One take of one answer: its bytes as the browser sent them, and a copy that seeks at once.

    `mime` is what the recorder said it wrote; `seconds` is known once the copy is made.
    """

    __tablename__ = "recordings"
    __table_args__ = (UniqueConstraint("order_id", "question", "sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    take: Mapped[int]
    mime: Mapped[str] = mapped_column(String(100))
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(10), default=SENT)
    seconds: Mapped[float | None]
    is_selected: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    interview: Mapped["Interview"] = relationship(back_populates="recordings")

    @property
    def original_key(self) -> str:
        """The media key of the bytes as they came."""
        return f"recordings/{self.public_id}/original"

    @property
    def playable_key(self) -> str:
        """The media key of what is watched: the copy, or the original until there is one."""
        return f"recordings/{self.public_id}/playable" if self.state == READY else self.original_key

    @property
    def copy_key(self) -> str:
        """The media key of the copy that seeks at once."""
        return f"recordings/{self.public_id}/playable"

    @property
    def poster_key(self) -> str:
        """The media key of a still picture."""
        return f"recordings/{self.public_id}/poster.jpg"


class Rating(Base):
    """What one member of staff gave for one answer; the last word on each question counts."""

    __tablename__ = "ratings"
    __table_args__ = (UniqueConstraint("order_id", "question"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    value: Mapped[int]
    note: Mapped[str] = mapped_column(Text, default="")
    actor: Mapped[str] = mapped_column(String(254))
    rated_at: Mapped[datetime]
    interview: Mapped["Interview"] = relationship(back_populates="ratings")
