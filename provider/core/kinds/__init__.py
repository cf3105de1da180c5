"""The registry of kinds. A kind is a subclass of Product, a subclass of Order and a schema."""

from dataclasses import dataclass
from datetime import datetime

from marshmallow import Schema
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.kinds import assessment, check, interview
from provider.core.kinds.assessment import Assessment, Test
from provider.core.kinds.check import Check, Package
from provider.core.kinds.interview import Interview, InterviewTemplate
from provider.core.orders import (
    Order,
    close_overdue_orders,
    expire_overdue_orders,
    has_orders_to_close,
    has_orders_to_expire,
)
from provider.core.products import Product, ProductVersion
from provider.core.products.documents import Document, content_digest, validate
from provider.errors import DocumentError
from provider.storage.database import acquire_advisory_lock
from provider.storage.secrets import SecretBox


@dataclass(frozen=True)
class Kind:
    """The classes of one kind, and the schema of its product documents."""

    product_class: type[Product]
    order_class: type[Order]
    schema: Schema


KINDS: dict[str, Kind] = {
    "assessment": Kind(Test, Assessment, assessment.content.SCHEMA),
    "interview": Kind(InterviewTemplate, Interview, interview.content.SCHEMA),
    "check": Kind(Package, Check, check.content.SCHEMA),
}


def import_document(
    session: Session, document: Document, now: datetime
) -> tuple[Product, ProductVersion | None]:
    """Import a product document as a draft version.

    Returns the product and the new version. The version is None when the newest version has the
    same content. Raises Invalid with the file, the line and the path of an error.
    """
    kind = KINDS.get(document.kind)
    if kind is None:
        raise document.error_at("kind", f"should be one of {', '.join(KINDS)}")
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


def has_overdue(session: Session, now: datetime) -> bool:
    """Tell whether `apply_deadlines` has work to do. This is a read: it takes no write lock."""
    return has_orders_to_expire(session, now) or has_orders_to_close(session, now)


def apply_deadlines(session: Session, secret_box: SecretBox, now: datetime) -> int:
    """Expire one batch of orders and close one batch of attempts. Returns the number of orders."""
    return expire_overdue_orders(session, now) + close_overdue_orders(session, secret_box, now)
