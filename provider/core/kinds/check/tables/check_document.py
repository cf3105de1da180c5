"""The documents that candidates send: their table, and their pages in media storage.

Only pictures of the pages are stored, each encrypted for its media key. The row is written after
the files, and deleted before them: a crash in between leaves files without a row, which are
collected.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, exists, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.kinds.base import FileRenewal, KindMedia, MediaReference
from provider.core.kinds.check.document_reading.document_pages import DrawnPage
from provider.core.orders import Order
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.errors import NotFound, Unavailable
from provider.storage import secrets
from provider.storage.database import Base, Database
from provider.storage.encrypted_files import put_encrypted, read_encrypted, renew_encrypted
from provider.storage.media import MediaStore, StoredFile
from provider.storage.secrets import SecretBox

FOLDER = "check-documents"  # in media storage: FOLDER/ID/page-1, FOLDER/ID/small-1
PAGE, SMALL_PAGE = "page", "small"
DISPUTE_SLOT = "dispute"  # of documents with a dispute; no package can ask for it
# The states of a document. The file of a deleted one is gone.
RECEIVED, UNREADABLE, DELETED = "received", "unreadable", "deleted"
DOCUMENT_STATES = {
    RECEIVED: "Received",
    UNREADABLE: "Not readable",
    DELETED: "Deleted: the time of its storage is over",
}
KEY_PATTERN = re.compile(rf"{FOLDER}/([\w-]{{22}})/(?:{PAGE}|{SMALL_PAGE})-\d{{1,3}}", re.ASCII)
# Files without a row are deleted when they are older: the files are stored before their row.
UNREFERENCED_AFTER = timedelta(days=1)


class CheckDocument(Base):
    """A file that a candidate sent for `slot`, as its `number`th file.

    `slot` is a name of DOCUMENT_SLOTS, or DISPUTE_SLOT. `screening` is then the key of the disputed
    screening, and `dispute` the public id of the dispute; it is empty until the dispute is sent.
    `label` is a name of the slot's DOCUMENT_LABELS, if it has some. `pages` has of each page
    `width` and `height` in pixels, and `size` in bytes and `sha256` of its encrypted picture.
    """

    __tablename__ = "check_documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    slot: Mapped[str] = mapped_column(String(30))
    screening: Mapped[str] = mapped_column(String(64), default="", server_default="")
    dispute: Mapped[str] = mapped_column(String(22), default="", server_default="")
    number: Mapped[int]
    label: Mapped[str] = mapped_column(String(30), default="")
    page_count: Mapped[int]
    pages: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    upload_size: Mapped[int]  # in bytes
    upload_sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(12), default=RECEIVED)
    created_at: Mapped[datetime]

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.public_id}"

    @property
    def is_draft(self) -> bool:
        """Whether the candidate has not sent the dispute yet; the staff do not see it then."""
        return self.slot == DISPUTE_SLOT and not self.dispute

    def page_key(self, number: int, variant: str = PAGE) -> str:
        return page_key(self.public_id, number, variant)


def page_key(public_id: str, number: int, variant: str = PAGE) -> str:
    """Return the media key of a page, whose number begins with 1."""
    return f"{FOLDER}/{public_id}/{variant}-{number}"


def list_documents(session: Session, order: Order) -> Sequence[CheckDocument]:
    """Return the documents of a check, also deleted ones, in the order of their arrival."""
    query = select(CheckDocument).where(CheckDocument.order_id == order.id)
    return session.scalars(query.order_by(CheckDocument.id)).all()


def list_dispute_documents(
    session: Session, order: Order, screening: str, dispute: str = ""
) -> list[CheckDocument]:
    """Return the stored documents with a dispute; without its public id, those not sent yet."""
    return [
        document
        for document in list_documents(session, order)
        if document.state != DELETED
        and (document.slot, document.screening, document.dispute)
        == (DISPUTE_SLOT, screening, dispute)
    ]


def store_pages(
    media: MediaStore, secret_box: SecretBox, public_id: str, pages: Sequence[DrawnPage]
) -> list[dict[str, Any]]:
    """Store the pages of a document, encrypted; return the value of `CheckDocument.pages`."""
    media.require_free_space()
    rows = []
    for number, page in enumerate(pages, 1):
        for variant, picture in ((SMALL_PAGE, page.small_picture), (PAGE, page.picture)):
            key = page_key(public_id, number, variant)
            stored = put_encrypted(media, secret_box, key, picture)
        rows.append({"width": page.width, "height": page.height, **asdict(stored)})
    return rows


def read_page(media: MediaStore, secret_box: SecretBox, key: str) -> bytes:
    """Return the picture of a page as JPEG. Raises NotFound, and Unavailable."""
    return read_encrypted(media, secret_box, key)


def _list_references(session: Session) -> Iterator[MediaReference]:
    query = select(CheckDocument).where(CheckDocument.state != DELETED).order_by(CheckDocument.id)
    for document in session.scalars(query.execution_options(yield_per=1000)):
        for number, page in enumerate(document.pages, 1):
            yield MediaReference(document.page_key(number), page["sha256"])
            yield MediaReference(document.page_key(number, SMALL_PAGE))


def _list_folders(session: Session, order: Order) -> Iterator[str]:
    for document in list_documents(session, order):
        yield document.folder


def _forget(session: Session, order: Order) -> None:
    of_order = CheckDocument.order_id == order.id
    session.execute(update(CheckDocument).where(of_order).values(state=DELETED))


def _has_documents(session: Session, _now: datetime) -> bool:
    return session.scalar(select(CheckDocument.id).limit(1)) is not None


def _delete_unreferenced_files(context: WorkContext) -> None:
    modified_before = context.now() - UNREFERENCED_AFTER
    for key, _ in context.media.list_files(modified_before, folder=FOLDER):
        if match := KEY_PATTERN.fullmatch(key):
            stored = CheckDocument.public_id == match[1], CheckDocument.state != DELETED
            with context.db.reading() as session:
                is_needed = session.scalar(select(CheckDocument.id).where(*stored)) is not None
            if not is_needed:
                context.media.delete(key)


def _renew_files(
    db: Database, media: MediaStore, secret_box: SecretBox, public_id: str
) -> FileRenewal:
    """Encrypt the pages of a document anew.

    The small pages come last: until then a crash leaves one with an old key, so that the next run
    finds the document, and corrects the digests in its row. So does a page that failed.
    """
    renewal = FileRenewal()
    document = _find_stored(db, public_id)
    if document is None:
        return renewal
    pages = [dict(page) for page in document.pages]
    renewed = []
    for number, page in enumerate(pages, 1):
        if stored := _renew_page(media, secret_box, document.page_key(number), renewal):
            page.update(asdict(stored))
            renewed.append(number)
    with db.writing() as session:
        row = session.get(CheckDocument, document.id, with_for_update=True)
        if row and row.state != DELETED:
            row.pages = pages
    renewal.failed += len(pages) - len(renewed)  # the small pages that wait for theirs
    for number in renewed:
        _renew_page(media, secret_box, document.page_key(number, SMALL_PAGE), renewal)
    if _find_stored(db, public_id) is None:
        media.delete_folder(document.folder)  # deleted meanwhile: the new files must go, too
        renewal.failed = 0
    return renewal


def _find_stored(db: Database, public_id: str) -> CheckDocument | None:
    query = select(CheckDocument).where(
        CheckDocument.public_id == public_id, CheckDocument.state != DELETED
    )
    with db.reading() as session:
        return session.scalar(query)


def _renew_page(
    media: MediaStore, secret_box: SecretBox, key: str, renewal: FileRenewal
) -> StoredFile | None:
    """Return the page with the first key; None if it cannot be decrypted or read."""
    try:
        stored, is_new = renew_encrypted(media, secret_box, key)
    except (NotFound, Unavailable):
        renewal.failed += 1
        return None
    renewal.renewed += is_new
    return stored


MEDIA = KindMedia(
    KEY_PATTERN,
    CheckDocument.public_id,
    _list_references,
    _list_folders,
    exists().where(CheckDocument.order_id == Order.id, CheckDocument.state != DELETED),
    _forget,
    renew_files=_renew_files,
)
DISCARD_LOST_DOCUMENTS = ScheduledWork(
    "discard_lost_documents",
    every=timedelta(hours=6),
    run=_delete_unreferenced_files,
    is_needed=_has_documents,
)
