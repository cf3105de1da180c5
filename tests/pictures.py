"""Small pictures for tests, made byte by byte."""

import struct
import zlib
from base64 import b64encode


def png_chunk(name: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def make_png(width: int = 40, height: int = 20, colour: bytes = b"\x0a\x5c\xff") -> bytes:
    """Return a picture in one colour."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + colour * width) * height)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks)


def data_uri(content: bytes, content_type: str = "image/png") -> str:
    """Return a file as the text that a document may have instead of its name."""
    return f"data:{content_type};base64,{b64encode(content).decode()}"


def make_jpeg(width: int = 40, height: int = 20) -> bytes:
    """Return the segments of a JPEG that a reader of its size looks at; nothing decodes it."""
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"logo"
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    scan = b"\xff\xda" + struct.pack(">H", 8) + b"\x01\x01\x00\x00\x3f\x00" + b"\x12\x34"
    return b"\xff\xd8" + comment + frame + scan + b"\xff\xd9"
