"""The table of files that a browser is sending in pieces as answers, and their clean-up.

A file is announced with its size and SHA-256, and then sent in pieces. Each piece is a file of its
own in media storage. The last piece completes the file: see `file_answers.py`. The scheduled work
deletes what was never completed.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Select,
    String,
    UniqueConstraint,
    or_,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.orders import Order
from provider.core.orders.states import PENDING, STARTED
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.errors import Conflict, NotFound
from provider.storage import secrets
from provider.storage.database import Base, Database
from provider.storage.media import MediaStore, StoredFile

FOLDER = "answer-uploads"  # in media storage: FOLDER/UPLOAD/PIECE
MAX_NAME_LENGTH = 200  # characters
ABANDONED_AFTER = timedelta(days=1)  # since the last piece
KEY_PATTERN = re.compile(rf"{FOLDER}/([\w-]{{22}})/[\w-]{{22}}", re.ASCII)


class AnswerUpload(Base):
    """A file of which `received` bytes of `size` have arrived, without a gap.

    `pieces` are pairs of media key and size. `number` is that of the answer: see GivenTime. `type`
    is known after the first piece.
    """

    __tablename__ = "answer_uploads"
    __table_args__ = (UniqueConstraint("order_id", "item_key", "sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    item_key: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(MAX_NAME_LENGTH))
    type: Mapped[str] = mapped_column(String(50), default="")
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    number: Mapped[int | None] = mapped_column(BigInteger)
    given_at: Mapped[datetime]
    received: Mapped[int] = mapped_column(default=0)
    pieces: Mapped[list[list[Any]]] = mapped_column(JSON, default=list)
    received_at: Mapped[datetime]

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.public_id}"

    @property
    def announced(self) -> StoredFile:
        return StoredFile(self.size, self.sha256)

    def next_piece_key(self) -> str:
        """Return a new media key: two tabs may send the same piece at the same time."""
        return f"{self.folder}/{secrets.generate_public_id()}"

    def require_next_piece(self, start: int) -> None:
        if start != self.received:
            raise WrongOffset(self.received)

    def add_piece(self, start: int, size: int, media_key: str, now: datetime) -> None:
        self.require_next_piece(start)
        self.pieces = [*self.pieces, [media_key, size]]
        self.received, self.received_at = start + size, now


class WrongOffset(Conflict):
    """A piece that does not begin where the received bytes end, at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__("The piece begins at another place than expected")
        self.offset = offset


def find_upload(session: Session, order: Order, public_id: str) -> AnswerUpload:
    """Return an upload of this order. Raises NotFound, also for one that is completed."""
    upload = session.scalar(
        select(AnswerUpload).where(
            AnswerUpload.public_id == public_id, AnswerUpload.order_id == order.id
        )
    )
    if upload is None:
        raise NotFound("There is no such upload")
    return upload


def list_uploads(session: Session, order: Order) -> Sequence[AnswerUpload]:
    return session.scalars(select(AnswerUpload).where(AnswerUpload.order_id == order.id)).all()


def discard(db: Database, media: MediaStore, public_id: str) -> None:
    """Delete an upload and its pieces. Raises Unavailable; then the scheduled work repeats it.

    The files go first: a row that is left over still names its files.
    """
    media.delete_folder(f"{FOLDER}/{public_id}")
    with db.writing() as session:
        upload = session.scalar(select(AnswerUpload).where(AnswerUpload.public_id == public_id))
        if upload is not None:
            session.delete(upload)


def _discard_abandoned(context: WorkContext) -> None:
    idle_since = context.now() - ABANDONED_AFTER
    with context.db.reading() as session:
        abandoned = session.scalars(_abandoned_ids(idle_since)).all()
    for public_id in abandoned:
        discard(context.db, context.media, public_id)
    # A crash may have left a piece without a row.
    for key, _ in context.media.list_files(idle_since, folder=FOLDER):
        if match := KEY_PATTERN.fullmatch(key):
            with context.db.reading() as session:
                query = select(AnswerUpload.id).where(AnswerUpload.public_id == match[1])
                is_known = session.scalar(query) is not None
            if not is_known:
                context.media.delete(key)


def _has_abandoned(session: Session, now: datetime) -> bool:
    return session.scalar(_abandoned_ids(now - ABANDONED_AFTER).limit(1)) is not None


def _abandoned_ids(idle_since: datetime) -> Select[Any]:
    return (
        select(AnswerUpload.public_id)
        .join(Order, Order.id == AnswerUpload.order_id)
        .where(
            or_(
                AnswerUpload.received_at <= idle_since,
                Order.status != PENDING,
                Order.progress != STARTED,
            )
        )
    )


DISCARD_ABANDONED_FILES = ScheduledWork(
    "discard_abandoned_answer_files",
    every=timedelta(hours=1),
    run=_discard_abandoned,
    is_needed=_has_abandoned,
)
