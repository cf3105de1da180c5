"""The tables of an interview's answers: the recordings, and their ratings by the staff."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from provider.core.orders import TimedOrder
from provider.storage import secrets
from provider.storage.database import Base

SENT, READY, BROKEN, DELETED = "sent", "ready", "broken", "deleted"


class Recording(Base):
    """One recording (a take) of the answer to a question.

    Media storage has the file of the browser, a playable copy with an index, and a poster.
    `mime` is the type that the browser declared. `seconds` is None until the copy is made. A
    broken recording is damaged, or has no picture or no sound: there is no copy. The files of a
    deleted recording are gone, because the time of their storage was over.
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
    interview: Mapped[TimedOrder] = relationship("Interview", back_populates="recordings")

    @property
    def is_broken(self) -> bool:
        return self.state == BROKEN

    @property
    def is_deleted(self) -> bool:
        return self.state == DELETED

    @property
    def folder(self) -> str:
        """The folder of the recording's files in media storage."""
        return f"recordings/{self.public_id}"

    @property
    def original_key(self) -> str:
        """The media key of the file as the browser sent it."""
        return f"{self.folder}/original"

    @property
    def playable_key(self) -> str:
        """The media key of the file to watch: the copy, or the original until the copy exists."""
        return f"{self.folder}/playable" if self.state == READY else self.original_key

    @property
    def copy_key(self) -> str:
        """The media key of the copy that has an index, so that players can seek."""
        return f"{self.folder}/playable"

    @property
    def poster_key(self) -> str:
        return f"{self.folder}/poster.jpg"


class Rating(Base):
    """The rating of one answer. A new rating of the question replaces the old one."""

    __tablename__ = "ratings"
    __table_args__ = (UniqueConstraint("order_id", "question"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    value: Mapped[int]
    note: Mapped[str] = mapped_column(Text, default="")
    actor: Mapped[str] = mapped_column(String(254))
    rated_at: Mapped[datetime]
    interview: Mapped[TimedOrder] = relationship("Interview", back_populates="ratings")
