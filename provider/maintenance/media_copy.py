"""Copy the files that rows name, such as recordings."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from provider.core.kinds import list_stored_media
from provider.core.kinds.base import MediaReference
from provider.errors import NotFound, Unavailable
from provider.maintenance.table_copy import ProgressCallback
from provider.storage.media import MediaStore, StoredFile
from provider.storage.s3 import explain_error

BEGINNING_BYTES = 64  # more than the id of a key and the nonce, with which a ciphertext begins


@dataclass(frozen=True)
class CopyReport:
    """The copied files by key, and the problems by key."""

    stored_files: dict[str, StoredFile] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def list_media_references(session: Session) -> Iterator[MediaReference]:
    for stored_media in list_stored_media():
        yield from stored_media.list_references(session)


def copy_files(
    files: Sequence[MediaReference],
    source: MediaStore,
    target: MediaStore,
    report_progress: ProgressCallback,
) -> CopyReport:
    """Copy files; a file that the target has already is not copied again."""
    copied = CopyReport()
    for number, file in enumerate(files, 1):
        try:
            stored = copy_file(file.key, source, target)
        except NotFound:
            if file.is_required:
                copied.problems[file.key] = "is missing"
            continue
        copied.stored_files[file.key] = stored
        if file.sha256 not in (None, stored.sha256):
            copied.problems[file.key] = "is damaged: its SHA-256 differs"
        report_progress("Copying files", number, len(files))
    return copied


def inspect_media(media: MediaStore, key: str) -> StoredFile:
    """Read a whole file; NotFound."""
    sha256, size = hashlib.sha256(), media.size(key)
    for chunk in media.read_range(key, 0, size):
        sha256.update(chunk)
    return StoredFile(size, sha256.hexdigest())


def copy_file(
    key: str, source: MediaStore, target: MediaStore, expected: StoredFile | None = None
) -> StoredFile:
    """Copy a file unless the target has it; NotFound, or Invalid if it is not `expected`."""
    try:
        size = source.size(key)
        # Files are written atomically. Only a new encryption changes one, and then its beginning.
        if target.exists(key) and target.size(key) == size and _begin_equally(key, source, target):
            existing = inspect_media(target, key)
            if expected in (None, existing):
                return existing
        return target.put(key, _read_in_thread(source.read_range(key, 0, size)), expected)
    except Unavailable as error:
        reason = explain_error(error.__cause__ or error)
        raise Unavailable(f"The file {key} cannot be copied: {reason}") from error


def _begin_equally(key: str, *stores: MediaStore) -> bool:
    beginnings = {b"".join(store.read_range(key, 0, BEGINNING_BYTES)) for store in stores}
    return len(beginnings) == 1


def _read_in_thread(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Read in another thread: obstore cannot read in the thread in which it calls this iterator."""
    with ThreadPoolExecutor(1) as reader:
        while chunk := reader.submit(next, chunks, b"").result():
            yield chunk
