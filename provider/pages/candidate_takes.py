"""A take on its way in: one upload, kept only when every byte has arrived."""

import re
from collections.abc import Iterator

from flask import request

from provider.errors import Invalid
from provider.kinds.interview import Recording
from provider.media import CHUNK, Kept, Media

MOST = 300 * 1024 * 1024  # bytes that one take may have
TYPE = re.compile(r"(video|audio)/[\w.+-]+(\s*;[\w\s=.,;+\"'-]*)?", re.ASCII)


class Refused(Exception):
    """An upload that is not kept: the HTTP code, and what to say."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def announced(mimetype: str) -> bool:
    """Whether a body says that it is a recording."""
    return mimetype.startswith(("video/", "audio/"))


def take_in(media: Media, public_id: str) -> tuple[str, Kept]:
    """Keep the request's body as a recording's original; return its type and what was kept.

    Raises Refused when length or hash are not as announced, and Unready; then nothing is kept.
    """
    mime, told = _told()
    try:
        return mime, media.keep(original_of(public_id), _pieces(), told)
    except Invalid:
        raise Refused(400, "The recording did not arrive whole. Please send it again") from None


def original_of(public_id: str) -> str:
    """Return the media key of a recording's bytes as they came."""
    return Recording(public_id=public_id).original


def _told() -> tuple[str, Kept]:
    mime = request.headers.get("Content-Type", "")
    if not TYPE.fullmatch(mime) or len(mime) > 100:
        raise Refused(415, "This is not a recording that can be kept")
    length = request.content_length
    if length is None:
        raise Refused(411, "The recording came without its length")
    if length > MOST:
        raise Refused(413, "The recording is too large")
    digest = request.headers.get("X-Content-SHA256", "").lower()
    if length == 0 or not re.fullmatch("[0-9a-f]{64}", digest):
        raise Refused(400, "The recording is empty, or came without its X-Content-SHA256")
    return mime, Kept(length, digest)


def _pieces() -> Iterator[bytes]:
    while piece := request.stream.read(CHUNK):
        yield piece
