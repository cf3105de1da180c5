"""The documents that a candidate sends with a dispute, before she sends it and while it is open.

The staff see them once the dispute is sent.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from provider.core.kinds.check.disputes import find_disputable, find_open_dispute
from provider.core.kinds.check.documents import StoredUpload, describe_use, remove_document
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.tables.check_document import (
    DISPUTE_SLOT,
    CheckDocument,
    list_dispute_documents,
)
from provider.errors import Invalid, NotFound

MAX_DISPUTE_FILES = 5  # of one dispute


def current_documents(session: Session, check: Check, screening: str) -> list[CheckDocument]:
    """Return the documents of the open dispute of a screening, or of the one that is being written.

    Raises NotFound and Conflict as `find_disputable` does.
    """
    find_disputable(check, screening)
    dispute = find_open_dispute(check, screening)
    dispute_id = dispute.public_id if dispute else ""
    return list_dispute_documents(session, check, screening, dispute_id)


def require_dispute_room(documents: Sequence[CheckDocument]) -> None:
    """Raise Invalid when a dispute has its largest number of files."""
    if len(documents) >= MAX_DISPUTE_FILES:
        maximum = MAX_DISPUTE_FILES
        raise Invalid("You have sent %(maximum)d files. Remove one first", maximum=maximum)


def add_dispute_document(
    session: Session, check: Check, screening: str, upload: StoredUpload, now: datetime
) -> list[str]:
    """Add a document whose pages are stored. The caller has locked the check.

    Returns the media folders to delete after the commit: that of the upload, if the same file was
    sent before. Raises NotFound and Conflict as `find_disputable` does.
    """
    documents = current_documents(session, check, screening)
    if any(entry.upload_sha256 == upload.upload_sha256 for entry in documents):
        return [upload.folder]
    require_dispute_room(documents)
    numbers = {entry.number for entry in documents}
    dispute = find_open_dispute(check, screening)
    document = upload.build_row(
        check,
        now,
        slot=DISPUTE_SLOT,
        screening=screening,
        dispute=dispute.public_id if dispute else "",
        number=next(n for n in range(1, MAX_DISPUTE_FILES + 1) if n not in numbers),
    )
    session.add(document)
    if dispute:
        note = describe_use(check, document)
        check.record_event(session, "document sent", "candidate", now, note)
    session.flush()
    return []


def remove_dispute_document(
    session: Session, check: Check, screening: str, document_id: str, now: datetime
) -> str:
    """Delete the row of a document; return the media folder to delete after the commit.

    Raises NotFound for a document of another dispute, also of one that has ended.
    """
    for document in current_documents(session, check, screening):
        if document.public_id == document_id:
            return remove_document(session, check, document_id, now)
    raise NotFound("There is no such document")
