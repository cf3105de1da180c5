"""Media files, served whole or as one byte range, so that a player can seek."""

from collections.abc import Iterable
from datetime import timedelta

from flask import Response, request
from werkzeug.datastructures import Range
from werkzeug.wsgi import wrap_file

from provider.storage.media import CHUNK_BYTES, MediaStore

PLAYABLE_TYPES = {
    *("video/webm", "video/mp4"),
    *("audio/webm", "audio/mp4", "audio/mpeg", "audio/ogg", "audio/wav"),
    *("image/jpeg", "image/png", "image/webp"),
}

# The lifetime of a presigned URL. A player keeps the URL of its first request and seeks with it:
# a video's URL must outlast half an hour of watching, with pauses.
IMAGE_URL_LIFETIME = timedelta(minutes=5)
VIDEO_URL_LIFETIME = timedelta(hours=1)


def serve_media(media: MediaStore, key: str, mimetype: str, download_name: str = "") -> Response:
    """Answer GET or HEAD with a file, or with the one range that is requested (RFC 9110, 14).

    A store that has presigned URLs gets GET requests by a redirect. A file with a `download_name`
    is sent by this server as an attachment. An unplayable type is sent as
    `application/octet-stream`. Raises NotFound and Unavailable.
    """
    lifetime = IMAGE_URL_LIFETIME if mimetype.startswith("image/") else VIDEO_URL_LIFETIME
    if (
        request.method == "GET"
        and not download_name
        and (url := media.presigned_url(key, lifetime))
    ):
        return Response(status=302, headers={"Location": url, "Cache-Control": "no-store"})
    response = _range_response(media, key, mimetype)
    if download_name:
        response.headers["Content-Disposition"] = f"attachment; filename={download_name}"
    return response


def _range_response(media: MediaStore, key: str, mimetype: str) -> Response:
    size = media.size(key)
    requested = request.range
    if requested is None or requested.units != "bytes" or len(requested.ranges) != 1:
        return _bytes_response(media, key, mimetype, 0, size)
    span = _find_span(requested, size)
    if span is None:
        return Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    response = _bytes_response(media, key, mimetype, *span)
    response.status_code = 206
    response.headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{size}"
    return response


def _find_span(requested: Range, size: int) -> tuple[int, int] | None:
    """Return the first byte and the byte after the last; None: the file has no such bytes."""
    first, _ = requested.ranges[0]
    # The last N bytes of a shorter file are the whole file (RFC 9110, 14.1.2).
    if first is not None and -first >= size > 0:
        return 0, size
    return requested.range_for_length(size)


def _bytes_response(media: MediaStore, key: str, mimetype: str, start: int, end: int) -> Response:
    body: Iterable[bytes] = ()
    file = None
    if request.method != "HEAD":
        # The server sends a file without a thread; other bytes go through the app.
        file = media.open_range(key, start, end)
        body = (
            wrap_file(request.environ, file, CHUNK_BYTES)
            if file
            else media.read_range(key, start, end)
        )
    headers = {
        "Content-Type": safe_mimetype(mimetype),
        "Content-Length": str(end - start),
        "Content-Disposition": "inline",
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(body, headers=headers, direct_passthrough=file is not None)


def safe_mimetype(mimetype: str) -> str:
    """Return a type that a browser only plays; the stored type comes from a candidate's browser."""
    plain = mimetype.partition(";")[0].strip().lower()
    return plain if plain in PLAYABLE_TYPES else "application/octet-stream"
