"""Files by key: whole or not at all."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.errors import Invalid, NotFound
from provider.media import CHUNK, Kept, Media


@pytest.fixture
def media(tmp_path: Path) -> Media:
    return Media(f"file:{tmp_path / 'media'}")


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "media").rglob("*") if path.is_file()]


def test_what_is_kept_is_told_by_size_and_hash_and_read_in_parts(media: Media) -> None:
    data = os.urandom(3 * CHUNK + 7)
    kept = media.keep("a/b", [data[:1000], data[1000:]])
    assert kept == Kept(len(data), hashlib.sha256(data).hexdigest())
    assert media.size("a/b") == len(data)
    assert b"".join(media.read("a/b", 0, len(data))) == data
    assert b"".join(media.read("a/b", CHUNK - 2, CHUNK + 3)) == data[CHUNK - 2 : CHUNK + 3]
    assert [len(piece) for piece in media.read("a/b", 0, len(data))] == [CHUNK] * 3 + [7]


def test_a_file_can_be_empty(media: Media) -> None:
    assert media.keep("a/empty", []).size == 0
    assert list(media.read("a/empty", 0, media.size("a/empty"))) == []


@pytest.mark.parametrize("before", [10, 6 * 1024 * 1024])
def test_an_error_on_the_way_leaves_nothing_and_comes_out(
    media: Media, tmp_path: Path, before: int
) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"x" * before
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        media.keep("a/b", breaking())
    assert files(tmp_path) == []


def test_an_error_on_the_way_leaves_the_file_that_was_there(media: Media) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"new"
        raise ConnectionResetError

    media.keep("a/b", [b"old"])
    with pytest.raises(ConnectionResetError):
        media.keep("a/b", breaking())
    assert b"".join(media.read("a/b", 0, 3)) == b"old"


def test_a_moved_file_is_under_its_new_key_alone(media: Media) -> None:
    media.keep("coming/a", [b"abc"])
    media.move("coming/a", "there/a")
    assert media.size("there/a") == 3
    with pytest.raises(NotFound):
        media.size("coming/a")


def test_dropping_twice_is_once(media: Media, tmp_path: Path) -> None:
    media.keep("a/b", [b"abc"])
    media.drop("a/b")
    media.drop("a/b")
    assert files(tmp_path) == []


def test_a_file_is_fetched_to_a_path(media: Media, tmp_path: Path) -> None:
    media.keep("a/b", [b"abc"])
    media.fetch("a/b", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"abc"


def test_the_folder_is_the_servers_alone(media: Media, tmp_path: Path) -> None:
    assert (tmp_path / "media").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
def test_a_key_never_leads_out_of_the_folder(media: Media, tmp_path: Path, key: str) -> None:
    with contextlib.suppress(Exception):  # refused is as good as kept inside
        media.keep(key, [b"x"])
    outside = [p for p in tmp_path.rglob("outside") if (tmp_path / "media") not in p.parents]
    assert outside == []


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://host/x"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="PROVIDER_MEDIA_URL"):
        Media(url)
