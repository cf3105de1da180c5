"""The files that a draft can name: those that its author added, and those of the versions.

A name of a draft has one file for good: another file with that name gets a number. So a changed
picture is a changed content, and the comparison of two versions shows it.
"""

import re
import unicodedata
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.products.draft import DraftFile, find_draft
from provider.core.products.files import ProductFile, StoredProductFile
from provider.core.products.product import Product, ProductVersion
from provider.storage.database import acquire_advisory_lock

MAX_STEM_LENGTH = 60  # characters


def list_files(session: Session, product: Product) -> dict[str, StoredProductFile]:
    """Return the files that the content of the draft can name, by name.

    A file of the draft is preferred, then one of the version that the draft began with, then one
    of any other version, the newest first.
    """
    draft = find_draft(session, product)
    query = (
        select(ProductVersion.number, ProductFile)
        .join(ProductVersion, ProductVersion.id == ProductFile.version_id)
        .where(ProductVersion.product_id == product.id)
    )
    rows = [(number, file) for number, file in session.execute(query)]
    base = draft.base_number if draft else max((number for number, _ in rows), default=0)
    rows.sort(key=lambda row: (row[0] <= base, row[0]))
    files = {file.name: _stored(file) for _, file in rows}
    own = session.scalars(select(DraftFile).where(DraftFile.product_id == product.id))
    return files | {file.name: _stored(file) for file in own}


def add_file(session: Session, product: Product, file: StoredProductFile) -> str:
    """Add a stored file to the draft, and return the name that it has there."""
    acquire_advisory_lock(session, f"draft {product.id}")
    files = list_files(session, product)
    name = _find_name(file, files)
    if name not in files:
        session.add(DraftFile(**vars(file) | {"name": name, "product_id": product.id}))
        session.flush()
    return name


def copy_files(session: Session, source: Product, target: Product, names: Iterable[str]) -> None:
    """Let the draft of `target`, which has no files, name files that the one of `source` names."""
    files = list_files(session, source)
    for name in dict.fromkeys(names):
        if name in files:
            session.add(DraftFile(**vars(files[name]), product_id=target.id))


def make_file_name(text: str, extension: str) -> str:
    """Return a name for a file in documents: Latin letters, digits, points and hyphens."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    stem = "-".join(re.findall(r"\w+", letters.rpartition(".")[0] or letters, re.ASCII))
    return f"{stem[:MAX_STEM_LENGTH] or 'file'}.{extension}"


def _find_name(file: StoredProductFile, files: dict[str, StoredProductFile]) -> str:
    stem, _, extension = file.name.rpartition(".")
    name, number = file.name, 2
    while name in files and files[name].sha256 != file.sha256:
        name, number = f"{stem}-{number}.{extension}", number + 1
    return name


def _stored(file: ProductFile | DraftFile) -> StoredProductFile:
    return StoredProductFile(file.name, file.type, file.size, file.sha256)
