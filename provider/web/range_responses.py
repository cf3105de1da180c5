"""Files that are watched: served whole or in part, so that a video can be wound to and fro."""

from collections.abc import Iterator
from datetime import timedelta

from flask import Response, request

from provider.storage.media import MediaStore

PLAYABLE_TYPES = {"video/webm", "video/mp4", "audio/webm", "audio/mp4", "image/jpeg"}

# How long an address in the bucket is good. A player keeps the one that it was led to and asks
# there for more when somebody winds: it must outlast half an hour's answer, with pauses.
IMAGE_URL_LIFETIME, VIDEO_URL_LIFETIME = timedelta(minutes=5), timedelta(hours=1)


def serve_media(media: MediaStore, key: str, mimetype: str, download_name: str = "") -> Response:
    """Answer GET or HEAD with a file or the one range of it that is asked for (RFC 9110, 14).

    Where the store has addresses of its own, GET leads there. A file with a `name` is to be kept,
    and comes from us. A type that browsers are not meant to play goes out as plain bytes. Raises
    NotFound, Unready.
    """
    lasts = IMAGE_URL_LIFETIME if mimetype.startswith("image/") else VIDEO_URL_LIFETIME
    if (
        request.method == "GET"
        and not download_name
        and (address := media.presigned_url(key, lasts))
    ):
        return Response(status=302, headers={"Location": address, "Cache-Control": "no-store"})
    response = _range_response(media, key, mimetype)
    if download_name:
        response.headers["Content-Disposition"] = f"attachment; filename={download_name}"
    return response


def _range_response(media: MediaStore, key: str, mimetype: str) -> Response:
    size = media.size(key)
    wanted = request.range
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return _bytes_response(media, key, mimetype, 0, size)
    span = wanted.range_for_length(size)
    if span is None:
        return Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    response = _bytes_response(media, key, mimetype, *span)
    response.status_code = 206
    response.headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{size}"
    return response


def _bytes_response(media: MediaStore, key: str, mimetype: str, start: int, end: int) -> Response:
    body: Iterator[bytes] = iter(())
    if request.method != "HEAD":
        body = media.read_range(key, start, end)
    headers = {
        "Content-Type": safe_mimetype(mimetype),
        "Content-Length": str(end - start),
        "Content-Disposition": "inline",
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(body, headers=headers)


def safe_mimetype(mimetype: str) -> str:
    """Return a type that is safe to send to a browser; what a recorder said may be anything."""
    plain = mimetype.partition(";")[0].strip().lower()
    return plain if plain in PLAYABLE_TYPES else "application/octet-stream"
