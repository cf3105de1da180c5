"""A file of a draft that arrives in pieces: each is a file of its own until they are joined.

A form has room for 2 MB. A picture may be larger, because it is made smaller when it is joined.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256

from provider.core.products.files import (
    AUDIO,
    EXTENSIONS,
    MAX_BYTES,
    PICTURE,
    VIDEO,
    StoredProductFile,
    media_key,
)
from provider.core.products.pictures import clean_picture
from provider.errors import Conflict, Invalid, NotFound, Unavailable
from provider.storage.file_types import FIRST_BYTES, detect_type
from provider.storage.media import MediaStore, StoredFile
from provider.texts import gettext_noop

FOLDER = "template-videos"  # in media storage: FOLDER/UPLOAD/START, the pieces of a file
MAX_PIECE_BYTES = 1024 * 1024
MAX_UPLOAD_BYTES = MAX_BYTES | {PICTURE: 20_000_000}
ABANDONED_AFTER = timedelta(days=1)
WRONG_FILE_MESSAGES = {  # pictures have those of `clean_picture`
    AUDIO: "This file is no sound that browsers play. Choose an MP3, M4A, Ogg or WAV file",
    VIDEO: gettext_noop("Choose an MP4 or WebM file of at most 100 MB, with picture and sound"),
}
_UPLOAD_ID = re.compile(r"[\w-]{22}", re.ASCII)

Pieces = list[tuple[str, int]]  # media keys and sizes, in order


def add_piece(media: MediaStore, upload_id: str, field: str, start: int, content: bytes) -> None:
    """Store a piece of a file, which begins at the byte `start`. A repeated piece replaces itself.

    `field` is PICTURE, AUDIO or VIDEO. Raises Invalid for a piece that is too large or too far, and
    NotFound for an id that is none.
    """
    end = start + len(content)
    if not content or len(content) > MAX_PIECE_BYTES or end > MAX_UPLOAD_BYTES[field]:
        raise Invalid(f"Choose a file of at most {MAX_UPLOAD_BYTES[field] // 1_000_000} MB")
    media.require_free_space()
    media.put(f"{_folder(upload_id)}/{start:012}", [content])


def join_pieces(
    media: MediaStore,
    upload_id: str,
    field: str,
    name: str,
    size: int,
    prepare_video: Callable[[MediaStore, str], None],
) -> StoredProductFile:
    """Store the pieces as one file with the given name and size, and delete them.

    A picture is encoded again, and a video decoded. Raises Conflict for missing pieces, and Invalid
    for a file that the field does not take.
    """
    folder = _folder(upload_id)
    pieces = _require_complete(media, folder, size)
    try:
        if field == PICTURE:
            file = store_picture(media, _read(media, pieces), name)
        else:
            file = _join(media, pieces, field, name, size)
        if field == VIDEO:
            _prepare(media, file.sha256, prepare_video)
    except Invalid:
        media.delete_folder(folder)
        raise
    media.delete_folder(folder)
    return file


def store_picture(media: MediaStore, content: bytes, name: str) -> StoredProductFile:
    """Encode a picture again, and store it. Raises Invalid for a file that is no picture."""
    content, content_type = clean_picture(content)
    digest = sha256(content).hexdigest()
    media.put(media_key(digest), [content])
    return StoredProductFile(name, content_type, len(content), digest)


def discard_abandoned(media: MediaStore, now: datetime) -> None:
    """Delete the pieces of files that were not sent to their end."""
    for key, _ in media.list_files(now - ABANDONED_AFTER, folder=FOLDER):
        media.delete(key)


def _folder(upload_id: str) -> str:
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise NotFound("There is no such upload")
    return f"{FOLDER}/{upload_id}"


def _require_complete(media: MediaStore, folder: str, size: int) -> Pieces:
    pieces = sorted(media.list_files(folder=folder))
    position = 0
    for key, length in pieces:
        if int(key.rpartition("/")[2]) != position:
            break
        position += length
    if not pieces or position != size:
        raise Conflict("A part of the file has not arrived: choose the file again")
    return pieces


def _join(media: MediaStore, pieces: Pieces, field: str, name: str, size: int) -> StoredProductFile:
    first_bytes = b"".join(media.read_range(pieces[0][0], 0, min(FIRST_BYTES, pieces[0][1])))
    content_type = detect_type(first_bytes)
    if content_type is None or content_type not in EXTENSIONS[field]:
        raise Invalid(WRONG_FILE_MESSAGES[field])
    digest = _digest(media, pieces)
    media.join(media_key(digest), pieces, b"", StoredFile(size, digest))
    return StoredProductFile(name, content_type, size, digest)


def _prepare(
    media: MediaStore, digest: str, prepare_video: Callable[[MediaStore, str], None]
) -> None:
    try:
        prepare_video(media, digest)
    except Invalid:
        with suppress(Unavailable):  # `media prune` deletes what no row names
            media.delete(media_key(digest))
        raise


def _read(media: MediaStore, pieces: Pieces) -> bytes:
    return b"".join(chunk for key, length in pieces for chunk in media.read_range(key, 0, length))


def _digest(media: MediaStore, pieces: Pieces) -> str:
    digest = sha256()
    for key, length in pieces:
        for chunk in media.read_range(key, 0, length):
            digest.update(chunk)
    return digest.hexdigest()
