"""The tables of the recordings of an interview, of their captions, and of notes at a time."""

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
    time_notes: Mapped[list["TimeNote"]] = relationship(
        back_populates="recording", order_by="(TimeNote.seconds, TimeNote.id)"
    )
    caption: Mapped["Caption | None"] = relationship(back_populates="recording")

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


class TimeNote(Base):
    """A note of one reviewer (`actor`) at `seconds` of a recording. No report shows it."""

    __tablename__ = "time_notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    recording_id: Mapped[int] = mapped_column(ForeignKey("recordings.id"), index=True)
    seconds: Mapped[float]
    text: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime]
    recording: Mapped[Recording] = relationship(back_populates="time_notes")


class Caption(Base):
    """The captions of a recording. `source` is STAFF, or the name of a transcription engine.

    `text` is WebVTT that `normalise` wrote. `save_number` counts the saves.
    """

    __tablename__ = "captions"

    id: Mapped[int] = mapped_column(primary_key=True)
    recording_id: Mapped[int] = mapped_column(ForeignKey("recordings.id"), unique=True)
    language: Mapped[str] = mapped_column(String(35))
    text: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(254))
    saved_at: Mapped[datetime]
    save_number: Mapped[int] = mapped_column(default=0)
    recording: Mapped[Recording] = relationship(back_populates="caption")
