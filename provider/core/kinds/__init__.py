"""The registry of kinds. Each kind describes itself in `kind.py` of its own folder."""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select, union_all
from sqlalchemy.orm import Session

from provider.core import labels
from provider.core.kinds.assessment.kind import KIND as ASSESSMENT
from provider.core.kinds.base import Kind, MediaReference, RecordedText, StoredMedia
from provider.core.kinds.check.kind import KIND as CHECK
from provider.core.kinds.interview.kind import KIND as INTERVIEW
from provider.core.orders import COUNT_ORDERS, EXPIRE_ORDERS, SEND_REMINDERS, StatusChange
from provider.core.orders.bulk_runner import DROP_OLD_BULK_RUNS, PERFORM_BULK_RUNS
from provider.core.orders.states import NOBODY, STAFF
from provider.core.products import Product, ProductVersion, files
from provider.core.products.documents import Document, content_digest, validate
from provider.core.products.draft import DraftFile
from provider.core.products.files import ProductFile
from provider.core.scheduled import ScheduledWork
from provider.errors import DocumentError, NotFound
from provider.storage.database import acquire_advisory_lock
from provider.storage.media import MediaStore

KINDS: dict[str, Kind] = {}
_DIGEST = re.compile("[0-9a-f]{64}")


def register(kind: Kind) -> None:
    """Add a kind to KINDS, and its labels to the program's."""
    KINDS[kind.name] = kind
    labels.add_labels("kind", {kind.name: kind.texts.label})
    labels.add_labels("product", {kind.name: kind.texts.product_label})
    for family, family_labels in kind.labels.items():
        labels.add_labels(family, family_labels)
    labels.add_tones(kind.tones)


for _kind in (ASSESSMENT, INTERVIEW, CHECK):
    register(_kind)


def follow_status(session: Session, change: StatusChange) -> None:
    """Tell a kind of a change of one of its orders; a subscriber of status changes."""
    follow = KINDS[change.order.kind].follow_status
    if follow:
        follow(session, change)


# The works of all orders, and those of single kinds. Several kinds may name the same work.
SCHEDULED_WORKS: tuple[ScheduledWork, ...] = (
    EXPIRE_ORDERS,
    SEND_REMINDERS,
    COUNT_ORDERS,
    PERFORM_BULK_RUNS,
    DROP_OLD_BULK_RUNS,
    *dict.fromkeys(work for kind in KINDS.values() for work in kind.scheduled_works),
)


def _list_product_files(session: Session) -> Iterator[MediaReference]:
    columns = _PRODUCT_FILES.sha256, _PRODUCT_FILES.type
    query = select(*columns).distinct().order_by(*columns)
    for digest, content_type in session.execute(query):
        yield MediaReference(files.media_key(digest), digest)
        if content_type in files.EXTENSIONS[files.VIDEO]:
            yield MediaReference(files.playable_key(digest))
            yield MediaReference(files.poster_key(digest))


# The SHA-256 and the type of every file that a version has or that an author added to a draft.
_PRODUCT_FILES = (
    union_all(
        select(ProductFile.sha256, ProductFile.type), select(DraftFile.sha256, DraftFile.type)
    )
    .subquery()
    .c
)
PRODUCT_MEDIA = StoredMedia(files.KEY_PATTERN, _PRODUCT_FILES.sha256, _list_product_files)


def list_stored_media() -> list[StoredMedia]:
    """Return the descriptions of all files that rows name: of orders, by kind, and of products."""
    return [*(kind.media for kind in KINDS.values() if kind.media), PRODUCT_MEDIA]


def waited_for_values() -> set[str]:
    """Return all values of `Order.waiting_for` that orders of the registered kinds can have."""
    # Every order may wait for the staff to decide about an accommodation.
    return {NOBODY, STAFF} | {
        state.first_waited_for
        for kind in KINDS.values()
        for state in kind.order_class.progress_table.values()
    }


def result_events() -> frozenset[str]:
    """Return the types of events and the topics of messages that tell of a result."""
    return frozenset().union(*(kind.result_events for kind in KINDS.values()))


def has_private_body(topic: str) -> bool:
    """Return whether the content of messages with this topic is not shown."""
    return any(topic in kind.private_topics for kind in KINDS.values())


def find_texts(session: Session, digest: str) -> list[RecordedText]:
    """Return the legal texts of all kinds with a SHA-256 in hex. Raises NotFound."""
    digest = digest.strip().lower()
    kinds = KINDS.values() if _DIGEST.fullmatch(digest) else ()
    texts = [text for kind in kinds for text in kind.find_texts(session, digest)]
    if not texts:
        raise NotFound("There is no legal text with this digest")
    return texts


def document_warnings(document: Document) -> list[str]:
    """Return what is allowed in a document and probably not meant, with file, line and path.

    Raises Invalid as `import_document` does.
    """
    kind = _find_kind(document)
    content = validate(document, kind.schema)
    return [document.describe(warning) for warning in kind.find_warnings(content)]


def store_files(document: Document, read: Callable[[str], bytes], media: MediaStore) -> Document:
    """Store the files that a document names, and return it with them.

    `read` returns a file by its name; it raises OSError or KeyError. Nothing is stored for a
    document without files. Raises Invalid as `import_document` does, and Unavailable.
    """
    kind = _find_kind(document)
    validate(document, kind.schema)
    content = deepcopy(document.content)
    try:
        stored_files = files.store_files(
            kind.find_file_slots(content), read, media, kind.prepare_video
        )
    except DocumentError as error:
        raise document.error_at(error.path, error.problem) from error
    return replace(document, content=content, files=stored_files)


def import_document(
    session: Session, document: Document, now: datetime
) -> tuple[Product, ProductVersion | None]:
    """Import a product document, whose files are stored, as a draft version.

    Returns the product and the new version. The version is None when the newest version has the
    same content and files. Raises Invalid with the file, the line and the path of an error.
    """
    kind = _find_kind(document)
    validate(document, kind.schema)
    acquire_advisory_lock(session, "products")
    product = session.scalar(
        select(kind.product_class).where(kind.product_class.key == document.key)
    )
    if product is None:
        product = kind.product_class(key=document.key, name=document.name, created_at=now)
        session.add(product)
    try:
        files.require_stored(kind.find_file_slots(document.content), document.files)
        digest = content_digest(document.content, document.files)
        version = product.add_version(session, document.content, digest, now)
    except DocumentError as error:
        raise document.error_at(error.path, error.problem) from error
    if version is not None:
        version.files = [ProductFile(**vars(file)) for file in document.files]
    product.name = document.name
    return product, version


def _find_kind(document: Document) -> Kind:
    kind = KINDS.get(document.kind)
    if kind is None:
        raise document.error_at("kind", f"should be one of {', '.join(KINDS)}")
    return kind
