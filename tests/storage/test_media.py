"""The media store, on disk and in a bucket: atomic files, ranges, listing, errors."""

import contextlib
import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from provider.errors import Invalid, NotFound, Unavailable
from provider.storage import s3
from provider.storage.media import (
    BUCKET_CHUNK_BYTES,
    CHUNK_BYTES,
    UPLOAD_PART_BYTES,
    MediaStore,
    StoredFile,
)
from tests.s3_server import Bucket, require_credentials, run_s3_server
from tests.s3_server import s3_bucket as s3_bucket
from tests.s3_server import s3_server as s3_server

ListKeys = Callable[[], set[str]]
FAST_BACKOFF = s3.RETRY_BACKOFF | {"init_backoff": timedelta(milliseconds=1)}


@pytest.fixture(params=["disk", "bucket"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ListKeys]:
    """Return a URL of each kind, and a function that lists its keys without the program."""
    if request.param == "disk":
        root = tmp_path / "media"
        return f"file:{root}", lambda: {
            str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()
        }
    bucket: Bucket = request.getfixturevalue("s3_bucket")

    def list_keys() -> set[str]:
        unfinished = {"unfinished"} if bucket.count_unfinished_uploads() else set()
        return bucket.keys() | unfinished

    return bucket.url, list_keys


@pytest.fixture
def media(location: tuple[str, ListKeys]) -> MediaStore:
    return MediaStore(location[0])


@pytest.fixture
def stored_keys(location: tuple[str, ListKeys]) -> ListKeys:
    return location[1]


def read_file(media: MediaStore, key: str) -> bytes:
    return b"".join(media.read_range(key, 0, media.size(key)))


def test_put_returns_size_and_hash_and_ranges_can_be_read(media: MediaStore) -> None:
    data = os.urandom(BUCKET_CHUNK_BYTES + CHUNK_BYTES + 7)
    stored = media.put("a/b", [data[:1000], data[1000:]])
    assert stored == StoredFile(len(data), hashlib.sha256(data).hexdigest())
    assert media.size("a/b") == len(data)
    assert read_file(media, "a/b") == data
    assert (
        b"".join(media.read_range("a/b", CHUNK_BYTES - 2, CHUNK_BYTES + 3))
        == data[CHUNK_BYTES - 2 : CHUNK_BYTES + 3]
    )
    assert max(len(chunk) for chunk in media.read_range("a/b", 0, len(data))) in (
        CHUNK_BYTES,
        BUCKET_CHUNK_BYTES,
    )


def test_put_of_many_parts_stores_equal_content(media: MediaStore, stored_keys: ListKeys) -> None:
    data = os.urandom(2 * UPLOAD_PART_BYTES + 1)
    media.put(
        "a/b", (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))
    )
    assert stored_keys() == {"a/b"}
    assert read_file(media, "a/b") == data


def test_put_stores_empty_file(media: MediaStore) -> None:
    assert media.put("a/empty", []).size == 0
    assert list(media.read_range("a/empty", 0, media.size("a/empty"))) == []


def test_put_of_expected_content_is_stored(media: MediaStore, stored_keys: ListKeys) -> None:
    expected = StoredFile(6, hashlib.sha256(b"abcdef").hexdigest())
    assert media.put("a/b", [b"abc", b"def"], expected) == expected
    assert stored_keys() == {"a/b"}


@pytest.mark.parametrize("size", [3, UPLOAD_PART_BYTES + CHUNK_BYTES])
@pytest.mark.parametrize("wrong", ["size", "hash"])
def test_put_of_unexpected_content_stores_nothing(
    media: MediaStore, stored_keys: ListKeys, size: int, wrong: str
) -> None:
    data = b"x" * size
    digest = hashlib.sha256(data).hexdigest()
    expected = StoredFile(size + 1, digest) if wrong == "size" else StoredFile(size, digest[::-1])
    with pytest.raises(Invalid, match="incomplete or damaged"):
        media.put("a/b", [data[:2], data[2:]], expected)
    assert stored_keys() == set()


@pytest.mark.parametrize("before", [10, UPLOAD_PART_BYTES + CHUNK_BYTES])
def test_put_with_error_stores_nothing_and_raises_it(
    media: MediaStore, stored_keys: ListKeys, before: int
) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"x" * before
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        media.put("a/b", breaking())
    assert stored_keys() == set()


def test_put_with_error_keeps_previous_file(media: MediaStore) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"new"
        raise ConnectionResetError

    media.put("a/b", [b"old"])
    with pytest.raises(ConnectionResetError):
        media.put("a/b", breaking())
    assert read_file(media, "a/b") == b"old"


def test_missing_file_is_not_found(media: MediaStore) -> None:
    media.put("a/b", [b"abc"])
    assert media.exists("a/b")
    assert not media.exists("a/c")
    with pytest.raises(NotFound):
        media.size("a/c")
    with pytest.raises(NotFound):
        list(media.read_range("a/c", 0, 1))


def test_delete_of_missing_file_is_no_error(media: MediaStore, stored_keys: ListKeys) -> None:
    media.put("a/b", [b"abc"])
    media.delete("a/b")
    media.delete("a/b")
    assert stored_keys() == set()


def test_fetch_copies_file_to_path(media: MediaStore, tmp_path: Path) -> None:
    media.put("a/b", [b"abc"])
    media.fetch("a/b", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"abc"


def test_list_files_has_sizes_over_several_pages(
    media: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.storage.media.LIST_PAGE_SIZE", 2)
    assert list(media.list_files()) == []
    for number in range(5):
        media.put(f"recordings/{number}/original", [b"x" * number])
    expected = [(f"recordings/{number}/original", number) for number in range(5)]
    assert sorted(media.list_files()) == expected


def test_check_of_working_store_leaves_no_file(media: MediaStore, stored_keys: ListKeys) -> None:
    media.check()
    assert stored_keys() == set()


def test_media_folder_has_mode_0700(tmp_path: Path) -> None:
    MediaStore(f"file:{tmp_path / 'media'}")
    assert (tmp_path / "media").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
def test_key_cannot_leave_the_folder(tmp_path: Path, key: str) -> None:
    media = MediaStore(f"file:{tmp_path / 'media'}")
    with contextlib.suppress(Exception):  # an error is as good as a file inside the folder
        media.put(key, [b"x"])
    outside = [
        path for path in tmp_path.rglob("outside") if (tmp_path / "media") not in path.parents
    ]
    assert outside == []


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://host/x"])
def test_url_with_unknown_scheme_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="PROVIDER_MEDIA_URL"):
        MediaStore(url)


def test_failing_disk_is_unavailable(tmp_path: Path) -> None:
    media = MediaStore(f"file:{tmp_path / 'media'}")
    (tmp_path / "media" / "a").write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable, match="try again"):
        media.put("a/b", [b"x"])


# In a bucket


@pytest.mark.parametrize(
    ("first_bytes", "content_type"),
    [
        (b"\x1a\x45\xdf\xa3", "video/webm"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"<html>", "application/octet-stream"),
    ],
)
def test_bucket_file_has_content_type_of_first_bytes_and_no_store(
    s3_bucket: Bucket, first_bytes: bytes, content_type: str
) -> None:
    MediaStore(s3_bucket.url).put("a/b", [first_bytes + b"...", b"more"])
    metadata = s3_bucket.metadata("a/b")
    assert (metadata["ContentType"], metadata["CacheControl"]) == (
        content_type,
        "private, no-store",
    )


def test_store_without_presigned_urls_has_no_origin(s3_bucket: Bucket, tmp_path: Path) -> None:
    for media in (MediaStore(s3_bucket.url), MediaStore(f"file:{tmp_path}", presigned_urls=True)):
        media.put("a/b", [b"abc"])
        assert media.presigned_url("a/b", timedelta(minutes=5)) is None
        assert media.origin is None


def test_presigned_url_names_file_and_expiry_without_secret(s3_bucket: Bucket) -> None:
    media = MediaStore(s3_bucket.url, presigned_urls=True)
    url = media.presigned_url("a/b", timedelta(minutes=5))
    assert url
    assert media.origin == s3_bucket.endpoint
    assert url.startswith(f"{s3_bucket.endpoint}/{s3_bucket.name}/pre/fix/a/b?")
    assert "X-Amz-Expires=300&" in url
    assert "very-secret" not in url


def test_bucket_without_endpoint_uses_region(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket_url = f"s3://{s3_bucket.name}"
    assert s3.Bucket.from_url(bucket_url).origin == "https://s3.us-east-1.amazonaws.com"
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert s3.Bucket.from_url(bucket_url).origin == "https://s3.eu-central-1.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_bucket.endpoint)
    media = MediaStore(bucket_url)
    media.put("a", [b"x"])
    assert s3_bucket.client.head_object(Bucket=s3_bucket.name, Key="a")["ContentLength"] == 1
    bucket = s3.Bucket.from_url(f"{bucket_url}/p?endpoint=https://s3.test:9000/at/&region=eu")
    assert bucket == s3.Bucket(s3_bucket.name, "p", "https://s3.test:9000/at", "eu")
    assert bucket.origin == "https://s3.test:9000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "s3.example.com"),
        ("AWS_ENDPOINT_URL", "http://:99999"),
        ("AWS_ENDPOINT_URL_S3", "ftp://s3"),
        ("AWS_REGION", "eu central"),
    ],
)
def test_wrong_aws_variable_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Invalid, match=name.removesuffix("_S3")):
        MediaStore("s3://s3_bucket/x")


def operations(media: MediaStore) -> list[Callable[[], object]]:
    return [
        lambda: media.put("a/b", [b"x"]),
        lambda: media.put("a/b", [b"x" * CHUNK_BYTES] * 21),
        lambda: media.size("a/b"),
        lambda: media.exists("a/b"),
        lambda: list(media.read_range("a/b", 0, 1)),
        lambda: list(media.list_files()),
        lambda: media.delete("a/b"),
    ]


def check_unavailable(media: MediaStore, reason: str) -> None:
    """Check that every operation fails with the general message and logs the reason."""
    for operation in operations(media):
        with capture_logs() as logs, pytest.raises(Unavailable, match="try again in a moment"):
            operation()
        assert re.search(reason, logs[-1]["reason"])
        assert "secret" not in str(logs)
    with pytest.raises(
        Unavailable, match=f"PROVIDER_MEDIA_URL: the bucket .* cannot be used: {reason}"
    ):
        media.check()


def test_missing_bucket_is_unavailable_instead_of_not_found(s3_bucket: Bucket) -> None:
    media = MediaStore(s3_bucket.url)
    media.put("a/b", [b"x"])
    s3_bucket.remove()
    check_unavailable(media, "there is no such bucket")


def test_refused_keys_are_the_logged_reason(s3_bucket: Bucket) -> None:
    media = MediaStore(s3_bucket.url)
    with require_credentials(s3_bucket.endpoint):
        check_unavailable(media, "its keys are refused|it refuses these keys")


def test_unreachable_server_is_the_logged_reason(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "RETRY_BACKOFF", FAST_BACKOFF)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        media = MediaStore(f"s3://s3_bucket?endpoint=http://127.0.0.1:{free.getsockname()[1]}")
        check_unavailable(media, "it does not answer")


def test_hanging_server_times_out(s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses 200 ms instead of 5 s for a request and 10 s for an upload."""
    assert (
        s3.REQUEST_TIMEOUT.seconds,
        s3.UPLOAD_TIMEOUT.seconds,
        s3.RETRY_TIMEOUT.seconds,
    ) == (5, 10, 3)
    monkeypatch.setattr(s3, "RETRY_BACKOFF", FAST_BACKOFF)
    for name in ("REQUEST_TIMEOUT", "UPLOAD_TIMEOUT"):
        monkeypatch.setattr(s3, name, timedelta(milliseconds=200))
    monkeypatch.setattr(s3, "RETRY_TIMEOUT", timedelta(milliseconds=100))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        media = MediaStore(f"s3://s3_bucket?endpoint=http://127.0.0.1:{silent.getsockname()[1]}")
        for operation in operations(media):
            started_at = time.monotonic()
            with pytest.raises(Unavailable):
                operation()
            assert time.monotonic() - started_at < 5


def test_upload_timeout_is_longer_than_request_timeout(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "REQUEST_TIMEOUT", timedelta(milliseconds=200))
    timed_out = threading.Event()

    class SlowHandler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            timed_out.wait(10)

        def do_PUT(self) -> None:
            with pytest.raises(Unavailable):
                store.size("a/b")
            timed_out.set()
            self.answer(b"")

        def do_POST(self) -> None:
            action = "Initiate" if "uploads" in self.path else "Complete"
            template = "<{0}><UploadId>u</UploadId><ETag>a</ETag></{0}>"
            self.answer(template.format(f"{action}MultipartUploadResult").encode())

        def answer(self, body: bytes) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(200)
            self.send_header("ETag", '"a"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler) as server:
        store = MediaStore(f"s3://s3_bucket?endpoint=http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            assert store.put("a/b", [b"x"]).size == 1
        finally:
            server.shutdown()


def test_interrupted_upload_stores_nothing_and_can_be_repeated(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "RETRY_BACKOFF", FAST_BACKOFF)
    with run_s3_server() as (endpoint, server):
        media = MediaStore(f"s3://{s3_bucket.name}/pre/fix?endpoint={endpoint}")

        def interrupted() -> Iterator[bytes]:
            for number in range(60):
                if number == 30:  # one part is uploaded already
                    server.stop()
                yield b"x" * CHUNK_BYTES

        with pytest.raises(Unavailable):
            media.put("a/b", interrupted())
        assert s3_bucket.keys() == set()
    with run_s3_server(urlsplit(endpoint).port or 0):
        assert media.put("a/b", [b"x" * CHUNK_BYTES] * 30).size == 30 * CHUNK_BYTES
    assert s3_bucket.keys() == {"a/b"}


def test_upload_buffers_at_most_four_parts(s3_bucket: Bucket) -> None:
    media = MediaStore(s3_bucket.url)
    buffered: list[int] = []  # bytes that were read and are not in the bucket yet

    def chunks() -> Iterator[bytes]:
        for number in range(160):
            if number % 20 == 0:
                buffered.append(number * CHUNK_BYTES - uploaded_bytes())
            yield bytes(CHUNK_BYTES)

    def uploaded_bytes() -> int:
        uploads = s3_bucket.client.list_multipart_uploads(Bucket=s3_bucket.name).get("Uploads", [])
        target = {"Bucket": s3_bucket.name, "Key": "pre/fix/a/b"}
        pages = [
            s3_bucket.client.list_parts(UploadId=upload["UploadId"], **target) for upload in uploads
        ]
        return sum(part["Size"] for page in pages for part in page.get("Parts", []))

    media.put("a/b", chunks())
    assert len(buffered) == 8
    assert max(buffered) <= 4 * UPLOAD_PART_BYTES
