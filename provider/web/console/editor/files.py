"""The pictures and sounds of a draft: those that the form of an entry sends, and their pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from flask import Blueprint, request, url_for
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.wrappers import Response

from provider.core.kinds import KINDS
from provider.core.kinds.base import Kind
from provider.core.products import Product
from provider.core.products.draft_files import add_file, list_files, make_file_name
from provider.core.products.file_pieces import WRONG_FILE_MESSAGES, store_picture
from provider.core.products.files import (
    EXTENSIONS,
    MAX_BYTES,
    PICTURE,
    VIDEO,
    StoredProductFile,
    media_key,
    poster_key,
)
from provider.core.staff import Permission
from provider.errors import Invalid, NotFound
from provider.services import current_services
from provider.storage.file_types import detect_type
from provider.web.console.authentication import requires
from provider.web.range_responses import serve_media

routes = Blueprint("editor_files", __name__, url_prefix="/products/<product_id>/edit/files")

# The name of a file input is this and the name of the field, which is hidden beside it.
UPLOAD_PREFIX = "upload:"
DROP_PREFIX = "drop:"  # of a check box that removes the file of a field


@dataclass(frozen=True)
class Uploads:
    """The files that a form sent: their names in the draft, and the problems, both by field."""

    names: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def complete(self, form: MultiDict[str, str]) -> MultiDict[str, str]:
        """Return the form with the names of the files in the fields that they were sent for."""
        completed = form.copy()
        for name in form:
            if name.startswith(DROP_PREFIX):
                completed[name.removeprefix(DROP_PREFIX)] = ""
        for name, file_name in self.names.items():
            completed[name] = file_name
        return completed


@routes.get("/<name>")
@requires(Permission.EDIT_PRODUCTS)
def show(product_id: str, name: str) -> Response:
    """Send a file that the content of the draft names."""
    file = _find_file(product_id, name)
    return serve_media(current_services().media, media_key(file.sha256), file.type)


@routes.get("/<name>/poster")
@requires(Permission.EDIT_PRODUCTS)
def poster(product_id: str, name: str) -> Response:
    """Send the poster of a video of the draft."""
    file = _find_file(product_id, name)
    if file.type not in EXTENSIONS[VIDEO]:
        raise NotFound("There is no such file")
    return serve_media(current_services().media, poster_key(file.sha256), "image/jpeg")


def _find_file(product_id: str, name: str) -> StoredProductFile:
    with current_services().db.reading() as session:
        file = list_files(session, Product.find(session, product_id)).get(name)
    if file is None:
        raise NotFound("There is no such file")
    return file


def file_address(product: Product, name: str) -> str:
    return url_for("console.editor_files.show", product_id=product.public_id, name=name)


def poster_address(product: Product, name: str) -> str:
    return url_for("console.editor_files.poster", product_id=product.public_id, name=name)


def store_uploads(product_id: str) -> Uploads:
    """Store the files of the request, and make them files of the draft.

    A wrong file is a problem of its field and hinders no other. Raises NotFound, Unavailable.
    """
    stored: dict[str, StoredProductFile] = {}
    problems: dict[str, str] = {}
    if not any(upload.filename for upload in request.files.values()):
        return Uploads()
    with current_services().db.reading() as session:
        kind = KINDS[Product.find(session, product_id).kind]
    for input_name, upload in request.files.items():
        name = input_name.removeprefix(UPLOAD_PREFIX)
        if not upload.filename or name == input_name:
            continue
        try:
            stored[name] = _store(upload, name.rpartition(".")[2], kind)
        except Invalid as error:
            problems[name] = f"{error}."
        upload.close()  # a large one is a temporary file
    if not stored:
        return Uploads(problems=problems)
    with current_services().db.writing() as session:
        product = Product.find(session, product_id)
        names = {name: add_file(session, product, file) for name, file in stored.items()}
    return Uploads(names, problems)


def _store(upload: FileStorage, field_name: str, kind: Kind) -> StoredProductFile:
    """Store one file. Raises Invalid for a file that the field does not take."""
    if field_name not in EXTENSIONS:
        raise Invalid("This field takes no file")
    media, content = current_services().media, upload.read(MAX_BYTES[field_name] + 1)
    if len(content) > MAX_BYTES[field_name]:
        raise Invalid(f"Choose a file of at most {MAX_BYTES[field_name] // 1_000_000} MB")
    if field_name == PICTURE:
        file = store_picture(media, content, "")
    else:
        content_type = detect_type(content) or ""
        if content_type not in EXTENSIONS[field_name]:
            raise Invalid(WRONG_FILE_MESSAGES[field_name])
        file = StoredProductFile("", content_type, len(content), sha256(content).hexdigest())
        media.put(media_key(file.sha256), [content])
    if field_name == VIDEO:
        kind.prepare_video(media, file.sha256)
    name = make_file_name(upload.filename or "", EXTENSIONS[field_name][file.type])
    return replace(file, name=name)
