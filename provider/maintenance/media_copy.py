"""The files that rows name: recordings, their copies and posters."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.kinds.interview import READY, Recording
from provider.errors import NotFound, Unavailable
from provider.maintenance.table_copy import ProgressCallback
from provider.storage.media import MediaStore, StoredFile
from provider.storage.s3 import explain_error


@dataclass(frozen=True)
class MediaReference:
    """A file that a row names; of one as it was sent the row knows the SHA-256."""

    key: str
    sha256: str | None = None
    is_required: bool = True


@dataclass(frozen=True)
class CopyReport:
    """The files that were copied, and those with which something is wrong, by their keys."""

    stored_files: dict[str, StoredFile] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def list_media_references(session: Session) -> Iterator[MediaReference]:
    """Return every file that a row names."""
    query = select(Recording).order_by(Recording.id).execution_options(yield_per=1000)
    for recording in session.scalars(query):
        yield MediaReference(recording.original_key, recording.sha256)
        if recording.state == READY:
            yield MediaReference(recording.copy_key)
            yield MediaReference(
                recording.poster_key, is_required=False
            )  # not every take has a picture


def copy_files(
    files: Sequence[MediaReference],
    source: MediaStore,
    target: MediaStore,
    report_progress: ProgressCallback,
) -> CopyReport:
    """Copy files; one that the target has whole is left as it is."""
    copied = CopyReport()
    for number, file in enumerate(files, 1):
        try:
            kept = copy_file(file.key, source, target)
        except NotFound:
            if file.is_required:
                copied.problems[file.key] = "is not there"
            continue
        copied.stored_files[file.key] = kept
        if file.sha256 not in (None, kept.sha256):
            copied.problems[file.key] = "is not what was sent: its SHA-256 differs"
        report_progress("Copying files", number, len(files))
    return copied


def inspect_media(media: MediaStore, key: str) -> StoredFile:
    """Read a file and say what it is; NotFound."""
    seen, size = hashlib.sha256(), media.size(key)
    for chunk in media.read_range(key, 0, size):
        seen.update(chunk)
    return StoredFile(size, seen.hexdigest())


def copy_file(
    key: str, source: MediaStore, target: MediaStore, expected: StoredFile | None = None
) -> StoredFile:
    """Copy a file unless it is there already, whole; NotFound. Invalid when it is not as `told`."""
    try:
        size = source.size(key)
        # Files are written whole and never change, so that the size tells enough.
        if target.exists(key) and target.size(key) == size:
            found = inspect_media(target, key)
            if expected in (None, found):
                return found
        return target.put(key, _read_in_thread(source.read_range(key, 0, size)), expected)
    except Unavailable as error:
        why = explain_error(error.__cause__ or error)
        raise Unavailable(f"The file {key} cannot be copied: {why}") from error


def _read_in_thread(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Read in another thread: obstore cannot read in the one in which it asks what to write."""
    with ThreadPoolExecutor(1) as reader:
        while piece := reader.submit(next, chunks, b"").result():
            yield piece
