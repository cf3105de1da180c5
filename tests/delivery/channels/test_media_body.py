"""Bodies that refer to media files: small when stored, complete when sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.delivery.channels.media_body import MediaBody, MediaReference
from provider.errors import Invalid, NotFound
from provider.storage.media import CHUNK_BYTES, MediaStore

KEY = "recordings/one/original"
VIDEO = b"\x1a\x45\xdf\xa3" + bytes(range(256)) * (3 * CHUNK_BYTES // 256)
TEXT = 'media:recordings/two/original {"media": "media:x"} ü'


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    return MediaStore(f"file:{tmp_path / 'media'}")


@pytest.fixture
def body(media: MediaStore) -> MediaBody:
    return MediaBody([TEXT, MediaReference(KEY, media.put(KEY, [VIDEO])), "end"])


def test_stored_body_is_small_and_names_key_and_digest(body: MediaBody) -> None:
    stored = body.to_bytes()
    assert len(stored) < 400
    assert f'"media:{KEY}"'.encode() in stored
    reference = body.pieces[1]
    assert isinstance(reference, MediaReference)
    assert reference.file.sha256.encode() in stored
    assert MediaBody.from_bytes(stored) == body


def test_every_read_of_stored_body_yields_the_same_bytes(
    media: MediaStore, body: MediaBody
) -> None:
    expected = TEXT.encode() + VIDEO + b"end"
    stored = body.to_bytes()
    for _ in range(2):
        assert b"".join(MediaBody.from_bytes(stored).read(media)) == expected
    assert body.content_length == len(expected)


def test_text_that_looks_like_a_reference_stays_text(media: MediaStore) -> None:
    stored = MediaBody([TEXT]).to_bytes()
    assert b"".join(MediaBody.from_bytes(stored).read(media)) == TEXT.encode()


@pytest.mark.parametrize("changed", [VIDEO[:-1] + b"?", VIDEO[:-1], VIDEO + b"?", b""])
def test_changed_file_is_refused_before_its_last_chunk(
    media: MediaStore, body: MediaBody, changed: bytes
) -> None:
    media.put(KEY, [changed])
    received = bytearray()
    with pytest.raises(Invalid, match=f"{KEY} has changed"):
        receive(body.read(media), received)
    assert len(received) < body.content_length  # the receiver sees an incomplete request


def receive(chunks: Iterator[bytes], received: bytearray) -> None:
    for chunk in chunks:
        received += chunk


def test_missing_file_is_not_found(media: MediaStore, body: MediaBody) -> None:
    media.delete(KEY)
    with pytest.raises(NotFound):
        list(body.read(media))


def test_empty_file_is_sent_as_nothing(media: MediaStore) -> None:
    body = MediaBody(["a", MediaReference(KEY, media.put(KEY, [b""])), "b"])
    assert b"".join(body.read(media)) == b"ab"
