"""Two versions side by side, and the YAML file of a version or of the draft."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, render_template, request
from sqlalchemy.orm import Session

from provider.core.kinds import KINDS
from provider.core.products import Product
from provider.core.products.compare import compare
from provider.core.products.documents import Document, to_yaml
from provider.core.products.draft import find_draft, working_content
from provider.core.products.draft_files import list_files
from provider.core.products.files import ProductFile, StoredProductFile, media_key
from provider.core.staff import Permission
from provider.errors import Invalid, NotFound
from provider.services import current_services
from provider.web.console.authentication import may, requires
from provider.web.console.editor.editing import Editing, place_changes

routes = Blueprint("product_versions", __name__, url_prefix="/products/<product_id>")

DRAFT = "draft"
MAX_LISTED_CHANGES = 300
MAX_ZIPPED_BYTES = 40_000_000  # of all files of a version; they are in memory together


@routes.get("/compare")
@requires(Permission.VIEW_PRODUCTS)
def comparison(product_id: str) -> str:
    """Show what changed from one version to another, or to the draft."""
    with current_services().db.reading() as session:
        product = Product.find(session, product_id)
        choices = _choices(session, product)
        names = [name for name, _ in choices]
        newer = request.args.get("to") or (names[0] if names else "")
        older = request.args.get("from") or (names[1] if len(names) > 1 else newer)
        before, after = (_content(session, product, name) for name in (older, newer))
        changes = list(compare(before, after))
        editing = Editing(product, after, None)
        return render_template(
            "console/editor/compare.html",
            product=product,
            choices=choices,
            older=older,
            newer=newer,
            changes=place_changes(editing, changes[:MAX_LISTED_CHANGES], before, after),
            change_count=len(changes),
        )


@routes.get("/file/<name>.yaml")
@requires(Permission.VIEW_PRODUCTS)
def download(product_id: str, name: str) -> Response:
    """Return a version, or the draft, as the file that an import reads."""
    with current_services().db.reading() as session:
        product = Product.find(session, product_id)
        content = _content(session, product, name)
        document = Document(product.kind, product.key, product.name, content)
        text, file_name = to_yaml(document), _file_name(product, name)
    headers = {"Content-Disposition": f'attachment; filename="{file_name}.yaml"'}
    return Response(text, mimetype="application/yaml", headers=headers)


@routes.get("/file/<name>.zip")
@requires(Permission.VIEW_PRODUCTS)
def download_with_files(product_id: str, name: str) -> Response:
    """Return a version, or the draft, with the pictures and sounds that it names."""
    services = current_services()
    with services.db.reading() as session:
        product = Product.find(session, product_id)
        content = _content(session, product, name)
        document = Document(product.kind, product.key, product.name, content)
        text, file_name = to_yaml(document), _file_name(product, name)
        files = list(_named_files(session, product, name, content))
    if sum(file.size for file in files) > MAX_ZIPPED_BYTES:
        raise Invalid("Its files are too large for a page. Use provider product export instead")
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(f"{file_name}.yaml", text)
        for file in files:
            key = media_key(file.sha256)
            # A picture and a sound are compressed already.
            with archive.open(file.name, "w") as entry:
                for chunk in services.media.read_range(key, 0, file.size):
                    entry.write(chunk)
    headers = {"Content-Disposition": f'attachment; filename="{file_name}.zip"'}
    return Response(target.getvalue(), mimetype="application/zip", headers=headers)


def _file_name(product: Product, name: str) -> str:
    return f"{product.key}-{name if name == DRAFT else f'v{name}'}"


def _named_files(
    session: Session, product: Product, name: str, content: dict[str, Any]
) -> Iterator[StoredProductFile | ProductFile]:
    """Yield the files that the content of a version, or of the draft, names."""
    for version in product.versions:
        if str(version.number) == name:
            yield from version.files
            return
    stored = list_files(session, product)
    for slot_name in dict.fromkeys(
        slot.value for slot in KINDS[product.kind].find_file_slots(content)
    ):
        if slot_name in stored:
            yield stored[slot_name]


def _choices(session: Session, product: Product) -> list[tuple[str, str]]:
    """Return what can be compared, the newest first."""
    versions = [(str(row.number), f"Version {row.number}") for row in reversed(product.versions)]
    has_draft = may(Permission.EDIT_PRODUCTS) and find_draft(session, product)
    return [(DRAFT, "Draft"), *versions] if has_draft else versions


def _content(session: Session, product: Product, name: str) -> dict[str, Any]:
    """Return the content of a version, or of the draft, which authors alone see."""
    if name == DRAFT and may(Permission.EDIT_PRODUCTS):
        return working_content(session, product)
    for version in product.versions:
        if str(version.number) == name:
            return version.content
    raise NotFound(f"{KINDS[product.kind].texts.product_label} has no such version")
