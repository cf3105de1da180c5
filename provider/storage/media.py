"""Storage of files by key, on disk or in an S3 bucket: recordings, their copies and posters."""

import hashlib
import io
import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from shutil import rmtree
from threading import Thread
from typing import Any, BinaryIO, Self, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from provider.errors import Invalid, NotFound, Unavailable
from provider.storage import s3
from provider.storage.file_types import detect_type
from provider.storage.free_space import require_free_space
from provider.storage.fsync import fsync_path, make_folder
from provider.storage.growing_file import GrowingFile
from provider.storage.s3 import Bucket, explain_error

CHUNK_BYTES = 256 * 1024  # read from disk at once
BUCKET_CHUNK_BYTES = 2 * 1024 * 1024  # read from a bucket at once: every read is a request
UPLOAD_PART_BYTES = 5 * 1024 * 1024  # the minimum that S3 allows
MAX_CONCURRENT_PARTS = 2  # of one upload
LIST_PAGE_SIZE = 1000  # keys
UNAVAILABLE_MESSAGE = "Recordings cannot be saved or read just now: please try again in a moment"


@dataclass(frozen=True)
class StoredFile:
    """The size of a file in bytes, and the SHA-256 of its content in hex."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Self:
        return cls(len(content), hashlib.sha256(content).hexdigest())


class MediaStore:
    """A store of files; a key is a path like `recordings/ID/original`, without a person's name.

    Every method raises Unavailable if the store fails; the log has the reason.
    """

    def __init__(
        self, url: str, *, presigned_urls: bool = False, min_free_bytes: int | None = None
    ) -> None:
        self._min_free_bytes = min_free_bytes
        self._store: Any
        self._upload_store: Any  # the same store with a longer timeout
        self._folder: Path | None = None  # None: the files are in a bucket
        self._bucket: Bucket | None = None
        self._has_presigned_urls = presigned_urls
        if url.startswith("file:"):
            self._folder = Path(url.removeprefix("file:").removeprefix("//"))
            make_folder(self._folder)
            self._store = self._upload_store = LocalStore(
                prefix=self._folder, automatic_cleanup=True
            )
        elif url.startswith("s3:"):
            self._bucket = Bucket.from_url(url)
            self._store, self._upload_store = map(
                self._bucket.open_store, (s3.REQUEST_TIMEOUT, s3.UPLOAD_TIMEOUT)
            )
        else:
            raise Invalid("PROVIDER_MEDIA_URL should look like file:FOLDER or s3://bucket/prefix")
        self._read_chunk_bytes = BUCKET_CHUNK_BYTES if self._bucket else CHUNK_BYTES

    @property
    def origin(self) -> str | None:
        """The origin of presigned URLs, like `https://host:port`; None: there are none."""
        return self._bucket.origin if self._bucket and self._has_presigned_urls else None

    def check(self) -> None:
        """Write, read, list and delete a file in the bucket; Unavailable says why that fails."""
        if not self._bucket:
            return
        key, store = f"check/{secrets.token_hex(8)}", self._store
        try:
            obstore.put(store, key, iter([b"\0"]))
            obstore.get_range(store, key, start=0, end=1)
            obstore.delete(store, key)
            next(iter(obstore.list(store, chunk_size=1)), None)
        except (BaseError, FileNotFoundError) as error:
            reason = explain_error(error)
            raise Unavailable(
                f"PROVIDER_MEDIA_URL: {self._bucket} cannot be used: {reason}"
            ) from error

    def check_in_background(self) -> None:
        """Log the error of `check` from a thread: only recordings need the store."""
        Thread(target=self._check_and_log, daemon=True).start()

    def put(
        self, key: str, chunks: Iterable[bytes], expected: StoredFile | None = None
    ) -> StoredFile:
        """Write a file atomically and durably; after an error the previous file is still there.

        Invalid, and nothing is stored, if the content is not `expected`.
        """
        stored: list[StoredFile] = []
        first, all_chunks = _peek_first_chunk(_hash_chunks(chunks, stored, expected))
        try:
            obstore.put(
                self._upload_store,
                key,
                all_chunks,
                chunk_size=UPLOAD_PART_BYTES,
                max_concurrency=MAX_CONCURRENT_PARTS,
                attributes=_object_attributes(first) if self._bucket else None,  # type: ignore[arg-type]
            )
        except (BaseError, FileNotFoundError) as error:  # a missing bucket is “not found”, too
            raise _unavailable(error) from error
        self._sync_to_disk(key)
        return stored[0]

    def join(
        self,
        key: str,
        parts: Iterable[tuple[str, int]],
        last_part: bytes,
        expected: StoredFile | None = None,
    ) -> StoredFile:
        """Write the files `parts` (key, size), followed by `last_part`, as one file.

        Raises Invalid like `put`, and NotFound for a missing part. The parts stay.
        """
        chunks = (chunk for part, size in parts for chunk in self.read_range(part, 0, size))
        return self.put(key, chain(_run_in_thread(chunks), [last_part]), expected)

    @property
    def can_grow(self) -> bool:
        """Whether bytes can be appended to a file; a bucket has whole files only."""
        return self._folder is not None

    def has_growing(self, key: str) -> bool:
        """Whether a file on disk exists, without the detour of `exists`."""
        assert self._folder is not None, "a bucket has whole files only"
        return (self._folder / key).exists()

    @contextmanager
    def open_growing(self, key: str) -> Iterator[GrowingFile]:
        """Open a file to append to it, and lock it; a missing file is created empty."""
        assert self._folder is not None, "a bucket has whole files only"
        try:
            with GrowingFile.open(self._folder / key) as file:
                yield file
        except OSError as error:
            raise _unavailable(error) from error

    def link(self, key: str, new_key: str) -> None:
        """Give a file on disk a second name, durably; the content is not copied."""
        assert self._folder is not None, "a bucket has whole files only"
        target = self._folder / new_key
        try:
            make_folder(target.parent)
            target.hardlink_to(self._folder / key)
            fsync_path(target.parent)
        except OSError as error:
            raise _unavailable(error) from error

    def size(self, key: str) -> int:
        """Return the size in bytes; NotFound if there is no such file."""
        with self._translate_errors():
            return int(obstore.head(self._store, key)["size"])

    def exists(self, key: str) -> bool:
        try:
            return self.size(key) >= 0
        except NotFound:
            return False

    def read_range(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, but without, `end`; NotFound."""
        for chunk_start in range(start, end, self._read_chunk_bytes):
            chunk_end = min(end, chunk_start + self._read_chunk_bytes)
            with self._translate_errors():
                chunk = bytes(obstore.get_range(self._store, key, start=chunk_start, end=chunk_end))
            yield chunk

    def open_range(self, key: str, start: int, end: int) -> BinaryIO | None:
        """Open bytes of a file as a file of their own; None in a bucket. NotFound."""
        if self._folder is None:
            return None
        self.size(key)  # checks the key
        with self._translate_errors():
            return cast(BinaryIO, _FileRange((self._folder / key).open("rb"), start, end))

    def require_free_space(self) -> None:
        """Raise Unavailable if the disk has no room for a recording; a bucket always has."""
        if self._folder:
            require_free_space(self._folder, self._min_free_bytes)

    def fetch(self, key: str, path: Path) -> None:
        """Copy a file to a local path; NotFound."""
        with path.open("wb") as file:
            for chunk in self.read_range(key, 0, self.size(key)):
                file.write(chunk)

    def list_files(
        self, modified_before: datetime | None = None, *, folder: str | None = None
    ) -> Iterator[tuple[str, int]]:
        """Yield the key and the size in bytes of every file; only one page is in memory."""
        pages = iter(obstore.list(self._store, folder, chunk_size=LIST_PAGE_SIZE))
        while True:
            with self._translate_errors():
                page = next(pages, None)
            if page is None:
                return
            for entry in page:
                if modified_before is None or entry["last_modified"] < modified_before:
                    yield entry["path"], int(entry["size"])

    def presigned_url(self, key: str, expires_in: timedelta) -> str | None:
        """Return a URL from which a browser may fetch the file; None: it must ask this server."""
        if not self.origin:
            return None
        with self._translate_errors():
            return obstore.sign(self._store, "GET", key, expires_in)

    def delete(self, key: str) -> None:
        """Delete a file; a missing file is no error."""
        try:
            with self._translate_errors():
                obstore.delete(self._store, key)
        except NotFound:
            return

    def delete_folder(self, folder: str) -> None:
        """Delete all files whose keys begin with `folder/`; a missing folder is no error."""
        for key, _ in self.list_files(folder=folder):
            self.delete(key)
        if self._folder:
            # A crash may have left a file that was not complete: it has no key yet.
            rmtree(self._folder / folder, ignore_errors=True)

    def _check_and_log(self) -> None:
        try:
            self.check()
        except Unavailable as error:
            from structlog import get_logger  # late: see `logging_config`

            get_logger().warning("media_check_failed", error=str(error))

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            self._require_bucket()
            raise NotFound("There is no such file") from error
        except BaseError as error:
            raise _unavailable(error) from error

    def _require_bucket(self) -> None:
        """Raise Unavailable if the bucket is missing: it answers 404, like a missing file."""
        if self._bucket:
            try:
                next(iter(obstore.list(self._store, chunk_size=1)), None)
            except (BaseError, FileNotFoundError) as error:
                raise _unavailable(error) from error

    def _sync_to_disk(self, key: str) -> None:
        """Call fsync for a file and its folders: obstore does not."""
        if self._folder is None:
            return
        path = self._folder / key
        fsync_path(path)
        for folder in path.parents[: len(Path(key).parts)]:
            fsync_path(folder)


class _FileRange(io.RawIOBase):
    """A part of a file that looks like a whole file."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._start, self._size = file, start, end - start
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        return self._file.seek(self._start + max(0, origin + offset)) - self._start

    def read(self, size: int = -1) -> bytes:
        bytes_left = max(0, self._size - self.tell())
        return self._file.read(bytes_left if size < 0 else min(size, bytes_left))

    def close(self) -> None:
        self._file.close()
        super().close()


def _hash_chunks(
    chunks: Iterable[bytes], stored: list[StoredFile], expected: StoredFile | None
) -> Iterator[bytes]:
    """Yield the chunks, then append their size and hash to `stored`.

    Invalid if they are not `expected`; obstore then stores nothing.
    """
    sha256, size = hashlib.sha256(), 0
    for chunk in chunks:
        sha256.update(chunk)
        size += len(chunk)
        yield chunk
    stored.append(StoredFile(size, sha256.hexdigest()))
    if expected and stored != [expected]:
        raise Invalid("The file is incomplete or damaged: send it again")


def _run_in_thread(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks, each read in another thread.

    obstore asks for the next chunk inside its event loop, in which its own calls panic.
    """
    with ThreadPoolExecutor(1) as executor:
        while chunk := executor.submit(next, chunks, b"").result():
            yield chunk


def _peek_first_chunk(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first chunk, and an iterator over all chunks."""
    first = next(chunks, b"")

    def all_chunks() -> Iterator[bytes]:
        yield first
        yield from chunks

    return first, all_chunks()


def _object_attributes(first_chunk: bytes) -> Mapping[str, str]:
    # Browsers that fetch from the bucket need a type, and the one that was declared is no proof.
    content_type = detect_type(first_chunk) or "application/octet-stream"
    return {"Content-Type": content_type, "Cache-Control": "private, no-store"}


def _unavailable(error: BaseException) -> Unavailable:
    from structlog import get_logger  # late: see `logging_config`

    get_logger().error("media_store_unavailable", reason=explain_error(error))
    return Unavailable(UNAVAILABLE_MESSAGE)
