"""Large files in the editor: pictures, sounds and videos that a script sends in pieces.

    POST …/pieces/FIELD               answers with the id of a new upload
    POST …/pieces/FIELD/UPLOAD/START  sends the piece that begins at the byte START, at most 1 MiB
    POST …/pieces/FIELD/UPLOAD        joins the pieces to a file of the draft

FIELD is `picture`, `audio` or `video`. Replies are JSON, with `error` for a refusal. A file of at
most 2 MB can be sent with the form of an entry, too: see `files.py`.
"""

from dataclasses import replace

from flask import Blueprint, jsonify, request
from werkzeug.wrappers import Response

from provider.core.kinds import KINDS
from provider.core.products import Product
from provider.core.products.draft_files import add_file, make_file_name
from provider.core.products.file_pieces import add_piece, discard_abandoned, join_pieces
from provider.core.products.files import EXTENSIONS
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.storage import secrets
from provider.web.console.authentication import requires
from provider.web.console.editor.files import file_address

routes = Blueprint(
    "editor_pieces",
    __name__,
    url_prefix="/products/<product_id>/edit/pieces/<any(picture, audio, video):field>",
)


@routes.post("")
@requires(Permission.EDIT_PRODUCTS)
def begin(product_id: str, field: str) -> Response:  # noqa: ARG001
    """Return the id of a new upload, and delete what others have not sent to its end."""
    with current_services().db.reading() as session:
        Product.find(session, product_id)
    discard_abandoned(current_services().media, current_services().now())
    return jsonify(upload=secrets.generate_public_id())


@routes.post("/<upload_id>/<int:start>")
@requires(Permission.EDIT_PRODUCTS)
def send_piece(product_id: str, field: str, upload_id: str, start: int) -> tuple[Response, int]:
    with current_services().db.reading() as session:
        Product.find(session, product_id)
    try:
        add_piece(current_services().media, upload_id, field, start, request.get_data(cache=False))
    except Invalid as error:
        return jsonify(error=f"{error}."), 400
    return jsonify(received=True), 200


@routes.post("/<upload_id>")
@requires(Permission.EDIT_PRODUCTS)
def finish(product_id: str, field: str, upload_id: str) -> tuple[Response, int]:
    """Join the pieces, check the file, and make it one of the draft."""
    services = current_services()
    size = request.form.get("size", 0, type=int)
    with services.db.reading() as session:
        kind = KINDS[Product.find(session, product_id).kind]
    try:
        stored = join_pieces(services.media, upload_id, field, field, size, kind.prepare_video)
        name = make_file_name(request.form.get("name", ""), EXTENSIONS[field][stored.type])
        with services.db.writing() as session:
            product = Product.find(session, product_id)
            name = add_file(session, product, replace(stored, name=name))
            address = file_address(product, name)
    except (Invalid, Conflict) as error:
        return jsonify(error=f"{error}."), 400
    return jsonify(name=name, url=address), 200
