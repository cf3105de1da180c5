"""What candidates and staff do with the documents of a check."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy.orm import Session

from provider.core.kinds.check.candidate_wait import end_wait
from provider.core.kinds.check.document_reading import clamd
from provider.core.kinds.check.document_reading.document_pages import draw_pages, require_type
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.needed_documents import find_missing, needed_slots
from provider.core.kinds.check.packages.document_slots import DOCUMENT_LABELS, DOCUMENT_SLOTS
from provider.core.kinds.check.tables.check_document import (
    DELETED,
    DISPUTE_SLOT,
    FOLDER,
    RECEIVED,
    UNREADABLE,
    CheckDocument,
    list_documents,
    store_pages,
)
from provider.core.kinds.check.tables.screening_task import ASKED
from provider.core.orders.states import CONSENTED, PENDING
from provider.errors import Conflict, Invalid, NotFound, Unavailable
from provider.storage import secrets
from provider.storage.media import MediaStore
from provider.storage.secrets import SecretBox
from provider.texts import Text

MAX_FILES = 10  # of one check
NEW_DOCUMENT_EMAIL = "document"  # the template


@dataclass(frozen=True)
class StoredUpload:
    """A document whose pages are in media storage, and which has no row yet."""

    public_id: str
    pages: list[dict[str, Any]]
    upload_size: int
    upload_sha256: str

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.public_id}"

    def build_row(self, check: Check, now: datetime, **fields: Any) -> CheckDocument:
        """Return the row of the document; `fields` say what it is for."""
        return CheckDocument(
            public_id=self.public_id,
            order_id=check.id,
            page_count=len(self.pages),
            pages=self.pages,
            upload_size=self.upload_size,
            upload_sha256=self.upload_sha256,
            state=RECEIVED,
            created_at=now,
            **fields,
        )


def open_slots(check: Check) -> dict[str, list[Text]]:
    """Return the slots for which the candidate may send documents now, with the reasons.

    These are all slots before the consent, and then those that an open question asks for, and those
    of the screenings that wait for her without a question.
    """
    if check.status == PENDING:
        return needed_slots(check.screenings)
    if check.status != CONSENTED:
        return {}
    questions = [question for question in check.questions if question.is_open]
    asked_keys = {task.key for task in check.tasks if task.state == ASKED}
    asked_keys -= {question.screening for question in questions}
    slots = needed_slots(entry for entry in check.screenings if entry.key in asked_keys)
    for question in questions:
        slots |= {name: [] for name in question.documents if name not in slots}
    return {name: slots[name] for name in DOCUMENT_SLOTS if name in slots}


def require_open_slot(check: Check, slot: str, given_at: datetime) -> None:
    """Raise Conflict unless the candidate may change the documents of a slot; NotFound."""
    if check.status == PENDING:
        check.require_open(given_at)
    if slot not in open_slots(check):
        known = {name for question in check.questions for name in question.documents}
        if slot not in known | needed_slots(check.screenings).keys():
            raise NotFound("There is no such page")
        raise Conflict("No document is asked of you just now")


def stored_documents(session: Session, check: Check) -> Sequence[CheckDocument]:
    """Return the documents for the screenings of a check whose pages are stored."""
    return [
        entry
        for entry in list_documents(session, check)
        if entry.state != DELETED and entry.slot != DISPUTE_SLOT
    ]


def missing_slots(session: Session, check: Check) -> list[str]:
    """Return the open slots for which no readable document has been sent."""
    return find_missing(open_slots(check), stored_documents(session, check))


def require_label(slot: str, label: str) -> None:
    """Raise Invalid unless a label says which document of the slot's choice a file shows."""
    labels = DOCUMENT_LABELS.get(slot, {})
    if bool(labels) != bool(label) or (labels and label not in labels):
        raise Invalid("Please choose which document this is")


@contextmanager
def stored_upload(
    content: bytes, media: MediaStore, secret_box: SecretBox, clamd_address: str | None
) -> Iterator[StoredUpload]:
    """Scan and clean a document and store its pages; an error in the block deletes them again.

    Raises Invalid for a document that is refused, and Unavailable.
    """
    content_type = require_type(content)
    if clamd_address:
        clamd.scan(content, clamd_address)
    pages = draw_pages(content, content_type)
    public_id = secrets.generate_public_id()
    try:
        rows = store_pages(media, secret_box, public_id, pages)
        yield StoredUpload(public_id, rows, len(content), sha256(content).hexdigest())
    except BaseException:
        with suppress(Unavailable):  # DISCARD_LOST_DOCUMENTS deletes them later
            media.delete_folder(f"{FOLDER}/{public_id}")
        raise


def find_document(session: Session, check: Check, public_id: str) -> CheckDocument:
    """Return a document of a check whose pages are stored, for any use. Raises NotFound."""
    for document in list_documents(session, check):
        if document.public_id == public_id and document.state != DELETED:
            return document
    raise NotFound("There is no such document")


def require_room(documents: Sequence[CheckDocument], slot: str, replaced_id: str = "") -> None:
    """Raise Invalid when a check or a slot has its largest number of files."""
    others = [entry for entry in documents if entry.public_id != replaced_id]
    if len(others) >= MAX_FILES:
        raise Invalid("You have sent %(maximum)d files. Remove one first", maximum=MAX_FILES)
    max_files = DOCUMENT_SLOTS[slot].max_files
    if sum(entry.slot == slot for entry in others) >= max_files:
        raise Invalid("You have sent %(maximum)d files. Remove one first", maximum=max_files)


def add_document(
    session: Session,
    check: Check,
    slot: str,
    label: str,
    upload: StoredUpload,
    now: datetime,
    *,
    replaced_id: str = "",
) -> list[str]:
    """Add a document whose pages are stored, in place of another one if `replaced_id` names it.

    Returns the media folders to delete after the commit: that of the replaced document, or that
    of the new one if the same file was sent before. The caller has checked the slot.
    """
    documents = stored_documents(session, check)
    if any(
        (entry.slot, entry.label, entry.upload_sha256, entry.state)
        == (slot, label, upload.upload_sha256, RECEIVED)
        for entry in documents
    ):
        return [upload.folder]
    require_room(documents, slot, replaced_id)
    folders = [remove_document(session, check, replaced_id, now)] if replaced_id else []
    numbers = {
        entry.number for entry in documents if entry.slot == slot and entry.public_id != replaced_id
    }
    number = next(number for number in range(1, MAX_FILES + 1) if number not in numbers)
    document = upload.build_row(check, now, slot=slot, number=number, label=label)
    session.add(document)
    note = describe_use(check, document)
    check.record_event(session, "document sent", "candidate", now, note)
    return folders


def remove_document(session: Session, check: Check, public_id: str, now: datetime) -> str:
    """Delete the row of a document; return the media folder to delete after the commit."""
    document = find_document(session, check, public_id)
    if not document.is_draft:
        note = describe_use(check, document)
        check.record_event(session, "document removed", "candidate", now, note)
    session.delete(document)
    session.flush()
    return document.folder


def describe_use(check: Check, document: CheckDocument) -> str:
    """Return what a document is for, as the staff read it, and the number of its file."""
    if document.slot == DISPUTE_SLOT:
        use = f"Dispute: {check.find_screening(document.screening).name}"
    else:
        use = DOCUMENT_SLOTS[document.slot].label.english
    return f"{use}, file {document.number}"


def ask_again(
    session: Session, check: Check, document: CheckDocument, actor: str, now: datetime
) -> None:
    """Mark a document as not readable, and let its screenings wait for another one.

    Raises Conflict when no open screening needs it.
    """
    screenings = {entry.key: entry for entry in check.screenings}
    tasks = [
        task
        for task in check.tasks
        if task.is_open and document.slot in screenings[task.key].documents
    ]
    if check.status != CONSENTED or not tasks or document.state != RECEIVED:
        raise Conflict("No screening at work needs another document of this kind")
    document.state = UNREADABLE
    for task in tasks:
        task.state = ASKED
        task.stop_clock(now)
    note = describe_use(check, document)
    check.record_event(session, "document refused", actor, now, note)
    check.update_progress(session)
    check.enqueue_email(session, NEW_DOCUMENT_EMAIL, now)


def finish_documents(session: Session, check: Check, now: datetime) -> None:
    """Give the screenings that waited for documents back to the staff.

    Raises Invalid while a document is missing.
    """
    if missing_slots(session, check) and check.status == CONSENTED:
        raise Invalid("Please send every document that is asked for")
    screenings = {entry.key: entry for entry in check.screenings}
    tasks = [task for task in check.tasks if task.state == ASKED and screenings[task.key].documents]
    end_wait(session, check, tasks, now)
    if all(task.state == ASKED for task in tasks):
        return
    check.record_event(session, "documents complete", "candidate", now)
