"""A file on disk to which the bytes of an upload are appended."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provider.storage.fsync import FILE_MODE, fsync_path, make_folder

READ_BYTES = 1024 * 1024


class GrowingFile:
    """An open file that other requests and other processes cannot write at the same time.

    Bytes after those that the caller has counted may be left from a crash: they are overwritten.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator["GrowingFile"]:
        """Open and lock a file; create it and its folder, durably, if it is missing."""
        is_new = not path.exists()
        if is_new:
            make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_new:
                fsync_path(path.parent)
            yield cls(descriptor)
        finally:
            os.close(descriptor)

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def write(self, start: int, data: bytes | memoryview) -> None:
        """Write bytes durably from the offset `start` on."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self._descriptor, view, start)
            view, start = view[count:], start + count
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        """Cut the file off after `size` bytes, durably."""
        if self.size != size:
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)

    def sha256(self) -> str:
        """Return the SHA-256 of the whole file in hex; only a part of it is in memory."""
        digest, offset = hashlib.sha256(), 0
        while chunk := os.pread(self._descriptor, READ_BYTES, offset):
            digest.update(chunk)
            offset += len(chunk)
        return digest.hexdigest()
