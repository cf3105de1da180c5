"""Message bodies that refer to media files instead of containing them.

A channel whose requests contain files stores a small body: JSON with pieces of text, and for each
file its media key, its size and its SHA-256. The files are read when the message is sent. Media
files never change, so every attempt sends the same bytes. A file that did change is refused.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provider.errors import Invalid
from provider.storage.media import MediaStore, StoredFile

PREFIX = "media:"


@dataclass(frozen=True)
class MediaReference:
    """A media file by key, with the size and digest that `MediaStore.put` returned for it."""

    key: str
    file: StoredFile


@dataclass(frozen=True)
class MediaBody:
    """The pieces of a request's body in their order.

    Text and references are separate JSON values: a candidate's text that looks like a reference
    stays text.
    """

    pieces: Sequence[str | MediaReference]

    @property
    def content_length(self) -> int:
        """The number of bytes that `read` yields."""
        return sum(
            len(piece.encode()) if isinstance(piece, str) else piece.file.size
            for piece in self.pieces
        )

    def to_bytes(self) -> bytes:
        """Return the body to store with the message."""
        return json.dumps(
            [
                piece
                if isinstance(piece, str)
                else {
                    "media": PREFIX + piece.key,
                    "size": piece.file.size,
                    "sha256": piece.file.sha256,
                }
                for piece in self.pieces
            ]
        ).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> "MediaBody":
        """Parse what `to_bytes` returned."""
        return cls(
            [
                piece
                if isinstance(piece, str)
                else MediaReference(
                    piece["media"].removeprefix(PREFIX),
                    StoredFile(piece["size"], piece["sha256"]),
                )
                for piece in json.loads(body)
            ]
        )

    def read(self, media: MediaStore) -> Iterator[bytes]:
        """Yield the bytes to send, with the content of the files.

        Raises NotFound for a missing file, and Invalid for a changed one. The last chunk of a
        changed file is not yielded, so that a receiver never gets a complete request.
        """
        for piece in self.pieces:
            if isinstance(piece, str):
                yield piece.encode()
            else:
                yield from _read_file(media, piece)


def _read_file(media: MediaStore, reference: MediaReference) -> Iterator[bytes]:
    size = media.size(reference.key)
    sha256, last_chunk = hashlib.sha256(), b""
    for chunk in media.read_range(reference.key, 0, size):
        if last_chunk:
            yield last_chunk
        sha256.update(chunk)
        last_chunk = chunk
    if StoredFile(size, sha256.hexdigest()) != reference.file:
        raise Invalid(f"The media file {reference.key} has changed since the message was rendered")
    yield last_chunk
