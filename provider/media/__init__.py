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

from provider.disk import make_folder, sync
from provider.errors import Invalid, NotFound, Unready
from provider.media import bucket
from provider.media.bucket import Bucket, reason

CHUNK = 256 * 1024  # bytes that are in memory at once
STRIDE = 2 * 1024 * 1024  # the same for a bucket, where every read is a request
PART = 5 * 1024 * 1024  # bytes of an upload's parts: the least that S3 allows
AT_ONCE = 2  # parts of one upload that are on their way
PAGE = 1000  # keys that are listed by one request
SORRY = "Recordings cannot be kept or read just now: please try again in a moment"
# By the first bytes, for whoever fetches a file from the bucket itself: what a recorder said of its
# file may be anything.
TYPES = ((0, b"\x1a\x45\xdf\xa3", "video/webm"), (4, b"ftyp", "video/mp4"),
         (0, b"\xff\xd8\xff", "image/jpeg"))  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """What was kept: its size in bytes and the SHA-256 of its bytes, in hex."""

    size: int
    sha256: str


class Media:
    """A store of files; a key is a path such as `recordings/ID/original`, never a person's name.

    Every method raises Unready when the store cannot be reached or refuses; the log says why.
    """

    def __init__(self, url: str, *, signed: bool = False) -> None:
        self._store: Any
        self._uploads: Any  # the same, but with more patience
        self._folder: Path | None = None  # where the files are, when that is a disk of ours
        self._bucket: Bucket | None = None
        self._signed = signed
        if url.startswith("file:"):
            self._folder = Path(url.removeprefix("file:").removeprefix("//"))
            make_folder(self._folder)
            self._store = self._uploads = LocalStore(prefix=self._folder, automatic_cleanup=True)
        elif url.startswith("s3:"):
            self._bucket = Bucket.read(url)
            self._store, self._uploads = map(self._bucket.open, (bucket.ASK, bucket.PUT))
        else:
            raise Invalid("PROVIDER_MEDIA_URL should look like file:FOLDER or s3://bucket/prefix")
        self._stride = STRIDE if self._bucket else CHUNK

    @property
    def origin(self) -> str | None:
        """Where a browser fetches files itself, such as `https://host:port`; None: from us."""
        return self._bucket.origin if self._bucket and self._signed else None

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
            why = reason(error)
            raise Unready(f"PROVIDER_MEDIA_URL: {self._bucket} cannot be used: {why}") from error

    def check_beside(self) -> None:
        """Check while a start goes on, and log what is wrong: all but recordings works without."""
        Thread(target=self._check_and_say, daemon=True).start()

    def keep(self, key: str, chunks: Iterable[bytes], told: Kept | None = None) -> Kept:
        """Write a file whole or not at all, to stay; an error on the way leaves what was there.

        Raises Invalid, and keeps nothing, when it is not what was `told`.
        """
        kept: list[Kept] = []
        first, rest = _begun(_counted(chunks, kept, told))
        try:
            obstore.put(
                self._uploads, key, rest, chunk_size=PART, max_concurrency=AT_ONCE,
                attributes=_attributes(first) if self._bucket else None,  # type: ignore[arg-type]
            )  # fmt: skip
        except (BaseError, FileNotFoundError) as error:  # a bucket that is not there is “not found”
            raise _unready(error) from error
        self._keep_names(key)
        return kept[0]

    def size(self, key: str) -> int:
        """Return the size in bytes; NotFound when there is no such file."""
        with self._reaching():
            return int(obstore.head(self._store, key)["size"])

    def holds(self, key: str) -> bool:
        """Whether there is such a file."""
        try:
            return self.size(key) >= 0
        except NotFound:
            return False

    def read(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """Return the bytes from `start` to before `end`, in pieces; NotFound."""
        for at in range(start, end, self._stride):
            until = min(end, at + self._stride)
            with self._reaching():
                piece = bytes(obstore.get_range(self._store, key, start=at, end=until))
            yield piece

    def fetch(self, key: str, path: Path) -> None:
        """Copy a file to a local path; NotFound."""
        with path.open("wb") as file:
            for chunk in self.read(key, 0, self.size(key)):
                file.write(chunk)

    def keys(self, before: datetime | None = None) -> Iterator[tuple[str, int]]:
        """Return the key and the size in bytes of every file, a page in memory at once.

        With `before` only of those that have not been written since.
        """
        pages = iter(obstore.list(self._store, chunk_size=PAGE))
        while True:
            with self._reaching():
                page = next(pages, None)
            if page is None:
                return
            for each in page:
                if before is None or each["last_modified"] < before:
                    yield each["path"], int(each["size"])

    def address(self, key: str, lasts: timedelta) -> str | None:
        """Return an address at which a browser may fetch a file for so long; None: from us."""
        if not self.origin:
            return None
        with self._reaching():
            return obstore.sign(self._store, "GET", key, lasts)

    def drop(self, key: str) -> None:
        """Delete a file; one that is not there is as good as deleted."""
        try:
            with self._reaching():
                obstore.delete(self._store, key)
        except NotFound:
            return

    def _check_and_say(self) -> None:
        try:
            self.check()
        except Unready as error:
            from structlog import get_logger  # late: see `logs`

            get_logger().warning(str(error))

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            self._must_be_there()
            raise NotFound("There is no such file") from error
        except BaseError as error:
            raise _unready(error) from error

    def _must_be_there(self) -> None:
        """Tell a bucket that is gone from a file that is: both answer 404, often without a word."""
        if self._bucket:
            try:
                next(iter(obstore.list(self._store, chunk_size=1)), None)
            except (BaseError, FileNotFoundError) as error:
                raise _unready(error) from error

    def _keep_names(self, key: str) -> None:
        """Write a file and its names through to the disk: the store itself leaves that to luck."""
        if self._folder is None:
            return
        path = self._folder / key
        sync(path)
        for folder in path.parents[: len(Path(key).parts)]:
            sync(folder)


def _counted(chunks: Iterable[bytes], kept: list[Kept], told: Kept | None) -> Iterator[bytes]:
    """Hash what passes; at the end, before anything is kept, compare it with what was told."""
    seen, size = hashlib.sha256(), 0
    for chunk in chunks:
        seen.update(chunk)
        size += len(chunk)
        yield chunk
    kept.append(Kept(size, seen.hexdigest()))
    if told and kept != [told]:
        raise Invalid("The file did not arrive whole")


def _begun(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first chunk, and all of them."""
    first = next(chunks, b"")

    def whole() -> Iterator[bytes]:
        yield first
        yield from chunks

    return first, whole()


def _attributes(first: bytes) -> Mapping[str, str]:
    found = (mime for at, mark, mime in TYPES if first[at:].startswith(mark))
    plain = "application/octet-stream"
    return {"Content-Type": next(found, plain), "Cache-Control": "private, no-store"}


def _unready(error: BaseException) -> Unready:
    from structlog import get_logger  # late: see `logs`

    get_logger().error("the media store cannot be used", why=reason(error))
    return Unready(SORRY)
