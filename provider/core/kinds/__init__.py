"""The registry of kinds. Each kind describes itself in `kind.py` of its own folder."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core import labels
from provider.core.kinds.assessment.kind import KIND as ASSESSMENT
from provider.core.kinds.base import Kind
from provider.core.kinds.check.kind import KIND as CHECK
from provider.core.kinds.interview.kind import KIND as INTERVIEW
from provider.core.orders import COUNT_ORDERS, EXPIRE_ORDERS, SEND_REMINDERS
from provider.core.orders.bulk_runner import DROP_OLD_BULK_RUNS, PERFORM_BULK_RUNS
from provider.core.orders.states import NOBODY, STAFF
from provider.core.products import Product, ProductVersion
from provider.core.products.documents import Document, content_digest, validate
from provider.core.scheduled import ScheduledWork
from provider.errors import DocumentError
from provider.storage.database import acquire_advisory_lock

KINDS: dict[str, Kind] = {}


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

# The works of all orders, and those of single kinds. Several kinds may name the same work.
SCHEDULED_WORKS: tuple[ScheduledWork, ...] = (
    EXPIRE_ORDERS,
    SEND_REMINDERS,
    COUNT_ORDERS,
    PERFORM_BULK_RUNS,
    DROP_OLD_BULK_RUNS,
    *dict.fromkeys(work for kind in KINDS.values() for work in kind.scheduled_works),
)


def waited_for_values() -> set[str]:
    """Return all values of `Order.waiting_for` that orders of the registered kinds can have."""
    # Every order may wait for the staff to decide about an accommodation.
    return {NOBODY, STAFF} | {
        state.first_waited_for
        for kind in KINDS.values()
        for state in kind.order_class.progress_table.values()
    }


def document_warnings(document: Document) -> list[str]:
    """Return what is allowed in a document and probably not meant, with file, line and path.

    Raises Invalid as `import_document` does.
    """
    kind = _find_kind(document)
    content = validate(document, kind.schema)
    return [document.describe(warning) for warning in kind.find_warnings(content)]


def import_document(
    session: Session, document: Document, now: datetime
) -> tuple[Product, ProductVersion | None]:
    """Import a product document as a draft version.

    Returns the product and the new version. The version is None when the newest version has the
    same content. Raises Invalid with the file, the line and the path of an error.
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
        version = product.add_version(
            session, document.content, content_digest(document.content), now
        )
    except DocumentError as error:
        raise document.error_at(error.path, error.problem) from error
    product.name = document.name
    return product, version


def _find_kind(document: Document) -> Kind:
    kind = KINDS.get(document.kind)
    if kind is None:
        raise document.error_at("kind", f"should be one of {', '.join(KINDS)}")
    return kind
