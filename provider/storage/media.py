"""Files by key: recordings and their posters, on disk or in an S3 bucket, whole or not at all."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from provider.errors import Invalid, NotFound, Unavailable
from provider.storage import s3
from provider.storage.fsync import fsync_path, make_folder
from provider.storage.s3 import Bucket, explain_error

CHUNK_BYTES = 256 * 1024  # bytes that are in memory at once
BUCKET_CHUNK_BYTES = 2 * 1024 * 1024  # the same for a bucket, where every read is a request
UPLOAD_PART_BYTES = 5 * 1024 * 1024  # bytes of an upload's parts: the least that S3 allows
MAX_CONCURRENT_PARTS = 2  # parts of one upload that are on their way
LIST_PAGE_SIZE = 1000  # keys that are listed by one request
UNAVAILABLE_MESSAGE = "Recordings cannot be kept or read just now: please try again in a moment"
# By the first bytes, for whoever fetches a file from the bucket itself: what a recorder said of its
# file may be anything.
CONTENT_TYPE_SIGNATURES = (
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
)


@dataclass(frozen=True)
class StoredFile:
    """What was kept: its size in bytes and the SHA-256 of its bytes, in hex."""

    size: int
    sha256: str


class MediaStore:
    """A store of files; a key is a path such as `recordings/ID/original`, never a person's name.

    Every method raises Unready when the store cannot be reached or refuses; the log says why.
    """

    def __init__(self, url: str, *, presigned_urls: bool = False) -> None:
        self._store: Any
        self._upload_store: Any  # the same, but with more patience
        self._folder: Path | None = None  # where the files are, when that is a disk of ours
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
        """Where a browser fetches files itself, such as `https://host:port`; None: from us."""
        return self._bucket.origin if self._bucket and self._has_presigned_urls else None

    def check(self) -> None:
        """Write, read and delete a file in the bucket, and list; Unready says why it cannot be."""
        if not self._bucket:
            return
        key, store = f"check/{secrets.token_hex(8)}", self._store
        try:
            obstore.put(store, key, iter([b"\0"]))
            obstore.get_range(store, key, start=0, end=1)
            obstore.delete(store, key)
            next(iter(obstore.list(store, chunk_size=1)), None)
        except (BaseError, FileNotFoundError) as error:
            why = explain_error(error)
            raise Unavailable(
                f"PROVIDER_MEDIA_URL: {self._bucket} cannot be used: {why}"
            ) from error

    def check_in_background(self) -> None:
        """Check while a start goes on, and log what is wrong: all but recordings works without."""
        Thread(target=self._check_and_log, daemon=True).start()

    def put(
        self, key: str, chunks: Iterable[bytes], expected: StoredFile | None = None
    ) -> StoredFile:
        """Write a file whole or not at all, to stay; an error on the way leaves what was there.

        Raises Invalid, and keeps nothing, when it is not what was `told`.
        """
        kept: list[StoredFile] = []
        first, rest = _peek_first_chunk(_hash_chunks(chunks, kept, expected))
        try:
            obstore.put(
                self._upload_store,
                key,
                rest,
                chunk_size=UPLOAD_PART_BYTES,
                max_concurrency=MAX_CONCURRENT_PARTS,
                attributes=_object_attributes(first) if self._bucket else None,  # type: ignore[arg-type]
            )
        except (BaseError, FileNotFoundError) as error:  # a bucket that is not there is “not found”
            raise _unavailable(error) from error
        self._sync_to_disk(key)
        return kept[0]

    def size(self, key: str) -> int:
        """Return the size in bytes; NotFound when there is no such file."""
        with self._translate_errors():
            return int(obstore.head(self._store, key)["size"])

    def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        try:
            return self.size(key) >= 0
        except NotFound:
            return False

    def read_range(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """Return the bytes from `start` to before `end`, in pieces; NotFound."""
        for at in range(start, end, self._read_chunk_bytes):
            until = min(end, at + self._read_chunk_bytes)
            with self._translate_errors():
                piece = bytes(obstore.get_range(self._store, key, start=at, end=until))
            yield piece

    def fetch(self, key: str, path: Path) -> None:
        """Copy a file to a local path; NotFound."""
        with path.open("wb") as file:
            for chunk in self.read_range(key, 0, self.size(key)):
                file.write(chunk)

    def list_files(self, modified_before: datetime | None = None) -> Iterator[tuple[str, int]]:
        """Return the key and the size in bytes of every file, a page in memory at once.

        With `before` only of those that have not been written since.
        """
        pages = iter(obstore.list(self._store, chunk_size=LIST_PAGE_SIZE))
        while True:
            with self._translate_errors():
                page = next(pages, None)
            if page is None:
                return
            for each in page:
                if modified_before is None or each["last_modified"] < modified_before:
                    yield each["path"], int(each["size"])

    def presigned_url(self, key: str, expires_in: timedelta) -> str | None:
        """Return an address at which a browser may fetch a file for so long; None: from us."""
        if not self.origin:
            return None
        with self._translate_errors():
            return obstore.sign(self._store, "GET", key, expires_in)

    def delete(self, key: str) -> None:
        """Delete a file; one that is not there is as good as deleted."""
        try:
            with self._translate_errors():
                obstore.delete(self._store, key)
        except NotFound:
            return

    def _check_and_log(self) -> None:
        try:
            self.check()
        except Unavailable as error:
            from structlog import get_logger  # late: see `logs`

            get_logger().warning(str(error))

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
        """Tell a bucket that is gone from a file that is: both answer 404, often without a word."""
        if self._bucket:
            try:
                next(iter(obstore.list(self._store, chunk_size=1)), None)
            except (BaseError, FileNotFoundError) as error:
                raise _unavailable(error) from error

    def _sync_to_disk(self, key: str) -> None:
        """Write a file and its names through to the disk: the store itself leaves that to luck."""
        if self._folder is None:
            return
        path = self._folder / key
        fsync_path(path)
        for folder in path.parents[: len(Path(key).parts)]:
            fsync_path(folder)


def _hash_chunks(
    chunks: Iterable[bytes], stored: list[StoredFile], expected: StoredFile | None
) -> Iterator[bytes]:
    """Hash what passes; at the end, before anything is kept, compare it with what was told."""
    seen, size = hashlib.sha256(), 0
    for chunk in chunks:
        seen.update(chunk)
        size += len(chunk)
        yield chunk
    stored.append(StoredFile(size, seen.hexdigest()))
    if expected and stored != [expected]:
        raise Invalid("The file did not arrive whole")


def _peek_first_chunk(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first chunk, and all of them."""
    first = next(chunks, b"")

    def whole() -> Iterator[bytes]:
        yield first
        yield from chunks

    return first, whole()


def _object_attributes(first: bytes) -> Mapping[str, str]:
    found = (mime for at, mark, mime in CONTENT_TYPE_SIGNATURES if first[at:].startswith(mark))
    plain = "application/octet-stream"
    return {"Content-Type": next(found, plain), "Cache-Control": "private, no-store"}


def _unavailable(error: BaseException) -> Unavailable:
    from structlog import get_logger  # late: see `logs`

    get_logger().error("the media store cannot be used", why=explain_error(error))
    return Unavailable(UNAVAILABLE_MESSAGE)
