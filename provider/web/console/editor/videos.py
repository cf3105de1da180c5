"""The recruiter's videos in the editor: they are sent in pieces by a script.

A video of at most 2 MB can be sent with the form of an entry, too: see `files.py`.
"""

from dataclasses import replace

from flask import Blueprint, jsonify, request
from werkzeug.wrappers import Response

from provider.core.kinds.interview.template_video import add_piece, join_pieces
from provider.core.products import Product
from provider.core.products.draft_files import add_file, list_files, make_file_name
from provider.core.products.files import EXTENSIONS, VIDEO, poster_key
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.storage import secrets
from provider.web.console.authentication import requires
from provider.web.console.editor.files import file_address
from provider.web.range_responses import serve_media

routes = Blueprint("editor_videos", __name__, url_prefix="/products/<product_id>/edit/videos")


@routes.post("")
@requires(Permission.EDIT_PRODUCTS)
def begin(product_id: str) -> Response:
    """Return the id of a new upload (JSON). Nothing is stored yet."""
    with current_services().db.reading() as session:
        Product.find(session, product_id)
    return jsonify(upload=secrets.generate_public_id())


@routes.post("/<upload_id>/<int:start>")
@requires(Permission.EDIT_PRODUCTS)
def send_piece(product_id: str, upload_id: str, start: int) -> tuple[Response, int]:
    """Store the piece that begins at the byte `start`; at most 1 MiB."""
    with current_services().db.reading() as session:
        Product.find(session, product_id)
    try:
        add_piece(current_services().media, upload_id, start, request.get_data(cache=False))
    except Invalid as error:
        return jsonify(error=f"{error}."), 400
    return jsonify(received=True), 200


@routes.post("/<upload_id>")
@requires(Permission.EDIT_PRODUCTS)
def finish(product_id: str, upload_id: str) -> tuple[Response, int]:
    """Join the pieces, decode the video, and make it a file of the draft."""
    services = current_services()
    size = request.form.get("size", 0, type=int)
    try:
        stored = join_pieces(services.media, upload_id, "video", size)
        name = make_file_name(request.form.get("name", ""), EXTENSIONS[VIDEO][stored.type])
        with services.db.writing() as session:
            product = Product.find(session, product_id)
            name = add_file(session, product, replace(stored, name=name))
            address = file_address(product, name)
    except (Invalid, Conflict) as error:
        return jsonify(error=f"{error}."), 400
    return jsonify(name=name, url=address), 200


@routes.get("/posters/<name>")
@requires(Permission.EDIT_PRODUCTS)
def poster(product_id: str, name: str) -> Response:
    """Send the poster of a video of the draft."""
    with current_services().db.reading() as session:
        file = list_files(session, Product.find(session, product_id)).get(name)
    if file is None or file.type not in EXTENSIONS[VIDEO]:
        raise NotFound("There is no such file")
    return serve_media(current_services().media, poster_key(file.sha256), "image/jpeg")
