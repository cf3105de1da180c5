"""Media files, whole and by byte range."""

from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from provider.errors import NotFound
from provider.storage.media import CHUNK_BYTES, MediaStore
from provider.web.range_responses import safe_mimetype, serve_media

BYTES = bytes(range(256)) * 8


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    media = MediaStore(f"file:{tmp_path / 'media'}")
    media.put("a/file", [BYTES])
    return media


@pytest.fixture
def app() -> Flask:
    return Flask("range_responses")


def serve(
    app: Flask, media: MediaStore, range_: str | None = None, method: str = "GET"
) -> TestResponse:
    app.add_url_rule("/", view_func=lambda: serve_media(media, "a/file", "video/webm;codecs=vp9"))
    headers = {"Range": range_} if range_ else {}
    return app.test_client().open("/", method=method, headers=headers)


def test_serve_media_without_range_returns_whole_file(app: Flask, media: MediaStore) -> None:
    response = serve(app, media)
    assert (response.status_code, response.data) == (200, BYTES)
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Type"] == "video/webm"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "filename" not in response.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("range_", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=2000-", 2000, 2048),
        ("bytes=-5", 2043, 2048),
        ("bytes=0-99999", 0, 2048),
        ("bytes=0-", 0, 2048),
        ("bytes=-2048", 0, 2048),
        ("bytes=-99999", 0, 2048),
    ],
)
def test_serve_media_with_range_returns_206(
    app: Flask, media: MediaStore, range_: str, start: int, end: int
) -> None:
    response = serve(app, media, range_)
    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/2048"
    assert response.headers["Content-Length"] == str(end - start)
    assert response.data == BYTES[start:end]


def test_serve_media_range_after_end_returns_416(app: Flask, media: MediaStore) -> None:
    response = serve(app, media, "bytes=2048-")
    assert response.status_code == 416
    assert response.headers["Content-Range"] == "bytes */2048"


@pytest.mark.parametrize("range_", ["nonsense", "bytes=5-2", "lines=1-2", "bytes=0-1,5-6"])
def test_serve_media_invalid_range_is_ignored(app: Flask, media: MediaStore, range_: str) -> None:
    response = serve(app, media, range_)
    assert (response.status_code, response.data) == (200, BYTES)


def test_serve_media_head_returns_size_only(app: Flask, media: MediaStore) -> None:
    response = serve(app, media, method="HEAD")
    assert response.headers["Content-Length"] == "2048"
    assert response.data == b""


def test_serve_media_long_file_is_read_in_chunks(app: Flask, media: MediaStore) -> None:
    media.put("a/file", [b"x" * CHUNK_BYTES, b"y" * 10])
    response = serve(app, media)
    assert [len(chunk) for chunk in response.iter_encoded()] == [CHUNK_BYTES, 10]


def test_serve_media_missing_file_raises_not_found(app: Flask, tmp_path: Path) -> None:
    app.testing = True
    with pytest.raises(NotFound):
        serve(app, MediaStore(f"file:{tmp_path / 'empty'}"))


@pytest.mark.parametrize(
    "mimetype", ["text/html", "video/x-evil", "", "video/webm2", "image/svg+xml"]
)
def test_safe_mimetype_unknown_type_is_octet_stream(mimetype: str) -> None:
    assert safe_mimetype(mimetype) == "application/octet-stream"
    assert safe_mimetype("Video/MP4; codecs=avc1") == "video/mp4"
