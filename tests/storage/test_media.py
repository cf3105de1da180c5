"""Files by key: whole or not at all, on disk and in a bucket."""

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

Stored = Callable[[], set[str]]
SHORTLY = s3.RETRY_BACKOFF | {"init_backoff": timedelta(milliseconds=1)}


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Stored]:
    """Return an address of each kind, and what is stored there, seen past the program."""
    if request.param == "disk":
        root = tmp_path / "media"
        return f"file:{root}", lambda: {
            str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()
        }
    one: Bucket = request.getfixturevalue("s3_bucket")
    return (
        one.url,
        lambda: one.keys() | {"unfinished"} if one.count_unfinished_uploads() else one.keys(),
    )


@pytest.fixture
def media(place: tuple[str, Stored]) -> MediaStore:
    return MediaStore(place[0])


@pytest.fixture
def stored(place: tuple[str, Stored]) -> Stored:
    return place[1]


def whole(media: MediaStore, key: str) -> bytes:
    return b"".join(media.read_range(key, 0, media.size(key)))


def test_what_is_kept_is_told_by_size_and_hash_and_read_in_parts(media: MediaStore) -> None:
    data = os.urandom(BUCKET_CHUNK_BYTES + CHUNK_BYTES + 7)
    kept = media.put("a/b", [data[:1000], data[1000:]])
    assert kept == StoredFile(len(data), hashlib.sha256(data).hexdigest())
    assert media.size("a/b") == len(data)
    assert whole(media, "a/b") == data
    assert (
        b"".join(media.read_range("a/b", CHUNK_BYTES - 2, CHUNK_BYTES + 3))
        == data[CHUNK_BYTES - 2 : CHUNK_BYTES + 3]
    )
    assert max(len(piece) for piece in media.read_range("a/b", 0, len(data))) in (
        CHUNK_BYTES,
        BUCKET_CHUNK_BYTES,
    )


def test_a_file_of_many_parts_comes_back_as_it_went(media: MediaStore, stored: Stored) -> None:
    data = os.urandom(2 * UPLOAD_PART_BYTES + 1)
    media.put("a/b", (data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)))
    assert stored() == {"a/b"}
    assert whole(media, "a/b") == data


def test_a_file_can_be_empty(media: MediaStore) -> None:
    assert media.put("a/empty", []).size == 0
    assert list(media.read_range("a/empty", 0, media.size("a/empty"))) == []


def test_what_arrives_as_told_is_kept(media: MediaStore, stored: Stored) -> None:
    told = StoredFile(6, hashlib.sha256(b"abcdef").hexdigest())
    assert media.put("a/b", [b"abc", b"def"], told) == told
    assert stored() == {"a/b"}


@pytest.mark.parametrize("size", [3, UPLOAD_PART_BYTES + CHUNK_BYTES])
@pytest.mark.parametrize("wrong", ["size", "hash"])
def test_what_does_not_arrive_as_told_is_not_kept(
    media: MediaStore, stored: Stored, size: int, wrong: str
) -> None:
    data = b"x" * size
    digest = hashlib.sha256(data).hexdigest()
    told = StoredFile(size + 1, digest) if wrong == "size" else StoredFile(size, digest[::-1])
    with pytest.raises(Invalid, match="did not arrive whole"):
        media.put("a/b", [data[:2], data[2:]], told)
    assert stored() == set()


@pytest.mark.parametrize("before", [10, UPLOAD_PART_BYTES + CHUNK_BYTES])
def test_an_error_on_the_way_leaves_nothing_and_comes_out(
    media: MediaStore, stored: Stored, before: int
) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"x" * before
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        media.put("a/b", breaking())
    assert stored() == set()


def test_an_error_on_the_way_leaves_the_file_that_was_there(media: MediaStore) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"new"
        raise ConnectionResetError

    media.put("a/b", [b"old"])
    with pytest.raises(ConnectionResetError):
        media.put("a/b", breaking())
    assert whole(media, "a/b") == b"old"


def test_what_is_not_there_is_not_found_and_not_held(media: MediaStore) -> None:
    media.put("a/b", [b"abc"])
    assert media.exists("a/b")
    assert not media.exists("a/c")
    with pytest.raises(NotFound):
        media.size("a/c")
    with pytest.raises(NotFound):
        list(media.read_range("a/c", 0, 1))


def test_dropping_twice_is_once(media: MediaStore, stored: Stored) -> None:
    media.put("a/b", [b"abc"])
    media.delete("a/b")
    media.delete("a/b")
    assert stored() == set()


def test_a_file_is_fetched_to_a_path(media: MediaStore, tmp_path: Path) -> None:
    media.put("a/b", [b"abc"])
    media.fetch("a/b", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"abc"


def test_every_key_is_listed_with_its_size_page_by_page(
    media: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.storage.media.LIST_PAGE_SIZE", 2)
    assert list(media.list_files()) == []
    for number in range(5):
        media.put(f"recordings/{number}/original", [b"x" * number])
    expected = [(f"recordings/{number}/original", number) for number in range(5)]
    assert sorted(media.list_files()) == expected


def test_a_store_that_can_be_used_passes_its_check_and_keeps_nothing_of_it(
    media: MediaStore, stored: Stored
) -> None:
    media.check()
    assert stored() == set()


def test_the_folder_is_the_servers_alone(tmp_path: Path) -> None:
    MediaStore(f"file:{tmp_path / 'media'}")
    assert (tmp_path / "media").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
def test_a_key_never_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    media = MediaStore(f"file:{tmp_path / 'media'}")
    with contextlib.suppress(Exception):  # refused is as good as kept inside
        media.put(key, [b"x"])
    outside = [p for p in tmp_path.rglob("outside") if (tmp_path / "media") not in p.parents]
    assert outside == []


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://host/x"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="PROVIDER_MEDIA_URL"):
        MediaStore(url)


def test_a_disk_that_fails_is_a_store_that_is_not_ready(tmp_path: Path) -> None:
    media = MediaStore(f"file:{tmp_path / 'media'}")
    (tmp_path / "media" / "a").write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable, match="try again"):
        media.put("a/b", [b"x"])


# In a bucket


@pytest.mark.parametrize(
    ("begins", "mime"),
    [
        (b"\x1a\x45\xdf\xa3", "video/webm"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"<html>", "application/octet-stream"),
    ],
)
def test_a_file_says_what_it_is_by_its_first_bytes_and_is_not_to_be_stored_on_the_way(
    s3_bucket: Bucket, begins: bytes, mime: str
) -> None:
    MediaStore(s3_bucket.url).put("a/b", [begins + b"...", b"more"])
    told = s3_bucket.metadata("a/b")
    assert (told["ContentType"], told["CacheControl"]) == (mime, "private, no-store")


def test_only_a_signed_store_has_addresses_of_its_own(s3_bucket: Bucket, tmp_path: Path) -> None:
    for media in (MediaStore(s3_bucket.url), MediaStore(f"file:{tmp_path}", presigned_urls=True)):
        media.put("a/b", [b"abc"])
        assert media.presigned_url("a/b", timedelta(minutes=5)) is None
        assert media.origin is None


def test_an_address_is_for_one_file_and_so_long_and_holds_no_secret(s3_bucket: Bucket) -> None:
    media = MediaStore(s3_bucket.url, presigned_urls=True)
    address = media.presigned_url("a/b", timedelta(minutes=5))
    assert address
    assert media.origin == s3_bucket.endpoint
    assert address.startswith(f"{s3_bucket.endpoint}/{s3_bucket.name}/pre/fix/a/b?")
    assert "X-Amz-Expires=300&" in address
    assert "very-secret" not in address


def test_a_region_names_the_place_where_no_endpoint_does(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = f"s3://{s3_bucket.name}"
    assert s3.Bucket.from_url(plain).origin == "https://s3.us-east-1.amazonaws.com"
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert s3.Bucket.from_url(plain).origin == "https://s3.eu-central-1.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_bucket.endpoint)
    media = MediaStore(plain)
    media.put("a", [b"x"])
    assert s3_bucket.client.head_object(Bucket=s3_bucket.name, Key="a")["ContentLength"] == 1
    there = s3.Bucket.from_url(f"{plain}/p?endpoint=https://s3.test:9000/at/&region=eu")
    assert there == s3.Bucket(s3_bucket.name, "p", "https://s3.test:9000/at", "eu")
    assert there.origin == "https://s3.test:9000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "s3.example.com"),
        ("AWS_ENDPOINT_URL", "http://:99999"),
        ("AWS_ENDPOINT_URL_S3", "ftp://s3"),
        ("AWS_REGION", "eu central"),
    ],
)
def test_a_bad_word_of_the_environment_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Invalid, match=name.removesuffix("_S3")):
        MediaStore("s3://s3_bucket/x")


def every(media: MediaStore) -> list[Callable[[], object]]:
    """Return every way to use a store."""
    return [
        lambda: media.put("a/b", [b"x"]),
        lambda: media.put("a/b", [b"x" * CHUNK_BYTES] * 21),
        lambda: media.size("a/b"),
        lambda: media.exists("a/b"),
        lambda: list(media.read_range("a/b", 0, 1)),
        lambda: list(media.list_files()),
        lambda: media.delete("a/b"),
    ]


def refuses(media: MediaStore, why: str) -> None:
    """Have every use of a store say one thing to people, and another to the log."""
    for use in every(media):
        with capture_logs() as logs, pytest.raises(Unavailable, match="try again in a moment"):
            use()
        assert re.search(why, logs[-1]["why"])
        assert "secret" not in str(logs)
    with pytest.raises(
        Unavailable, match=f"PROVIDER_MEDIA_URL: the bucket .* cannot be used: {why}"
    ):
        media.check()


def test_a_bucket_that_is_gone_is_no_missing_file(s3_bucket: Bucket) -> None:
    media = MediaStore(s3_bucket.url)
    media.put("a/b", [b"x"])
    s3_bucket.remove()
    refuses(media, "there is no such bucket")


def test_wrong_keys_are_told_as_such(s3_bucket: Bucket) -> None:
    media = MediaStore(s3_bucket.url)
    with require_credentials(s3_bucket.endpoint):
        refuses(media, "its keys are refused|it refuses these keys")


def test_a_server_that_is_gone_is_told_as_such(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "RETRY_BACKOFF", SHORTLY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        media = MediaStore(f"s3://s3_bucket?endpoint=http://127.0.0.1:{free.getsockname()[1]}")
        refuses(media, "it does not answer")


def test_a_server_that_hangs_is_given_up(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 200 ms here: otherwise in 5 s, an upload in 10, and no second try is begun after 3."""
    assert (
        s3.REQUEST_TIMEOUT.seconds,
        s3.UPLOAD_TIMEOUT.seconds,
        s3.RETRY_TIMEOUT.seconds,
    ) == (5, 10, 3)
    monkeypatch.setattr(s3, "RETRY_BACKOFF", SHORTLY)
    for name in ("ASK", "PUT"):
        monkeypatch.setattr(s3, name, timedelta(milliseconds=200))
    monkeypatch.setattr(s3, "RETRY_TIMEOUT", timedelta(milliseconds=100))
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        media = MediaStore(f"s3://s3_bucket?endpoint=http://127.0.0.1:{deaf.getsockname()[1]}")
        for use in every(media):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                use()
            assert time.monotonic() - began < 5


def test_an_upload_is_given_more_time_than_a_question(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "REQUEST_TIMEOUT", timedelta(milliseconds=200))
    given_up = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            given_up.wait(10)

        def do_PUT(self) -> None:
            with pytest.raises(Unavailable):
                store.size("a/b")
            given_up.set()
            self.answer(b"")

        def do_POST(self) -> None:
            word = "Initiate" if "uploads" in self.path else "Complete"
            shape = "<{0}><UploadId>u</UploadId><ETag>a</ETag></{0}>"
            self.answer(shape.format(f"{word}MultipartUploadResult").encode())

        def answer(self, body: bytes) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(200)
            self.send_header("ETag", '"a"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        store = MediaStore(f"s3://s3_bucket?endpoint=http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            assert store.put("a/b", [b"x"]).size == 1
        finally:
            server.shutdown()


def test_a_server_that_goes_away_in_the_middle_has_kept_nothing_and_a_second_try_has(
    s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "RETRY_BACKOFF", SHORTLY)
    with run_s3_server() as (endpoint, server):
        media = MediaStore(f"s3://{s3_bucket.name}/pre/fix?endpoint={endpoint}")

        def interrupted() -> Iterator[bytes]:
            for number in range(60):
                if number == 30:  # a part is there already
                    server.stop()
                yield b"x" * CHUNK_BYTES

        with pytest.raises(Unavailable):
            media.put("a/b", interrupted())
        assert s3_bucket.keys() == set()
    with run_s3_server(urlsplit(endpoint).port or 0):
        assert media.put("a/b", [b"x" * CHUNK_BYTES] * 30).size == 30 * CHUNK_BYTES
    assert s3_bucket.keys() == {"a/b"}


def test_an_upload_takes_a_few_parts_of_memory_however_long_it_is(s3_bucket: Bucket) -> None:
    """The bytes that were taken in and are not in the bucket yet are never more than that."""
    media = MediaStore(s3_bucket.url)
    ahead: list[int] = []

    def watched() -> Iterator[bytes]:
        for number in range(160):
            if number % 20 == 0:
                ahead.append(number * CHUNK_BYTES - there())
            yield bytes(CHUNK_BYTES)

    def there() -> int:
        begun = s3_bucket.client.list_multipart_uploads(Bucket=s3_bucket.name).get("Uploads", [])
        of = {"Bucket": s3_bucket.name, "Key": "pre/fix/a/b"}
        parts = [s3_bucket.client.list_parts(UploadId=one["UploadId"], **of) for one in begun]
        return sum(part["Size"] for one in parts for part in one.get("Parts", []))

    media.put("a/b", watched())
    assert len(ahead) == 8
    assert max(ahead) <= 4 * UPLOAD_PART_BYTES
