"""The virus scanner: what it answers decides, and without an answer no file is accepted."""

from pathlib import Path

import pytest

from provider.core.kinds.check.document_reading.clamd import scan
from provider.errors import Invalid, Unavailable
from tests.fake_clamd import EICAR, running_clamd


def test_scan_sends_whole_file_and_accepts_clean_one(tmp_path: Path) -> None:
    content = bytes(range(256)) * 3000
    for path in (None, tmp_path / "clamd"):
        with running_clamd(path) as daemon:
            scan(content, daemon.address)
            scan(b"", daemon.address)
            assert daemon.received == [content, b""]


def test_scan_of_virus_is_invalid() -> None:
    with running_clamd() as daemon, pytest.raises(Invalid, match="virus scanner refuses"):
        scan(EICAR, daemon.address)


@pytest.mark.parametrize(
    "answer", [b"", b"INSTREAM size limit exceeded. ERROR\0", b"stream: OKAY\0", b"OK\0"]
)
def test_scan_with_other_answer_is_unavailable(answer: bytes) -> None:
    with running_clamd() as daemon:
        daemon.answer = answer
        with pytest.raises(Unavailable, match="again in a moment"):
            scan(b"x", daemon.address)


def test_scan_without_daemon_is_unavailable(tmp_path: Path) -> None:
    with running_clamd() as daemon:
        address = daemon.address
    for gone in (address, str(tmp_path / "missing")):
        with pytest.raises(Unavailable):
            scan(b"x", gone)
