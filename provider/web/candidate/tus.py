"""The headers of tus 1.0 (https://tus.io): parsing of requests, and the parts of responses.

The extensions are creation, creation-defer-length, checksum, termination and expiration.
"""

import binascii
import hashlib
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime

from flask import request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.http import http_date

from provider.errors import ProviderError
from provider.web.request_bodies import read_without_copy

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-defer-length,checksum,termination,expiration"
CHECKSUM_ALGORITHMS = ("sha256", "sha1")
PIECE_TYPE = "application/offset+octet-stream"
CHECKSUM_MISMATCH = 460  # the status code that the specification has for it
RECORDING_TYPE_PATTERN = re.compile(r"(video|audio)/[\w.+-]+(\s*;[\w\s=.,;+\"'-]*)?", re.ASCII)
TAKE_PATTERN = re.compile("[A-Za-z0-9-]{1,64}")
SHA256_PATTERN = re.compile("[0-9a-f]{64}")
REPR_DIGEST_PATTERN = re.compile("sha-256=:([A-Za-z0-9+/=]+):")
MAX_MIME_LENGTH = 100
MAX_NUMBER_DIGITS = 12


class UploadRejected(ProviderError):
    """A take or a piece that is not stored; carries the HTTP status code and the message."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code


@dataclass(frozen=True)
class Announcement:
    """A take that a browser announces. `size` is None while it is being recorded.

    `take` is the browser's id of the take; empty: the client has none. `sha256` is in hex.
    """

    mime: str
    size: int | None
    take: str
    sha256: str | None


@dataclass(frozen=True)
class PieceHeaders:
    """The headers of a piece. `take_size` ends a deferred length; `take_sha256` is in hex.

    `size` is None for a body in chunks (RFC 9112, 7.1), whose length is not known before its end.
    """

    start: int
    size: int | None
    take_size: int | None
    take_sha256: str | None
    checksum: tuple[str, bytes] | None  # of the piece: the algorithm and the digest


def require_version() -> None:
    """Raise UploadRejected for a client of another version of tus, or of none."""
    if request.headers.get("Tus-Resumable") != VERSION:
        raise UploadRejected(412, "The recording was sent in an unknown way: reload this page")


def option_headers(max_size: int) -> dict[str, str]:
    """Return the headers that tell a client what the server can do."""
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(max_size),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUM_ALGORITHMS),
    }


def expiry_headers(expires_at: datetime | None) -> dict[str, str]:
    return {"Upload-Expires": http_date(expires_at)} if expires_at else {}


def parse_announcement() -> Announcement:
    """Return what the headers say about an announced take. Raises UploadRejected."""
    if request.content_length:
        raise UploadRejected(400, "The recording should be sent in pieces: reload this page")
    metadata = _parse_metadata(request.headers.get("Upload-Metadata", ""))
    mime = metadata.get("filetype", "")
    if not RECORDING_TYPE_PATTERN.fullmatch(mime) or len(mime) > MAX_MIME_LENGTH:
        raise UploadRejected(415, "This is not a recording that can be saved")
    take, sha256 = metadata.get("take"), metadata.get("sha256")
    if take is not None and not TAKE_PATTERN.fullmatch(take):
        raise UploadRejected(400, "The recording came with a wrong name: reload this page")
    if sha256 is not None and not SHA256_PATTERN.fullmatch(sha256.lower()):
        raise UploadRejected(400, "The recording came with a wrong SHA-256: reload this page")
    size = _parse_number("Upload-Length")
    is_deferred = request.headers.get("Upload-Defer-Length") == "1"
    if (not size and not is_deferred) or ("Upload-Length" in request.headers and is_deferred):
        raise UploadRejected(400, "The recording is empty, or came without its length")
    sha256 = sha256.lower() if sha256 else None
    return Announcement(mime, size, take or sha256 or "", sha256)


def describe_metadata(mime: str, take: str, sha256: str | None) -> str:
    """Return the Upload-Metadata of an upload: only what the server uses is stored."""
    values = {"filetype": mime, "take": take} | ({"sha256": sha256} if sha256 else {})
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in values.items())


def parse_piece_headers() -> PieceHeaders:
    """Return the headers of a piece; it may be empty. Raises UploadRejected."""
    if request.mimetype != PIECE_TYPE:
        raise UploadRejected(
            415, "A piece of a recording should be application/offset+octet-stream"
        )
    start, size = _parse_number("Upload-Offset"), request.content_length
    if size is None and not request.environ.get("wsgi.input_terminated"):
        raise UploadRejected(411, "The piece came without its length")
    if start is None:
        raise UploadRejected(400, "The piece came without its Upload-Offset")
    take_size = _parse_number("Upload-Length")
    if not take_size and "Upload-Length" in request.headers:
        raise UploadRejected(400, "The recording is empty, or came without its length")
    return PieceHeaders(start, size, take_size, _parse_repr_digest(), _parse_checksum())


def read_piece(headers: PieceHeaders) -> bytes | memoryview:
    """Return the body of a piece; a view ends with the request.

    Raises UploadRejected when the body is not whole or not right.
    """
    data = _read_body()
    if headers.size not in (None, len(data)):
        raise UploadRejected(400, "The piece did not arrive whole. Please send it again")
    if headers.checksum:
        algorithm, expected = headers.checksum
        if hashlib.new(algorithm, data).digest() != expected:
            raise UploadRejected(
                CHECKSUM_MISMATCH, "The piece was damaged on its way. Please send it again"
            )
    return data


def _read_body() -> bytes | memoryview:
    """Return what has arrived; empty when the browser went away."""
    if view := read_without_copy(request.environ["wsgi.input"]):
        return view
    try:
        return request.get_data(cache=False)
    except ClientDisconnected:
        return b""


def _parse_checksum() -> tuple[str, bytes] | None:
    if "Upload-Checksum" not in request.headers:
        return None
    algorithm, _, text = request.headers["Upload-Checksum"].partition(" ")
    digest = _decode_base64(text)
    if algorithm not in CHECKSUM_ALGORITHMS or not digest:
        raise UploadRejected(400, "The piece came with an unknown checksum: reload this page")
    return algorithm, digest


def _parse_repr_digest() -> str | None:
    """Return the SHA-256 of the whole take in hex, as RFC 9530 sends it."""
    if "Repr-Digest" not in request.headers:
        return None
    match = REPR_DIGEST_PATTERN.search(request.headers["Repr-Digest"])
    digest = _decode_base64(match[1]) if match else b""
    if len(digest) != hashlib.sha256().digest_size:
        raise UploadRejected(400, "The recording came with a wrong SHA-256: reload this page")
    return digest.hex()


def _parse_number(header: str) -> int | None:
    text = request.headers.get(header, "")
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS
    return int(text) if is_number else None


def _parse_metadata(header: str) -> dict[str, str]:
    """Return the values of pairs like `take BASE64,filetype BASE64`; a wrong one is empty."""
    pairs = (pair.strip().partition(" ") for pair in header.split(","))
    return {key: _decode_base64(value).decode("utf-8", "replace") for key, _, value in pairs}


def _decode_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
