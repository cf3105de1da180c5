"""The file of an upload: appended durably, locked, and named a second time when it is complete."""

import hashlib
import threading
from pathlib import Path

import pytest

from provider.errors import Unavailable
from provider.storage.growing_file import GrowingFile
from provider.storage.media import MediaStore


def test_write_appends_and_overwrites_what_a_crash_left(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "take"
    with GrowingFile.open(path) as file:
        file.write(0, b"first")
        file.write(5, b"left from a crash")
    with GrowingFile.open(path) as file:
        file.write(5, b" last")
        assert file.size > 10
        file.truncate(10)
        assert file.sha256() == hashlib.sha256(b"first last").hexdigest()
    assert path.read_bytes() == b"first last"
    assert path.stat().st_mode & 0o077 == 0


def test_open_waits_until_another_writer_has_finished(tmp_path: Path) -> None:
    path, order = tmp_path / "take", []

    def write_second() -> None:
        with GrowingFile.open(path) as file:
            order.append(("second", file.size))

    with GrowingFile.open(path) as file:
        thread = threading.Thread(target=write_second)
        thread.start()
        file.write(0, b"bytes")
        order.append(("first", 5))
    thread.join()
    assert order == [("first", 5), ("second", 5)]


def test_link_gives_the_file_a_second_name_that_stays(tmp_path: Path) -> None:
    media = MediaStore(f"file:{tmp_path}/media")
    with media.open_growing("uploads/one/take") as file:
        file.write(0, b"bytes")
    media.link("uploads/one/take", "recordings/two/original")
    media.delete_folder("uploads/one")
    assert b"".join(media.read_range("recordings/two/original", 0, 5)) == b"bytes"


def test_link_of_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    media = MediaStore(f"file:{tmp_path}/media")
    with pytest.raises(Unavailable):
        media.link("uploads/one/take", "recordings/two/original")
