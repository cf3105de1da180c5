"""The upload of one take: it is stored only when every byte has arrived."""

import re
from collections.abc import Iterator

from flask import request

from provider.core.kinds.interview import Recording
from provider.errors import Invalid, ProviderError
from provider.storage.media import CHUNK_BYTES, MediaStore, StoredFile
from provider.web.body_limits import MAX_RECORDING_BYTES

MAX_UPLOAD_BYTES = MAX_RECORDING_BYTES
RECORDING_TYPE_PATTERN = re.compile(r"(video|audio)/[\w.+-]+(\s*;[\w\s=.,;+\"'-]*)?", re.ASCII)


class UploadRejected(ProviderError):
    """An upload that is not stored; carries the HTTP status code and the message."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code


def is_recording_type(mimetype: str) -> bool:
    return mimetype.startswith(("video/", "audio/"))


def store_upload(media: MediaStore, public_id: str) -> tuple[str, StoredFile]:
    """Store the request's body as a recording's original; return its type, size and hash.

    Raises UploadRejected when length or hash differ from the headers, and Unavailable. Nothing is
    stored then.
    """
    mime, announced = _parse_upload_headers()
    try:
        return mime, media.put(original_key(public_id), _read_chunks(), announced)
    except Invalid:
        raise UploadRejected(
            400, "The recording did not arrive whole. Please send it again"
        ) from None


def original_key(public_id: str) -> str:
    """Return the media key of a recording's original bytes."""
    return Recording(public_id=public_id).original_key


def _parse_upload_headers() -> tuple[str, StoredFile]:
    mime = request.headers.get("Content-Type", "")
    if not RECORDING_TYPE_PATTERN.fullmatch(mime) or len(mime) > 100:
        raise UploadRejected(415, "This is not a recording that can be saved")
    length = request.content_length
    if length is None:
        raise UploadRejected(411, "The recording came without its length")
    if length > MAX_UPLOAD_BYTES:
        raise UploadRejected(413, "The recording is too large")
    digest = request.headers.get("X-Content-SHA256", "").lower()
    if length == 0 or not re.fullmatch("[0-9a-f]{64}", digest):
        raise UploadRejected(400, "The recording is empty, or came without its X-Content-SHA256")
    return mime, StoredFile(length, digest)


def _read_chunks() -> Iterator[bytes]:
    while chunk := request.stream.read(CHUNK_BYTES):
        yield chunk
