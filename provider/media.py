"""Files by key: recordings and their posters, on disk or wherever obstore reaches."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from obstore.store import LocalStore, from_url

from provider.disk import make_folder, sync
from provider.errors import Invalid, NotFound

CHUNK = 256 * 1024  # bytes that are in memory at once


@dataclass(frozen=True)
class Kept:
    """What was kept: its size in bytes and the SHA-256 of its bytes, in hex."""

    size: int
    sha256: str


class Media:
    """A store of files; a key is a path such as `recordings/ID.webm`, never a person's name."""

    def __init__(self, url: str) -> None:
        self._store: Any
        self._folder: Path | None = None  # where the files are, when that is a disk of ours
        scheme, _, rest = url.partition(":")
        if scheme == "file":
            self._folder = Path(rest.removeprefix("//"))
            make_folder(self._folder)
            self._store = LocalStore(prefix=self._folder, automatic_cleanup=True)
        elif scheme == "s3":
            self._store = from_url(url)
        else:
            raise Invalid("PROVIDER_MEDIA_URL should look like file:FOLDER or s3://bucket/prefix")

    def keep(self, key: str, chunks: Iterable[bytes]) -> Kept:
        """Write a file whole or not at all, to stay; an error on the way leaves nothing."""
        seen = hashlib.sha256()
        size = 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                seen.update(chunk)
                size += len(chunk)
                yield chunk

        obstore.put(self._store, key, counted(), chunk_size=5 * 1024 * 1024)
        self._keep_name(key, and_file=True)
        return Kept(size, seen.hexdigest())

    def size(self, key: str) -> int:
        """Return the size in bytes; NotFound when there is no such file."""
        try:
            return int(obstore.head(self._store, key)["size"])
        except FileNotFoundError:
            raise NotFound("There is no such file") from None

    def read(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """Return the bytes from `start` to before `end`, in pieces."""
        for at in range(start, end, CHUNK):
            yield bytes(obstore.get_range(self._store, key, start=at, end=min(end, at + CHUNK)))

    def fetch(self, key: str, path: Path) -> None:
        """Copy a file to a local path."""
        with path.open("wb") as file:
            for chunk in self.read(key, 0, self.size(key)):
                file.write(chunk)

    def move(self, key: str, to: str) -> None:
        """Give a file another key."""
        obstore.rename(self._store, key, to)
        self._keep_name(to)

    def drop(self, key: str) -> None:
        """Delete a file; one that is not there is as good as deleted."""
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return

    def _keep_name(self, key: str, *, and_file: bool = False) -> None:
        """Write a key's names through to the disk: the store itself leaves that to luck."""
        if self._folder is None:
            return
        path = self._folder / key
        if and_file:
            sync(path)
        for folder in path.parents[: len(Path(key).parts)]:
            sync(folder)
