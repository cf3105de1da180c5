"""The videos that an author adds to an interview template.

Each is decoded in the limited process that reads recordings. It leaves a copy that has an index, so
that players can seek, and a poster.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from provider.core.kinds.interview.remux import remux
from provider.core.products.files import media_key, playable_key, poster_key
from provider.storage.media import CHUNK_BYTES, MediaStore


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


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
