"""Hostile recordings: whatever the bytes are, the reader stays within small limits."""

import json
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.kinds.interview import reader_runner
from tests.core.kinds.interview.recordings import recorded

SEED = 20261128
MUTATIONS_PER_FORMAT = 12
MAX_MEMORY_BYTES = 768 * 1024 * 1024
# Ten runs needed 85 to 89 MB at most, with the processor to themselves and on a busy machine.
# The rest is room for other versions of the decoders. A file of many samples needs 431 MB.
USUAL_MEMORY_BYTES = 128 * 1024 * 1024
MAX_CPU_SECONDS = 5
WEBM_MAGIC, MP4_MAGIC = b"\x1a\x45\xdf\xa3", b"\0\0\0\x20ftypisom"
HUGE_SIZE = b"\x01\x00\xff\xff\xff\xff\xff\xff"  # of an EBML element: 256 TB


def mutations(original: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """Yield damaged forms of a recording: flipped, cut, repeated and overwritten bytes."""
    for number in range(count):
        data, place = bytearray(original), rng.randrange(40, len(original) - 40)
        if number % 4 == 0:
            for _ in range(rng.choice((3, 30, 300))):
                data[rng.randrange(12, len(data))] = rng.randrange(256)
        elif number % 4 == 1:
            del data[place:]
        elif number % 4 == 2:
            data[place:place] = data[place // 2 : place] * rng.randrange(2, 40)
        else:
            data[place : place + 40] = rng.choice((bytes(40), b"\xff" * 40, rng.randbytes(40)))
        yield bytes(data)


def atom(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def with_samples(mp4: bytes, count: int) -> bytes:
    """Return an MP4 whose tables need few bytes and announce `count` samples of one byte."""
    tables = {
        b"stts": struct.pack(">IIII", 0, 1, count, 1),
        b"stsc": struct.pack(">IIIII", 0, 1, 1, count, 1),
        b"stsz": struct.pack(">III", 0, 1, count),
        b"stco": struct.pack(">III", 0, 1, 8),
    }
    for kind, content in tables.items():
        start = mp4.index(kind) - 4
        size = int.from_bytes(mp4[start : start + 4], "big")
        # The tables of a fragmented file are empty, and shorter than these.
        mp4 = mp4[:start] + atom(kind, content) + mp4[start + size :]
        mp4 = _grow_parents(mp4, start, 8 + len(content) - size)
    return mp4


def _grow_parents(mp4: bytes, position: int, added: int) -> bytes:
    data = bytearray(mp4)
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        start = mp4.rindex(kind, 0, position) - 4
        size = int.from_bytes(data[start : start + 4], "big") + added
        data[start : start + 4] = struct.pack(">I", size)
    return bytes(data)


def with_many_tracks(mp4: bytes, count: int) -> bytes:
    start = mp4.index(b"trak") - 4
    track = mp4[start : start + int.from_bytes(mp4[start : start + 4], "big")]
    moov_start = mp4.index(b"moov") - 4
    moov_size = int.from_bytes(mp4[moov_start : moov_start + 4], "big")
    size = struct.pack(">I", moov_size + len(track) * count)
    return mp4[:moov_start] + size + mp4[moov_start + 4 : start] + track * count + mp4[start:]


def with_many_webm_tracks(webm: bytes, count: int) -> bytes:
    tracks_start = webm.index(b"\x16\x54\xae\x6b")
    track_start = webm.index(b"\xae", tracks_start + 4)
    size_width = 9 - webm[track_start + 1].bit_length()
    size_field = webm[track_start + 1 : track_start + 1 + size_width]
    size = int.from_bytes(size_field, "big") - (1 << 7 * size_width)
    track = webm[track_start : track_start + 1 + size_width + size] * count
    tracks = b"\x16\x54\xae\x6b\x01" + len(track).to_bytes(7, "big") + track
    return webm[:tracks_start] + tracks + webm[webm.index(b"\x1f\x43\xb6\x75") :]


def crafted(webm: bytes, mp4: bytes) -> dict[str, bytes]:
    vp8_start_code = b"\x9d\x01\x2a"
    picture_size = struct.pack("<HH", 160, 120)
    huge_size = struct.pack("<HH", 16383, 16383)
    return {
        "empty": b"",
        "garbage": random.Random(SEED).randbytes(200_000),
        "garbage-webm": WEBM_MAGIC + random.Random(SEED).randbytes(200_000),
        "garbage-mp4": MP4_MAGIC + random.Random(SEED).randbytes(200_000),
        "huge-picture": webm.replace(vp8_start_code + picture_size, vp8_start_code + huge_size),
        "huge-track": webm.replace(b"\xb0\x81\xa0", b"\xb0\x83\x01\x00\x00"),
        "huge-block": webm.replace(b"\xa3\x87", b"\xa3" + HUGE_SIZE, 3),
        "huge-cluster": webm.replace(b"\x1f\x43\xb6\x75", b"\x1f\x43\xb6\x75" + HUGE_SIZE),
        "huge-atom": mp4.replace(b"mdat", b"free").replace(b"moof", b"mdat"),
        "many-mp4-tracks": with_many_tracks(mp4, 5000),
        "many-webm-tracks": with_many_webm_tracks(webm, 20_000),
        "ten-million-samples": with_samples(mp4, 10_000_000),
        "many-million-samples": with_samples(mp4, 60_000_000),
        "billions-of-samples": with_samples(mp4, 0x7FFFFFFF),
    }


def damaged_recordings(folder: Path, count_per_format: int) -> dict[str, bytes]:
    """Return damaged recordings of each format by name. The damage is the same in each run."""
    originals = {name: recorded(folder, name).read_bytes() for name in ("webm", "matroska", "mp4")}
    rng = random.Random(SEED)
    return crafted(originals["webm"], originals["mp4"]) | {
        f"{name}-{number}": data
        for name, original in originals.items()
        for number, data in enumerate(mutations(original, rng, count_per_format))
    }


def run_readers(folder: Path, inputs: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Return what became of each file, by name."""
    sources = folder / "sources"
    sources.mkdir()
    for name, data in inputs.items():
        (sources / name).write_bytes(data)
    completed = subprocess.run(
        [sys.executable, "-m", reader_runner.__name__, folder, *sorted(sources.iterdir())],
        stdout=subprocess.PIPE,
        check=True,
    )
    return {row["name"]: row for row in map(json.loads, completed.stdout.splitlines())}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("hostile")
    return run_readers(folder, damaged_recordings(folder, MUTATIONS_PER_FORMAT))


def test_every_copy_that_is_served_plays_to_its_end(results: dict[str, dict[str, Any]]) -> None:
    assert sum(row["is_served"] for row in results.values()) > MUTATIONS_PER_FORMAT
    assert find_broken(results) == []


def find_broken(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the names of copies that are served and do not play."""
    return [name for name, row in results.items() if row["is_served"] and not row["plays"]]


def test_hostile_recordings_keep_within_limits(results: dict[str, dict[str, Any]]) -> None:
    assert len(results) == 14 + 3 * MUTATIONS_PER_FORMAT
    over_limit = {
        name: row
        for name, row in results.items()
        if row["memory_bytes"] > MAX_MEMORY_BYTES or row["cpu_seconds"] > MAX_CPU_SECONDS
    }
    assert over_limit == {}
    heavy = {name for name, row in results.items() if row["memory_bytes"] > USUAL_MEMORY_BYTES}
    assert heavy <= {"ten-million-samples", "many-million-samples"}


def test_hostile_recordings_never_blame_the_machine(results: dict[str, dict[str, Any]]) -> None:
    blamed = [name for name, row in results.items() if "unavailable" in (row["verdict"] or {})]
    assert blamed == []


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "garbage",
        "garbage-webm",
        "garbage-mp4",
        "huge-picture",
        "huge-track",
        "many-mp4-tracks",
        "many-webm-tracks",
        "ten-million-samples",
    ],
)
def test_crafted_recording_is_broken(results: dict[str, dict[str, Any]], name: str) -> None:
    row = results[name]
    assert row["exit_code"] != 0 or "broken" in row["verdict"], row
