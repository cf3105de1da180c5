"""The bodies of requests while they arrive: in memory, or in a temporary file.

A body of up to 64 KiB is in memory, and a larger one in a temporary file. A piece of an upload
needs no such file: as long as one of the few piece buffers is free, the socket's bytes are received
in it and stored from it, without a copy.
"""

import io
from contextlib import suppress
from typing import Any
from weakref import WeakSet, finalize

from waitress.buffers import OverflowableBuffer

from provider.web import body_limits
from provider.web.body_limits import MAX_BODY_BYTES, MAX_PIECE_BYTES

MEMORY_BUFFER_BYTES = 64 * 1024  # of one body or response; the rest is in a temporary file
# Slow clients can occupy all of them; then the pieces of the others go through temporary files.
MAX_PIECE_BUFFERS = 16


class FileBody(OverflowableBuffer):  # type: ignore[misc]
    """A body that is dropped once it exceeds its limit; its length still counts every byte."""

    buf: Any
    strbuf: bytes

    def __init__(self, max_bytes: int) -> None:
        super().__init__(MEMORY_BUFFER_BYTES)
        self._max_bytes, self._received_bytes = max_bytes, 0

    def __len__(self) -> int:
        return self._received_bytes

    def append(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._received_bytes <= self._max_bytes:
            super().append(data)
        elif self.buf or self.strbuf:
            self.close()
            self.buf, self.strbuf = None, b""


class PieceBody:
    """A body of a known length, in a piece buffer that is used again after `close`."""

    def __init__(self, size: int, memory: bytearray) -> None:
        self._view = memoryview(memory)[:size]
        self._received_bytes = 0
        # A connection that ends in the middle of a body never calls `close`.
        self._return_memory = finalize(self, _free_piece_buffers.append, memory)

    def __len__(self) -> int:
        return self._received_bytes

    @property
    def window(self) -> memoryview:
        """The memory for the bytes that have not arrived yet."""
        return self._view[self._received_bytes :]

    def append(self, data: bytes | memoryview) -> None:
        """Add bytes; those that were received in `window` are only counted."""
        if not (isinstance(data, memoryview) and data.obj is self._view.obj):
            self._view[self._received_bytes : self._received_bytes + len(data)] = data
        self._received_bytes += len(data)

    def getfile(self) -> "PieceFile":
        return PieceFile(self._view[: self._received_bytes])

    def close(self) -> None:
        self._return_memory()


class PieceFile(io.RawIOBase):
    """The body as the app reads it; `view` gives its bytes without a copy."""

    def __init__(self, view: memoryview) -> None:
        super().__init__()
        self.view = view
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        chunk = self.view[self._position : self._position + len(target)]
        target[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)


def open_body(size: int, path: str) -> FileBody | PieceBody:
    """Return what receives the body of a request; `size` is 0 for a body in chunks."""
    max_bytes = body_limits.max_body_bytes(path)
    if MEMORY_BUFFER_BYTES < size <= min(max_bytes, MAX_PIECE_BYTES):
        memory = _take_piece_buffer()
        if memory is not None:
            return PieceBody(size, memory)
    may_be_large = max_bytes > MAX_BODY_BYTES and not 0 < size <= MAX_BODY_BYTES
    if not may_be_large or len(_large_bodies) >= body_limits.MAX_LARGE_BODIES:
        return FileBody(MAX_BODY_BYTES)
    body = FileBody(max_bytes)
    _large_bodies.add(body)
    return body


def read_without_copy(stream: Any) -> memoryview | None:
    """Return the whole body if it is in a piece buffer; the view ends with the request."""
    return stream.view if isinstance(stream, PieceFile) else None


def _take_piece_buffer() -> bytearray | None:
    global _piece_buffer_count
    with suppress(IndexError):
        return _free_piece_buffers.pop()
    if _piece_buffer_count == MAX_PIECE_BUFFERS:
        return None
    _piece_buffer_count += 1
    return bytearray(MAX_PIECE_BYTES)


# The main thread of the HTTP server alone takes from these.
_large_bodies: WeakSet[FileBody] = WeakSet()
_free_piece_buffers: list[bytearray] = []
_piece_buffer_count = 0
