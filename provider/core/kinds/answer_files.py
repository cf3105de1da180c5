"""The files that candidates sent as answers: their table, and their place in media storage.

Every kind whose questions take files uses them.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, exists, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.kinds.base import KindMedia, MediaReference
from provider.core.orders import Order, TimedOrder
from provider.errors import Conflict, Gone, NotFound
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.media import StoredFile

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
    """A file that a candidate sent as an answer. `item_key` is the key of the item or question.

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


def add_file(
    session: Session,
    order: TimedOrder,
    item_key: str,
    public_id: str,
    name: str,
    content_type: str,
    stored_file: StoredFile,
    now: datetime,
) -> dict[str, Any]:
    """Add a file that is in media storage; return it as the value of an answer.

    Raises Conflict after too many others of this attempt. The caller then deletes the file.
    """
    # The files of earlier attempts do not count.
    of_order = select(func.count(AnswerFile.id)).where(
        AnswerFile.order_id == order.id, AnswerFile.created_at >= order.started_at
    )
    if (session.scalar(of_order) or 0) >= MAX_FILES:
        raise Conflict("You have sent too many files. The last one that was saved counts")
    file = AnswerFile(
        public_id=public_id,
        order_id=order.id,
        item_key=item_key,
        name=name[:MAX_NAME_LENGTH],
        type=content_type,
        size=stored_file.size,
        sha256=stored_file.sha256,
        is_deleted=False,
        created_at=now,
    )
    session.add(file)
    return {"file": public_id, "name": file.name, "type": file.type, "size": file.size}


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


IS_STORED = exists().where(AnswerFile.order_id == Order.id, ~AnswerFile.is_deleted)


def list_folders(session: Session, order: Order) -> Iterator[str]:
    """Yield the folder of each file of an order."""
    for file in session.scalars(select(AnswerFile).where(AnswerFile.order_id == order.id)):
        yield file.folder


def forget(session: Session, order: Order) -> None:
    """Mark the files of an order as deleted."""
    of_order = AnswerFile.order_id == order.id
    session.execute(update(AnswerFile).where(of_order).values(is_deleted=True))


MEDIA = KindMedia(
    re.compile(rf"{FOLDER}/([\w-]{{22}})/original", re.ASCII),
    AnswerFile.public_id,
    _list_references,
    list_folders,
    IS_STORED,
    forget,
)
