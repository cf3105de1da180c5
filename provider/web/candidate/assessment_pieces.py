"""The pieces of a file that answers a question. A script sends a larger file in this way.

    POST  …/items/N/file/pieces   announces a file: fields `size`, `sha256` (hex) and `name`
    GET   …/answer-uploads/ID     answers with the number of received bytes
    PATCH …/answer-uploads/ID     sends the piece that begins at the header Upload-Offset

Every reply is JSON: `offset`, the number of received bytes, and `upload`, the URL for the pieces;
after the last piece `next`, the page to open. A wrong offset is answered with 409 and the right
one. A piece is admitted before a byte of it is stored. Each piece keeps the attempt open for the
next one, so that a file counts that is on its way when the time ends.
"""

import re
from contextlib import suppress
from dataclasses import dataclass

from flask import Blueprint, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import ClientDisconnected

from provider.core.kinds.answer_files import media_key
from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.answer_uploads import (
    AnswerUpload,
    WrongOffset,
    discard,
    find_upload,
)
from provider.core.kinds.assessment.file_answers import (
    find_saved_file,
    hold_open,
    open_upload,
    require_admitted,
    save_file,
    stop_holding,
)
from provider.core.kinds.assessment.items import FileAnswer
from provider.core.orders import GivenTime
from provider.errors import Invalid, NotFound, ProviderError, Unavailable
from provider.services import current_services
from provider.storage import secrets
from provider.storage.media import StoredFile
from provider.texts import gettext
from provider.web.candidate.assessment_navigation import find_item_position
from provider.web.candidate.assessment_page import AssessmentRequest, item_url, place_url
from provider.web.candidate.assessment_signals import note_connection
from provider.web.candidate.sent_files import read_name
from provider.web.candidate.session import order_for_read, order_for_update

routes = Blueprint("pieces", __name__)


class Refused(ProviderError):
    """A file or a piece that can never be stored; carries the HTTP status code."""

    def __init__(self, status_code: int, error: ProviderError) -> None:
        super().__init__(error.text.message, **dict(error.text.params))
        self.status_code = status_code


@dataclass(frozen=True)
class Piece:
    """A piece that is admitted; `key` is its place in media storage."""

    upload_id: str
    item: FileAnswer
    announced: StoredFile
    given: GivenTime
    name: str
    content_type: str
    start: int
    size: int
    key: str
    earlier_pieces: tuple[tuple[str, int], ...]

    @property
    def is_last(self) -> bool:
        return self.start + self.size == self.announced.size


@routes.post("/items/<int:number>/file/pieces")
def announce(public_id: str, number: int) -> ResponseReturnValue:
    """Admit a file. One that was announced before goes on where it stopped."""
    announced = _read_announced()
    current_services().media.require_free_space()
    with order_for_update(public_id, Assessment) as candidate_request:
        session, order, now = (
            candidate_request.session,
            candidate_request.order,
            candidate_request.now,
        )
        item = find_item_position(order.parts, number).item
        note_connection(candidate_request)
        if find_saved_file(session, order, item.key, announced):
            return jsonify(next=_next_url(candidate_request, item.key))  # the reply was lost
        name, given = read_name(request.form.get("name", "")), candidate_request.given
        try:
            upload = open_upload(session, order, item.key, name, announced, given, now)
        except Invalid as error:
            raise Refused(415, error) from error
        require_admitted(session, order, upload, now)
        hold_open(order, now)
        session.flush()
        url = url_for(".send_piece", public_id=public_id, upload_id=upload.public_id)
        return jsonify(upload=url, offset=upload.received), 201


@routes.get("/answer-uploads/<upload_id>")
def state(public_id: str, upload_id: str) -> ResponseReturnValue:
    """Return how many bytes of a file have arrived."""
    with order_for_read(public_id, Assessment) as candidate_request:
        upload = find_upload(candidate_request.session, candidate_request.order, upload_id)
        return jsonify(offset=upload.received), 200, {"Cache-Control": "no-store"}


@routes.patch("/answer-uploads/<upload_id>")
def send_piece(public_id: str, upload_id: str) -> ResponseReturnValue:
    """Store the request's body as the next piece, or save the answer with the last piece."""
    start, size = _read_place()
    with order_for_read(public_id, Assessment) as candidate_request:
        upload = find_upload(candidate_request.session, candidate_request.order, upload_id)
        _admit(candidate_request, upload)
        piece = _describe_piece(candidate_request.order, upload, start, size)
    # No transaction is open while the body is read and stored.
    try:
        data = request.get_data(cache=False)
    except ClientDisconnected:
        data = b""
    if len(data) != size:
        return jsonify(error=gettext("The piece did not arrive whole")), 400
    content_type = piece.content_type
    if start == 0:
        try:
            content_type = piece.item.accepted_files.require_type(data)
        except Invalid as error:
            with suppress(Unavailable):
                discard(current_services().db, current_services().media, upload_id)
            raise Refused(415, error) from error
    if piece.is_last:
        return _save(public_id, piece, data, content_type)
    return _keep(public_id, piece, data, content_type)


@routes.errorhandler(WrongOffset)
def _handle_wrong_offset(error: WrongOffset) -> ResponseReturnValue:
    return jsonify(error=error.translated(), offset=error.offset), 409


@routes.errorhandler(Refused)
def _handle_refused(error: Refused) -> ResponseReturnValue:
    return jsonify(error=error.translated()), error.status_code


def _admit(candidate_request: AssessmentRequest, upload: AnswerUpload) -> None:
    current_services().media.require_free_space()
    require_admitted(
        candidate_request.session, candidate_request.order, upload, candidate_request.now
    )


def _describe_piece(order: Assessment, upload: AnswerUpload, start: int, size: int) -> Piece:
    upload.require_next_piece(start)
    if start + size > upload.size:
        raise Refused(409, Invalid("The piece goes beyond the end of the file"))
    _, item = order.find_item(upload.item_key)
    assert isinstance(item, FileAnswer), "only such an item has an upload"
    return Piece(
        upload_id=upload.public_id,
        item=item,
        announced=upload.announced,
        given=GivenTime(upload.given_at, upload.number),
        name=upload.name,
        content_type=upload.type,
        start=start,
        size=size,
        key=upload.next_piece_key(),
        earlier_pieces=tuple((key, length) for key, length in upload.pieces),
    )


def _keep(public_id: str, piece: Piece, data: bytes, content_type: str) -> ResponseReturnValue:
    """Store a piece; its file is deleted when the piece is refused meanwhile."""
    media = current_services().media
    media.put(piece.key, [data])
    try:
        with order_for_update(public_id, Assessment) as candidate_request:
            session, order = candidate_request.session, candidate_request.order
            upload = find_upload(session, order, piece.upload_id)
            _admit(candidate_request, upload)
            upload.type = content_type
            upload.add_piece(piece.start, piece.size, piece.key, candidate_request.now)
            hold_open(order, candidate_request.now)
    except BaseException:
        with suppress(Unavailable):
            media.delete(piece.key)
        raise
    return jsonify(offset=piece.start + piece.size)


def _save(public_id: str, piece: Piece, data: bytes, content_type: str) -> ResponseReturnValue:
    """Join the pieces to the file, and save it as the answer; then the pieces go."""
    services, file_id = current_services(), secrets.generate_public_id()
    key = media_key(file_id)
    try:
        stored = services.media.join(key, piece.earlier_pieces, data, piece.announced)
    except (Invalid, NotFound):
        # The pieces are not what was announced: the browser begins with the first again.
        discard(services.db, services.media, piece.upload_id)
        return jsonify(error=gettext("The file did not arrive whole"), restart=True), 400
    try:
        with order_for_update(public_id, Assessment) as candidate_request:
            session, order, now = (
                candidate_request.session,
                candidate_request.order,
                candidate_request.now,
            )
            upload = find_upload(session, order, piece.upload_id)
            _admit(candidate_request, upload)
            save_file(
                session,
                order,
                upload.item_key,
                file_id,
                piece.name,
                content_type,
                stored,
                piece.given,
                now,
            )
            stop_holding(session, order, upload, now)
            next_url = _next_url(candidate_request, upload.item_key)
    except Unavailable:  # the answer may be saved; otherwise `media prune` deletes the file
        raise
    except ProviderError:
        with suppress(Unavailable):
            services.media.delete(key)
        raise
    with suppress(Unavailable):  # the scheduled work discards it later
        discard(services.db, services.media, piece.upload_id)
    return jsonify(next=next_url)


def _next_url(candidate_request: AssessmentRequest, item_key: str) -> str:
    """Return the page of the question, or where the candidate is if that was left meanwhile."""
    order = candidate_request.order
    number, _ = order.find_item(item_key)
    if order.can_open_item(number, candidate_request.now):
        return item_url(order.public_id, number)
    return place_url(candidate_request)


def _read_announced() -> StoredFile:
    size, digest = request.form.get("size", 0, type=int), request.form.get("sha256", "").lower()
    if size <= 0 or not re.fullmatch("[0-9a-f]{64}", digest):
        raise Refused(415, Invalid("This file is empty. Please send another one"))
    return StoredFile(size, digest)


def _read_place() -> tuple[int, int]:
    """Return the offset and the length of a piece."""
    text, size = request.headers.get("Upload-Offset", ""), request.content_length or 0
    if not re.fullmatch("[0-9]{1,12}", text) or not size:
        raise Refused(409, Invalid("The piece came without its place or its length"))
    if size > FileAnswer.max_piece_bytes:
        raise Refused(413, Invalid("A piece of a file may have at most 1 MB"))
    return int(text), size
