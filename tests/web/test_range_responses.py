"""Serving files in parts."""

from pathlib import Path

import pytest
from flask import Flask, Response

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
def asked() -> Flask:
    return Flask("asked")


def ask(app: Flask, media: MediaStore, range_: str | None = None, method: str = "GET") -> Response:
    headers = {"Range": range_} if range_ else {}
    with app.test_request_context("/", method=method, headers=headers):
        return serve_media(media, "a/file", "video/webm;codecs=vp9")


def test_without_a_range_the_whole_file_is_served(asked: Flask, media: MediaStore) -> None:
    response = ask(asked, media)
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
    ],
)
def test_a_range_is_served_as_asked(
    asked: Flask, media: MediaStore, range_: str, start: int, end: int
) -> None:
    response = ask(asked, media, range_)
    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/2048"
    assert response.headers["Content-Length"] == str(end - start)
    assert response.data == BYTES[start:end]


def test_a_range_behind_the_end_is_refused_with_the_size(asked: Flask, media: MediaStore) -> None:
    response = ask(asked, media, "bytes=2048-")
    assert response.status_code == 416
    assert response.headers["Content-Range"] == "bytes */2048"


@pytest.mark.parametrize("range_", ["nonsense", "bytes=5-2", "lines=1-2", "bytes=0-1,5-6"])
def test_a_range_that_cannot_be_understood_is_ignored(
    asked: Flask, media: MediaStore, range_: str
) -> None:
    response = ask(asked, media, range_)
    assert (response.status_code, response.data) == (200, BYTES)


def test_head_tells_the_size_and_reads_nothing(asked: Flask, media: MediaStore) -> None:
    response = ask(asked, media, method="HEAD")
    assert response.headers["Content-Length"] == "2048"
    assert response.data == b""


def test_a_long_file_comes_in_pieces(asked: Flask, media: MediaStore) -> None:
    media.put("a/file", [b"x" * CHUNK_BYTES, b"y" * 10])
    response = ask(asked, media)
    assert [len(piece) for piece in response.response] == [CHUNK_BYTES, 10]


def test_a_file_that_is_not_there_is_not_found(asked: Flask, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        ask(asked, MediaStore(f"file:{tmp_path / 'empty'}"))


@pytest.mark.parametrize("said", ["text/html", "video/x-evil", "", "video/webm2", "image/svg+xml"])
def test_only_known_types_are_named_to_a_browser(said: str) -> None:
    assert safe_mimetype(said) == "application/octet-stream"
    assert safe_mimetype("Video/MP4; codecs=avc1") == "video/mp4"
