"""The files that a version's content names, such as the pictures of a test.

A document names a file beside it, or has the file itself as a `data:` URI. An import stores the
files in media storage by their SHA-256, and the content keeps their names.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from provider.core.products.schema_fields import StrictField
from provider.errors import DocumentError, Invalid
from provider.storage.database import Base
from provider.storage.file_types import detect_type
from provider.storage.media import MediaStore

# In media storage: FOLDER/SHA256; of a video also FOLDER/SHA256-playable and -poster.jpg.
FOLDER = "product-files"
KEY_PATTERN = re.compile(rf"{FOLDER}/([0-9a-f]{{64}})(?:-playable|-poster\.jpg)?")
PICTURE, AUDIO, VIDEO = "picture", "audio", "video"
_MEGABYTE = 1_000_000
MAX_BYTES = {PICTURE: 2 * _MEGABYTE, AUDIO: 10 * _MEGABYTE, VIDEO: 100 * _MEGABYTE}
EXTENSIONS = {
    PICTURE: {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"},
    AUDIO: {"audio/mpeg": "mp3", "audio/mp4": "m4a", "audio/ogg": "ogg", "audio/wav": "wav"},
    VIDEO: {"video/mp4": "mp4", "video/webm": "webm"},
}
_TYPE_NAMES = {PICTURE: "PNG, JPEG or WebP", AUDIO: "MP3, M4A, Ogg or WAV", VIDEO: "MP4 or WebM"}
_NAME = re.compile(r"\w[\w. -]{0,98}", re.ASCII)
_DATA_URI = re.compile(r"data:[\w/+.-]*;base64,(.*)", re.DOTALL)


class ProductFile(Base):
    """A file of a version, by the name that the content has for it."""

    __tablename__ = "product_files"
    __table_args__ = (UniqueConstraint("version_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("product_versions.id"))
    name: Mapped[str] = mapped_column(String(100))
    type: Mapped[str] = mapped_column(String(50))
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), index=True)

    @property
    def media_key(self) -> str:
        return media_key(self.sha256)

    @property
    def shown_key(self) -> str:
        """The media key of the file to show: of a video the copy that has an index."""
        is_video = self.type in EXTENSIONS[VIDEO]
        return playable_key(self.sha256) if is_video else self.media_key


@dataclass(frozen=True)
class StoredProductFile:
    """A file in media storage that a document names."""

    name: str
    type: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FileSlot:
    """A place of a content that names a file: a field of a mapping, of the names in MAX_BYTES."""

    part: dict[str, Any]
    field: str
    path: str

    @property
    def value(self) -> str:
        return str(self.part[self.field])


class FileName(StrictField[str]):
    """The name of a file beside the document, or the file itself as a `data:` URI."""

    def _parse(self, value: Any) -> str:
        if value == "":
            raise ValidationError("should name a file; none is chosen yet")
        if isinstance(value, str) and (_NAME.fullmatch(value) or _DATA_URI.fullmatch(value)):
            return value
        raise ValidationError(
            "should be the name of a file beside the document, such as chart.png, "
            "with letters, digits, points, hyphens and spaces"
        )


def media_key(digest: str) -> str:
    """Return the media key of a file with this SHA-256."""
    return f"{FOLDER}/{digest}"


def playable_key(digest: str) -> str:
    """Return the media key of a video's copy that has an index."""
    return f"{media_key(digest)}-playable"


def poster_key(digest: str) -> str:
    """Return the media key of a video's poster, a JPEG."""
    return f"{media_key(digest)}-poster.jpg"


def read_beside(folder: Path) -> Callable[[str], bytes]:
    """Return a function that reads a file of a folder by its name; it raises OSError."""

    def read(name: str) -> bytes:
        with (folder / name).open("rb") as file:
            return file.read(max(MAX_BYTES.values()) + 1)

    return read


def store_files(
    slots: Iterable[FileSlot],
    read: Callable[[str], bytes],
    media: MediaStore,
    prepare_video: Callable[[MediaStore, str], None],
) -> tuple[StoredProductFile, ...]:
    """Store the files of a content in media storage, and write their names into its slots.

    `read` returns a file by its name. `prepare_video` decodes a stored video, which has the given
    SHA-256, or raises Invalid. Raises DocumentError with the path of a wrong file, and
    Unavailable. A file that no version names in the end is deleted by `media prune`.
    """
    stored: dict[str, StoredProductFile] = {}
    for slot in slots:
        file = store_file(slot, read, media, prepare_video)
        slot.part[slot.field] = file.name
        stored[file.name] = file
    return tuple(stored.values())


def store_file(
    slot: FileSlot,
    read: Callable[[str], bytes],
    media: MediaStore,
    prepare_video: Callable[[MediaStore, str], None],
) -> StoredProductFile:
    """Store the file of a slot in media storage. A `data:` URI gets a name by its content.

    Raises DocumentError and Unavailable, as `store_files` does.
    """
    content = _read_slot(slot, read)
    content_type = _require_type(slot, content)
    digest, name = sha256(content).hexdigest(), slot.value
    if name.startswith("data:"):
        name = f"{digest[:16]}.{EXTENSIONS[slot.field][content_type]}"
    media.put(media_key(digest), [content])
    if slot.field == VIDEO:
        try:
            prepare_video(media, digest)
        except Invalid as error:
            raise DocumentError(slot.path, f"cannot be shown as a video: {error}") from error
    return StoredProductFile(name, content_type, len(content), digest)


def require_stored(slots: Iterable[FileSlot], files: Iterable[StoredProductFile]) -> None:
    """Raise DocumentError for the first slot whose file is not among the stored ones."""
    names = {file.name for file in files}
    for slot in slots:
        if slot.value not in names:
            name = "the file" if slot.value.startswith("data:") else slot.value
            raise DocumentError(slot.path, f"{name} is not stored: import it with the document")


def write_files(files: Iterable[ProductFile], media: MediaStore, folder: Path) -> Iterator[Path]:
    """Write the files of a version into a folder under their names; yield each path."""
    for file in files:
        path = folder / file.name
        media.fetch(file.media_key, path)
        yield path


def _read_slot(slot: FileSlot, read: Callable[[str], bytes]) -> bytes:
    if match := _DATA_URI.fullmatch(slot.value):
        try:
            return b64decode("".join(match[1].split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise DocumentError(slot.path, "should be Base64 after the comma") from error
    try:
        return read(slot.value)
    except (OSError, KeyError) as error:
        problem = f"{slot.value} cannot be read: put the file beside the document"
        raise DocumentError(slot.path, problem) from error


def _require_type(slot: FileSlot, content: bytes) -> str:
    limit = MAX_BYTES[slot.field]
    if len(content) > limit:
        problem = f"should be a file of at most {limit // _MEGABYTE} MB"
        raise DocumentError(slot.path, problem)
    content_type = detect_type(content)
    if content_type not in EXTENSIONS[slot.field]:
        raise DocumentError(slot.path, f"should be a {_TYPE_NAMES[slot.field]} file")
    return content_type
