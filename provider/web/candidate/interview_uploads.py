"""The upload of a take in pieces: the protocol's headers, and the storing of each piece.

    POST  …/questions/N/takes   announces a take: Upload-Length, Upload-Metadata (sha256, filetype)
    HEAD  …/uploads/ID          answers with Upload-Offset, the number of received bytes
    PATCH …/uploads/ID          sends the piece that begins at Upload-Offset, at most 1 MiB

The headers are those of tus 1.0 (https://tus.io). A wrong offset is answered with 409 and the
right Upload-Offset. The last piece is answered with the saved recording.
"""

import binascii
import re
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from flask import jsonify, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import ClientDisconnected

from provider.core.kinds.interview import Interview, Recording
from provider.core.kinds.interview.uploads import (
    Upload,
    discard,
    find_upload,
    require_admitted,
)
from provider.errors import Invalid, NotFound, ProviderError, Unavailable
from provider.services import current_services
from provider.storage import secrets
from provider.storage.media import StoredFile
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update

PIECE_TYPE = "application/offset+octet-stream"
RECORDING_TYPE_PATTERN = re.compile(r"(video|audio)/[\w.+-]+(\s*;[\w\s=.,;+\"'-]*)?", re.ASCII)
MAX_NUMBER_DIGITS = 12


class UploadRejected(ProviderError):
    """A take or a piece that is not stored; carries the HTTP status code and the message."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code


@dataclass(frozen=True)
class Piece:
    """A piece that is admitted, and the pieces before it as pairs of media key and size."""

    upload_id: str
    question: str
    mime: str
    announced: StoredFile
    announced_at: datetime
    start: int
    size: int
    key: str
    earlier_pieces: tuple[tuple[str, int], ...]

    @property
    def is_last(self) -> bool:
        return self.start + self.size == self.announced.size


def parse_announcement() -> tuple[str, StoredFile]:
    """Return the type, size and hash of an announced take. Raises UploadRejected."""
    if request.content_length:
        raise UploadRejected(400, "The recording should be sent in pieces: reload this page")
    size = _parse_number("Upload-Length")
    metadata = _parse_metadata(request.headers.get("Upload-Metadata", ""))
    mime, digest = metadata.get("filetype", ""), metadata.get("sha256", "").lower()
    if not RECORDING_TYPE_PATTERN.fullmatch(mime) or len(mime) > 100:
        raise UploadRejected(415, "This is not a recording that can be saved")
    if not size or not re.fullmatch("[0-9a-f]{64}", digest):
        raise UploadRejected(400, "The recording is empty, or came without its length or SHA-256")
    return mime, StoredFile(size, digest)


def admit(candidate_request: CandidateRequest[Interview], upload: Upload) -> None:
    """Raise an error unless bytes of this take may be stored; called before any is stored.

    Unavailable if the disk is nearly full.
    """
    current_services().media.require_free_space()
    require_admitted(
        candidate_request.session, candidate_request.order, upload, candidate_request.now
    )


def announce_response(upload: Upload, interview: Interview) -> ResponseReturnValue:
    """Return where to send the pieces, and from which byte on."""
    location = url_for(".send_piece", public_id=interview.public_id, upload_id=upload.public_id)
    headers = {"Location": location, "Upload-Offset": str(upload.received)}
    return "", 201, headers


def offset_headers(upload: Upload) -> dict[str, str]:
    return {
        "Upload-Offset": str(upload.received),
        "Upload-Length": str(upload.size),
        "Cache-Control": "no-store",
    }


def receive_piece(public_id: str, upload_id: str) -> ResponseReturnValue:
    """Store the request's body as the next piece, or save the take with its last piece."""
    start, size = _parse_piece_headers()
    with order_for_read(public_id, Interview) as candidate_request:
        upload = find_upload(candidate_request.session, candidate_request.order, upload_id)
        admit(candidate_request, upload)
        piece = _describe_piece(upload, start, size)
    # No transaction is open while the body is read and stored.
    data = _read_body()
    if len(data) != size:
        raise UploadRejected(400, "The piece did not arrive whole. Please send it again")
    return _save_take(public_id, piece, data) if piece.is_last else _keep(public_id, piece, data)


def _describe_piece(upload: Upload, start: int, size: int) -> Piece:
    upload.require_next_piece(start)
    if start + size > upload.size:
        raise UploadRejected(400, "The piece goes beyond the announced length of the recording")
    return Piece(
        upload_id=upload.public_id,
        question=upload.question,
        mime=upload.mime,
        announced=upload.announced,
        announced_at=upload.created_at,
        start=start,
        size=size,
        key=upload.next_piece_key(),
        earlier_pieces=tuple((earlier.media_key, earlier.size) for earlier in upload.pieces),
    )


def _keep(public_id: str, piece: Piece, data: bytes) -> ResponseReturnValue:
    """Store a piece; its file is deleted when the piece is refused meanwhile."""
    media = current_services().media
    media.put(piece.key, [data])
    try:
        with order_for_update(public_id, Interview) as candidate_request:
            upload = find_upload(
                candidate_request.session, candidate_request.order, piece.upload_id
            )
            admit(candidate_request, upload)
            upload.add_piece(piece.start, piece.size, piece.key, candidate_request.now)
    except BaseException:
        with suppress(Unavailable):
            media.delete(piece.key)
        raise
    return "", 204, {"Upload-Offset": str(piece.start + piece.size)}


def _save_take(public_id: str, piece: Piece, data: bytes) -> ResponseReturnValue:
    """Join the pieces to a recording's original and record it; then the pieces go."""
    services, recording_id = current_services(), secrets.generate_public_id()
    try:
        stored_file = services.media.join(
            original_key(recording_id), piece.earlier_pieces, data, piece.announced
        )
    except (Invalid, NotFound):
        # The pieces are not what was announced: the browser begins with the first again.
        discard(services.db, services.media, piece.upload_id)
        raise UploadRejected(
            400, "The recording did not arrive whole. Please send it again"
        ) from None
    body, status_code = record_take(public_id, piece, recording_id, stored_file)
    with suppress(Unavailable):  # the scheduled work discards it later
        discard(services.db, services.media, piece.upload_id)
    return jsonify(body), status_code, {"Upload-Offset": str(piece.announced.size)}


def record_take(
    public_id: str, piece: Piece, recording_id: str, stored_file: StoredFile
) -> tuple[dict[str, object], int]:
    """Record a stored take; its file is deleted when the take is refused or a duplicate."""
    saved_id = None
    try:
        with order_for_update(public_id, Interview) as candidate_request:
            order = candidate_request.order
            recording = order.add_recording(
                candidate_request.session,
                piece.question,
                recording_id,
                piece.mime,
                stored_file,
                candidate_request.now,
                piece.announced_at,
            )
            saved_id = recording.public_id
            body = saved_body(order, recording)
    except BaseException:
        saved_id = None
        raise
    finally:
        if saved_id != recording_id:
            # A store that cannot delete now keeps one unused file; `media prune` removes it.
            with suppress(Unavailable):
                current_services().media.delete(original_key(recording_id))
    return body, 201 if saved_id == recording_id else 200


def saved_body(order: Interview, recording: Recording) -> dict[str, object]:
    question = order.find_question(recording.question)
    return {"saved": recording.public_id, "takes_left": order.takes_left(question)}


def original_key(public_id: str) -> str:
    """Return the media key of a recording's original bytes."""
    return Recording(public_id=public_id).original_key


def _parse_piece_headers() -> tuple[int, int]:
    """Return the offset and the length of a piece. Raises UploadRejected."""
    if request.mimetype != PIECE_TYPE:
        raise UploadRejected(
            415, "A piece of a recording should be application/offset+octet-stream"
        )
    start = _parse_number("Upload-Offset")
    size = request.content_length
    if size is None:
        raise UploadRejected(411, "The piece came without its length")
    if start is None:
        raise UploadRejected(400, "The piece came without its Upload-Offset")
    if size == 0:
        raise UploadRejected(400, "The piece is empty")
    return start, size


def _read_body() -> bytes:
    """Return what has arrived; empty when the browser went away."""
    try:
        return request.get_data(cache=False)
    except ClientDisconnected:
        return b""


def _parse_number(header: str) -> int | None:
    text = request.headers.get(header, "")
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS
    return int(text) if is_number else None


def _parse_metadata(header: str) -> dict[str, str]:
    """Return the values of pairs like `sha256 BASE64,filetype BASE64`; a wrong one is empty."""
    pairs = (pair.strip().partition(" ") for pair in header.split(","))
    return {key: _decode_base64(value) for key, _, value in pairs}


def _decode_base64(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
