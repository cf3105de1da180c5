"""What can be ordered: each kind is a Product and an Order subclass, and nothing more."""

from dataclasses import dataclass
from datetime import datetime

from marshmallow import Schema
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.db import in_turn
from provider.errors import Misplaced
from provider.kinds import assessment, check, interview
from provider.kinds.assessment import Assessment, Test
from provider.kinds.check import Check, Package
from provider.kinds.document import Document, digest, validate
from provider.kinds.interview import Interview, InterviewTemplate
from provider.orders import (
    Order,
    Product,
    Version,
    close_due,
    expire_due,
    expiry_due,
    sitting_due,
)
from provider.vault import Vault


@dataclass(frozen=True)
class Kind:
    """A kind's two classes and the shape of its product documents."""

    product: type[Product]
    order: type[Order]
    shape: Schema


KINDS: dict[str, Kind] = {
    "assessment": Kind(Test, Assessment, assessment.content.SCHEMA),
    "interview": Kind(InterviewTemplate, Interview, interview.content.SCHEMA),
    "check": Kind(Package, Check, check.content.SCHEMA),
}


def keep(session: Session, document: Document, at: datetime) -> tuple[Product, Version | None]:
    """Import a product document as a draft version; the same again adds nothing (None)."""
    kind = KINDS.get(document.kind)
    if kind is None:
        raise document.error("kind", f"should be one of {', '.join(KINDS)}")
    validate(document, kind.shape)
    in_turn(session, "products")
    product = session.scalar(select(kind.product).where(kind.product.key == document.key))
    if product is None:
        product = kind.product(key=document.key, name=document.name, created_at=at)
        session.add(product)
    try:
        version = product.add_version(session, document.content, digest(document.content), at)
    except Misplaced as error:
        raise document.error(error.path, error.problem) from error
    product.name = document.name
    return product, version


def something_due(session: Session, at: datetime) -> bool:
    """Say whether `pass_time` would do anything, without writing."""
    return expiry_due(session, at) or sitting_due(session, at)


def pass_time(session: Session, keeper: Vault, at: datetime) -> int:
    """Do one batch of what the clock demands: expire, close sittings; return how much was done."""
    return expire_due(session, at) + close_due(session, keeper, at)
