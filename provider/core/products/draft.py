"""Drafts: the documents that authors edit in the console before they become versions.

A draft may be incomplete: its content is stored as it was written, and nothing validates it until
it is published. A product has at most one draft. Without one, authors edit the newest version, and
the first save creates the draft.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.products.documents import content_digest
from provider.core.products.product import Product
from provider.core.products.safe_yaml import MAX_DOCUMENT_BYTES
from provider.errors import Conflict, Invalid
from provider.storage.database import Base, acquire_advisory_lock

Content = Mapping[str, Any]


class Draft(Base):
    """The draft of a product. `content` is a document without its kind and key.

    `base_number` is the number of the newest version when the draft began, 0 without one. `number`
    counts the saves. `editor` is the e-mail address of the author who saved last.
    """

    __tablename__ = "drafts"

    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    base_number: Mapped[int]
    number: Mapped[int]
    editor: Mapped[str] = mapped_column(String(254))
    updated_at: Mapped[datetime]


class DraftFile(Base):
    """A file that an author added to the draft of a product; `draft_files.py` gives its name."""

    __tablename__ = "draft_files"
    __table_args__ = (UniqueConstraint("product_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    name: Mapped[str] = mapped_column(String(100))
    type: Mapped[str] = mapped_column(String(50))
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), index=True)


class EntryChanged(Conflict):
    """A colleague changed the part of the draft that is saved. `standing` is that part now."""

    def __init__(self, standing: Any, editor: str) -> None:
        by = f"{editor} changed" if editor else "Somebody changed"
        super().__init__(f"{by} this after you opened it, so nothing was saved")
        self.standing, self.editor = standing, editor


def find_draft(session: Session, product: Product) -> Draft | None:
    return session.get(Draft, product.id)


def working_content(session: Session, product: Product) -> dict[str, Any]:
    """Return what authors edit: the draft, or else the newest version, or else a name alone."""
    draft = find_draft(session, product)
    if draft:
        return draft.content
    return product.versions[-1].content if product.versions else {"name": product.name}


def change_draft(
    session: Session,
    product: Product,
    change: Callable[[Content], dict[str, Any]],
    editor: str,
    now: datetime,
) -> dict[str, Any]:
    """Store what `change` makes of the present content, and return it.

    Two authors take turns: each change is applied to the content that stands. Raises Invalid for
    a content that is too large to be imported.
    """
    acquire_advisory_lock(session, f"draft {product.id}")
    draft = session.get(Draft, product.id, populate_existing=True)
    present = draft.content if draft else working_content(session, product)
    content = change(present)
    if content_digest(content) == content_digest(present):
        return content
    if len(json.dumps(content, ensure_ascii=False).encode()) > MAX_DOCUMENT_BYTES:
        raise Invalid("This document is too large. Keep it below 1 MB, or split it into two tests")
    if draft is None:
        base_number = product.versions[-1].number if product.versions else 0
        draft = Draft(product_id=product.id, base_number=base_number, number=0)
        session.add(draft)
    draft.content, draft.number = content, draft.number + 1
    draft.editor, draft.updated_at = editor, now
    return content


def drop_draft(session: Session, product: Product) -> None:
    """Delete the draft of a product, if there is one, and the files that were added to it."""
    session.execute(delete(DraftFile).where(DraftFile.product_id == product.id))
    draft = find_draft(session, product)
    if draft:
        session.delete(draft)


def node_digest(node: Any) -> str:
    """Return a short digest of a part of a document, to detect that a colleague changed it."""
    return content_digest({"node": node})[:16]
