"""Recognises a PNG or JPEG picture, and reads its size, without decoding it."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from provider.errors import Invalid

PNG_SIGNATURE, JPEG_SIGNATURE = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
# Start of frame (ITU T.81, table B.1): these have the size. C4, C8 and CC are other segments.
_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"


@dataclass(frozen=True)
class Picture:
    """The suffix of a file name, and the size in pixels."""

    suffix: str
    width: int
    height: int


def read_picture(content: bytes) -> Picture:
    """Return what a picture is; Invalid unless it is a whole PNG or JPEG with nothing after it.

    Bytes after the end could hold a second file, such as a page.
    """
    try:
        if content.startswith(PNG_SIGNATURE):
            return _read_png(content)
        if content.startswith(JPEG_SIGNATURE):
            return _read_jpeg(content)
    except (struct.error, ValueError) as error:
        raise Invalid("The picture is damaged: save it again as PNG or JPEG") from error
    raise Invalid("The logo should be a picture in PNG or JPEG")


def _read_png(content: bytes) -> Picture:
    names: list[bytes] = []
    for name, data in _png_chunks(content):
        if not names:
            if name != b"IHDR":
                raise ValueError("the first chunk is no header")
            width, height = struct.unpack(">II", data[:8])
        names.append(name)
    if not names or names[-1] != b"IEND" or names.count(b"IEND") > 1 or b"IDAT" not in names:
        raise ValueError("the picture does not end")
    return Picture("png", width, height)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(PNG_SIGNATURE)
    while position < len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        data = content[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", content, position + 8 + length)
        if checksum != zlib.crc32(name + data):
            raise ValueError("a checksum is wrong")
        yield name, data
        position += length + 12


def _read_jpeg(content: bytes) -> Picture:
    size, position = None, 2
    while True:
        start, marker, length = struct.unpack_from(">BBH", content, position)
        if start != 0xFF or length < 2:
            raise ValueError("no marker where one should be")
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", content, position + 5)
            size = width, height
        if marker == _START_OF_SCAN:
            break
        position += length + 2
    if size is None or content.find(_END_OF_IMAGE, position) < 0:
        raise ValueError("the picture does not end")
    if content.rfind(_END_OF_IMAGE) != len(content) - 2:
        raise ValueError("something follows the picture")
    return Picture("jpg", *size)
