"""The upload of a take in pieces, while it is recorded or later: the storing of each piece.

    POST   …/questions/N/takes   announces a take; the same take again: the same upload
    HEAD   …/uploads/ID          answers with Upload-Offset, the number of received bytes
    PATCH  …/uploads/ID          sends the piece that begins at Upload-Offset, at most 4 MiB
    DELETE …/uploads/ID          ends an upload that the candidate does not want to send
    GET    …/uploads/ID          answers with JSON: whether the take is saved, and whether it plays

The protocol is tus 1.0, see `tus.py`. Errors are JSON with `error`.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from flask import jsonify, url_for
from flask.typing import ResponseReturnValue

from provider.core.kinds.interview import BROKEN, Interview, Recording
from provider.core.kinds.interview.uploads import (
    BROKEN_MESSAGE,
    FOLDER,
    Upload,
    WrongOffset,
    count_bytes,
    count_received,
    discard,
    expires_at,
    find_upload,
    hold_open_for,
    open_upload,
    require_admitted,
    require_receiving,
)
from provider.errors import Conflict, NotFound, ProviderError, Unavailable
from provider.services import current_services
from provider.storage import secrets
from provider.storage.growing_file import GrowingFile
from provider.storage.media import StoredFile
from provider.texts import gettext, gettext_noop
from provider.web.candidate import tus
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update
from provider.web.candidate.tus import Announcement, PieceHeaders, UploadRejected

DAMAGED_MESSAGE = gettext_noop("The recording did not arrive whole. Please send it again")


@dataclass(frozen=True)
class Piece:
    """A piece that is admitted, and the pieces before it as pairs of media key and size.

    `take_size` is None while the take is being recorded; `take_sha256` is in hex, if it is known.
    """

    upload_id: str
    question: str
    mime: str
    announced_at: datetime
    start: int
    size: int
    take_size: int | None
    take_sha256: str | None
    growing_key: str
    key: str
    earlier_pieces: tuple[tuple[str, int], ...] = ()

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def is_last(self) -> bool:
        return self.end == self.take_size

    def matches(self, size: int, sha256: str) -> bool:
        return size == self.take_size and self.take_sha256 in (None, sha256)


def announce(
    candidate_request: CandidateRequest[Interview], question: str, announcement: Announcement
) -> ResponseReturnValue:
    """Open the upload of a take, or go on with it; return where to send the pieces."""
    order, now = candidate_request.order, candidate_request.now
    upload = open_upload(
        candidate_request.session,
        order,
        question,
        announcement.take or secrets.generate_public_id().replace("_", "-"),
        announcement.mime,
        candidate_request.given.given_at,
        size=announcement.size,
        sha256=announcement.sha256,
    )
    if upload.recording is None:
        admit(candidate_request, upload, upload.received)
        hold_open_for(order, upload, now)
    location = url_for(".send_piece", public_id=order.public_id, upload_id=upload.public_id)
    return "", 201, {"Location": location} | offset_headers(upload, order)


def admit(candidate_request: CandidateRequest[Interview], upload: Upload, size: int) -> None:
    """Raise an error unless `size` bytes of this take may be stored; called before any is stored.

    Unavailable if the disk is nearly full.
    """
    current_services().media.require_free_space()
    require_admitted(
        candidate_request.session, candidate_request.order, upload, candidate_request.now, size
    )


def offset_headers(upload: Upload, order: Interview) -> dict[str, str]:
    length = {"Upload-Defer-Length": "1"}
    if upload.size is not None:
        length = {"Upload-Length": str(upload.size)}
    return {
        "Upload-Offset": str(upload.received),
        **length,
        "Upload-Metadata": tus.describe_metadata(upload.mime, upload.take, upload.sha256),
        "Cache-Control": "no-store",
        **(tus.expiry_headers(expires_at(order)) if upload.recording is None else {}),
    }


def state_response(upload: Upload, order: Interview) -> ResponseReturnValue:
    """Return what became of a take, for the page that waits for it."""
    question = order.find_question(upload.question)
    body = {
        "state": upload.state,
        "offset": upload.received,
        "saved": upload.recording.public_id if upload.recording else None,
        "takes_left": order.takes_left(question),
        "error": gettext(BROKEN_MESSAGE) if upload.state == BROKEN else None,
    }
    return jsonify(body), 200, offset_headers(upload, order)


def receive_piece(public_id: str, upload_id: str) -> ResponseReturnValue:
    """Store the request's body as the next piece, and save the take with its last piece."""
    headers = tus.parse_piece_headers()
    data = tus.read_piece(headers)  # the server has received the body before it calls this
    with order_for_read(public_id, Interview) as candidate_request:
        upload = find_upload(candidate_request.session, candidate_request.order, upload_id)
        upload.require_offset(headers.start)
        if upload.recording and data:
            raise Conflict("This recording is saved already")
        if upload.recording:  # an empty piece, sent again because its answer was lost
            return _piece_response(upload, candidate_request.order)
        admit(candidate_request, upload, headers.start + len(data))
        piece = _describe_piece(upload, headers, len(data))
        answer_headers = offset_headers(upload, candidate_request.order)
        is_growing = current_services().media.can_grow and not _has_pieces(upload)
        if not is_growing:
            pieces = tuple((earlier.media_key, earlier.size) for earlier in upload.pieces)
            piece = replace(piece, earlier_pieces=pieces)
    # No transaction is open while the body is stored.
    if is_growing:
        return _append(public_id, piece, data, answer_headers)
    if piece.is_last:
        return _join(public_id, piece, bytes(data))
    return _store_piece(public_id, piece, bytes(data))


def terminate(public_id: str, upload_id: str) -> ResponseReturnValue:
    """Delete an upload that is not saved, and its bytes."""
    with order_for_update(public_id, Interview) as candidate_request:
        upload = find_upload(candidate_request.session, candidate_request.order, upload_id)
        if upload.recording:
            raise Conflict("This recording is saved already")
    discard(current_services().db, current_services().media, upload_id)
    return "", 204


def _describe_piece(upload: Upload, headers: PieceHeaders, size: int) -> Piece:
    end, take_size = headers.start + size, headers.take_size or upload.size
    if headers.take_size and upload.size not in (None, headers.take_size):
        raise UploadRejected(400, "This recording was announced with another length")
    if take_size is not None and end > take_size:
        raise UploadRejected(400, "The piece goes beyond the announced length of the recording")
    return Piece(
        upload_id=upload.public_id,
        question=upload.question,
        mime=upload.mime,
        announced_at=upload.created_at,
        start=headers.start,
        size=size,
        take_size=take_size,
        take_sha256=headers.take_sha256 or upload.sha256,
        growing_key=upload.growing_key,
        key=upload.next_piece_key(),
    )


def _has_pieces(upload: Upload) -> bool:
    """Whether an earlier release has stored the first bytes of a take as pieces."""
    if not upload.received or current_services().media.has_growing(upload.growing_key):
        return False
    return bool(upload.pieces)


def _append(
    public_id: str, piece: Piece, data: bytes | memoryview, answer_headers: dict[str, str]
) -> ResponseReturnValue:
    """Append a piece to the upload's file. The lock makes two tabs act one after the other."""
    with current_services().media.open_growing(piece.growing_key) as file:
        # Another request may have changed the file since the transaction.
        if file.size != piece.start:
            _require_offset(public_id, piece, file.size)
        file.write(piece.start, data)
        if piece.is_last:
            return _save_file(public_id, piece, file)
        with current_services().db.writing() as session:
            is_counted = count_bytes(
                session,
                piece.upload_id,
                piece.start,
                piece.end,
                piece.take_size,
                current_services().now(),
            )
        if is_counted:
            return "", 204, answer_headers | {"Upload-Offset": str(piece.end)}
        return _count_bytes(public_id, piece)  # says what has changed meanwhile


def _require_offset(public_id: str, piece: Piece, file_size: int) -> None:
    """Raise WrongOffset unless the bytes before the piece are counted and in the file.

    A file may have more bytes than are counted: a crash left them.
    """
    with current_services().db.reading() as session:
        if (received := count_received(session, piece.upload_id)) != piece.start:
            raise WrongOffset(received)
    if file_size < piece.start:
        _restart(public_id, piece)
        raise WrongOffset(0)


def _store_piece(public_id: str, piece: Piece, data: bytes) -> ResponseReturnValue:
    """Store a piece as a file of its own; it is deleted when the piece is refused meanwhile."""
    media = current_services().media
    if not data:
        return _count_bytes(public_id, piece)
    media.put(piece.key, [data])
    try:
        return _count_bytes(public_id, piece, piece.key)
    except BaseException:
        with suppress(Unavailable):
            media.delete(piece.key)
        raise


def _count_bytes(public_id: str, piece: Piece, media_key: str = "") -> ResponseReturnValue:
    """Count the bytes of a stored piece, and the length of the take if it is known now."""
    with order_for_update(public_id, Interview) as candidate_request:
        upload = find_upload(candidate_request.session, candidate_request.order, piece.upload_id)
        require_receiving(candidate_request.order, upload, candidate_request.now)
        upload.grow(piece.start, piece.size, candidate_request.now, media_key)
        if piece.take_size is not None:
            upload.set_size(piece.take_size)
        return _piece_response(upload, candidate_request.order)


def _save_file(public_id: str, piece: Piece, file: GrowingFile) -> ResponseReturnValue:
    """Make the upload's file the original of a recording: a second name of the same file.

    A crash before the transaction's end leaves the upload as it was.
    """
    media, recording_id = current_services().media, secrets.generate_public_id()
    file.truncate(piece.end)
    sha256 = file.sha256()
    if not piece.matches(piece.end, sha256):
        raise _begin_anew(public_id, piece)
    media.link(piece.growing_key, original_key(recording_id))
    return _record_take(public_id, piece, recording_id, StoredFile(piece.end, sha256))


def _join(public_id: str, piece: Piece, data: bytes) -> ResponseReturnValue:
    """Join the pieces to a recording's original."""
    media, recording_id = current_services().media, secrets.generate_public_id()
    try:
        stored_file = media.join(original_key(recording_id), piece.earlier_pieces, data)
    except NotFound:
        raise _begin_anew(public_id, piece) from None
    if not piece.matches(stored_file.size, stored_file.sha256):
        with suppress(Unavailable):
            media.delete(original_key(recording_id))
        raise _begin_anew(public_id, piece)
    return _record_take(public_id, piece, recording_id, stored_file)


def _begin_anew(public_id: str, piece: Piece) -> UploadRejected:
    """Return the error of a take that is not what was announced: it is sent again from byte 0."""
    _restart(public_id, piece)
    return UploadRejected(tus.CHECKSUM_MISMATCH, DAMAGED_MESSAGE)


def _restart(public_id: str, piece: Piece) -> None:
    with order_for_update(public_id, Interview) as candidate_request:
        find_upload(candidate_request.session, candidate_request.order, piece.upload_id).restart()
    with suppress(Unavailable):  # the scheduled work deletes the files later
        current_services().media.delete_folder(f"{FOLDER}/{piece.upload_id}")


def _delete_original(recording_id: str) -> None:
    # A store that cannot delete now keeps one unused file; `media prune` removes it.
    with suppress(Unavailable):
        current_services().media.delete(original_key(recording_id))


def _record_take(
    public_id: str, piece: Piece, recording_id: str, stored_file: StoredFile
) -> ResponseReturnValue:
    """Record a stored take; its file is deleted when the take is refused or a duplicate.

    After any other error the take may be recorded: then `media prune` deletes a file without a row.
    """
    media = current_services().media
    try:
        with order_for_update(public_id, Interview) as candidate_request:
            session, order = candidate_request.session, candidate_request.order
            upload = find_upload(session, order, piece.upload_id)
            upload.require_offset(piece.start)
            if upload.recording is None:
                admit(candidate_request, upload, stored_file.size)
                upload.recording = order.add_recording(
                    session,
                    piece.question,
                    recording_id,
                    piece.mime,
                    stored_file,
                    candidate_request.now,
                    piece.announced_at,
                )
                upload.grow(piece.start, piece.size, candidate_request.now)
                upload.set_size(stored_file.size)
                upload.pieces.clear()
            saved_id = upload.recording.public_id
            response = _piece_response(upload, order)
    except Unavailable:
        raise
    except ProviderError:
        _delete_original(recording_id)
        raise
    if saved_id != recording_id:
        _delete_original(recording_id)
    with suppress(Unavailable):  # the scheduled work deletes the files later
        media.delete_folder(f"{FOLDER}/{piece.upload_id}")
    return response


def _piece_response(upload: Upload, order: Interview) -> ResponseReturnValue:
    return "", 204, offset_headers(upload, order)


def original_key(public_id: str) -> str:
    """Return the media key of a recording's original bytes."""
    return Recording(public_id=public_id).original_key
