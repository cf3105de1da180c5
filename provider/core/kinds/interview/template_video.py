"""The videos that an author adds to an interview template.

Each is decoded in the limited process that reads recordings. It leaves a copy that has an index, so
that players can seek, and a poster. A long video arrives in pieces, which are joined here.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from provider.core.kinds.interview.remux import remux
from provider.core.products.files import (
    EXTENSIONS,
    MAX_BYTES,
    VIDEO,
    StoredProductFile,
    media_key,
    playable_key,
    poster_key,
)
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.errors import Conflict, Invalid, NotFound, Unavailable
from provider.storage.file_types import FIRST_BYTES, detect_type
from provider.storage.media import CHUNK_BYTES, MediaStore, StoredFile
from provider.texts import gettext_noop

FOLDER = "template-videos"  # in media storage: FOLDER/UPLOAD/START, the pieces of a video
MAX_PIECE_BYTES = 1024 * 1024
ABANDONED_AFTER = timedelta(days=1)
WRONG_VIDEO_MESSAGE = gettext_noop(
    "Choose an MP4 or WebM file of at most 100 MB, with picture and sound"
)
_UPLOAD_ID = re.compile(r"[\w-]{22}", re.ASCII)


def prepare_video(media: MediaStore, digest: str) -> None:
    """Decode a stored video, and store its copy and its poster; a repeated call does nothing.

    Raises Invalid for a file that is no video, and Unavailable.
    """
    if media.exists(playable_key(digest)) and media.exists(poster_key(digest)):
        return
    with TemporaryDirectory() as folder:
        source, copy, poster = (Path(folder) / name for name in ("source", "copy", "poster"))
        media.fetch(media_key(digest), source)
        remux(source, copy, poster)
        media.put(playable_key(digest), _read(copy))
        media.put(poster_key(digest), _read(poster))


def add_piece(media: MediaStore, upload_id: str, start: int, content: bytes) -> None:
    """Store a piece of a video, which begins at the byte `start`. A repeated piece replaces itself.

    Raises Invalid for a piece that is too large or too far, and NotFound for an id that is none.
    """
    if not content or len(content) > MAX_PIECE_BYTES or start + len(content) > MAX_BYTES[VIDEO]:
        raise Invalid(WRONG_VIDEO_MESSAGE)
    media.require_free_space()
    media.put(f"{_folder(upload_id)}/{start:012}", [content])


def join_pieces(media: MediaStore, upload_id: str, name: str, size: int) -> StoredProductFile:
    """Store the pieces as one video with the given name and size, decode it, and delete them.

    Raises Conflict for missing pieces, and Invalid for a file that is no video.
    """
    folder = _folder(upload_id)
    pieces = sorted(media.list_files(folder=folder))
    position = 0
    for key, length in pieces:
        if int(key.rpartition("/")[2]) != position:
            break
        position += length
    if not pieces or position != size:
        raise Conflict("A part of the video has not arrived: choose the file again")
    first_bytes = b"".join(media.read_range(pieces[0][0], 0, min(FIRST_BYTES, pieces[0][1])))
    content_type = detect_type(first_bytes)
    if content_type not in EXTENSIONS[VIDEO]:
        media.delete_folder(folder)
        raise Invalid(WRONG_VIDEO_MESSAGE)
    digest = _digest(media, pieces)
    media.join(media_key(digest), pieces, b"", StoredFile(size, digest))
    try:
        prepare_video(media, digest)
    except Invalid:
        with suppress(Unavailable):  # `media prune` deletes what no row names
            media.delete(media_key(digest))
        raise
    finally:
        media.delete_folder(folder)
    return StoredProductFile(name, content_type, size, digest)


def _folder(upload_id: str) -> str:
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise NotFound("There is no such upload")
    return f"{FOLDER}/{upload_id}"


def _digest(media: MediaStore, pieces: list[tuple[str, int]]) -> str:
    digest = sha256()
    for key, length in pieces:
        for chunk in media.read_range(key, 0, length):
            digest.update(chunk)
    return digest.hexdigest()


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _discard_abandoned(context: WorkContext) -> None:
    modified_before = context.now() - ABANDONED_AFTER
    for key, _ in context.media.list_files(modified_before, folder=FOLDER):
        context.media.delete(key)


DISCARD_VIDEO_PIECES = ScheduledWork(
    "discard_video_pieces", every=timedelta(hours=6), run=_discard_abandoned
)
