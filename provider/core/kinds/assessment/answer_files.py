"""The table of the files that candidates sent as answers, and their place in media storage."""

import re
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ForeignKey, String, exists, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.kinds.assessment.answer_uploads import list_uploads
from provider.core.kinds.base import KindMedia, MediaReference
from provider.core.orders import Order
from provider.errors import Gone, NotFound
from provider.storage import secrets
from provider.storage.database import Base

FOLDER = "answer-files"  # in media storage: FOLDER/ID/original
MAX_FILES = 50  # of one attempt; a candidate may send a file again
MAX_NAME_LENGTH = 200  # characters
EXTENSIONS = {
    "application/pdf": "pdf",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
}


class AnswerFile(Base):
    """A file that a candidate sent as the answer to an item.

    A newer file of the same item, and a removed answer, leave it: an earlier result may name it.
    The file of a deleted one is gone, because the time of its storage was over.
    """

    __tablename__ = "answer_files"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    item_key: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(MAX_NAME_LENGTH))
    type: Mapped[str] = mapped_column(String(50))
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    is_deleted: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.public_id}"

    @property
    def media_key(self) -> str:
        return media_key(self.public_id)

    @property
    def extension(self) -> str:
        return EXTENSIONS[self.type]


def media_key(public_id: str) -> str:
    """Return the media key of an answer's file."""
    return f"{FOLDER}/{public_id}/original"


def find_file(session: Session, order: Order, public_id: str) -> AnswerFile:
    """Return a file of an order. Raises NotFound, and Gone for a deleted one."""
    file = session.scalar(
        select(AnswerFile).where(AnswerFile.order_id == order.id, AnswerFile.public_id == public_id)
    )
    if file is None:
        raise NotFound("There is no such file")
    if file.is_deleted:
        raise Gone("This file was deleted: the time of its storage is over")
    return file


def _list_references(session: Session) -> Iterator[MediaReference]:
    query = select(AnswerFile).where(~AnswerFile.is_deleted).order_by(AnswerFile.id)
    for file in session.scalars(query.execution_options(yield_per=1000)):
        yield MediaReference(file.media_key, file.sha256)


def _list_folders(session: Session, order: Order) -> Iterator[str]:
    for file in session.scalars(select(AnswerFile).where(AnswerFile.order_id == order.id)):
        yield file.folder
    for upload in list_uploads(session, order):
        yield upload.folder


def _forget(session: Session, order: Order) -> None:
    of_order = AnswerFile.order_id == order.id
    session.execute(update(AnswerFile).where(of_order).values(is_deleted=True))


MEDIA = KindMedia(
    re.compile(rf"{FOLDER}/([\w-]{{22}})/original", re.ASCII),
    AnswerFile.public_id,
    _list_references,
    _list_folders,
    exists().where(AnswerFile.order_id == Order.id, ~AnswerFile.is_deleted),
    _forget,
)
