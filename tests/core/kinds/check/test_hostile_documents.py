"""Hundreds of hostile files: refused or made into pictures, within the limits of the reader."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from provider.core.kinds.check.document_pages import READER_PATH, require_type
from provider.errors import Invalid
from tests import hostile_documents
from tests.check_document_factories import CANARY

BATCH_PATH = Path(__file__).with_name("document_batch.py")
MAX_MEMORY_KB = 768 * 1024
MAX_CPU_SECONDS = 10
# The signals that end a process at its limits, and of a decoder that finds itself broken.
HONEST_SIGNALS = {0, 6, 9, 11, 14, 24}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return the verdict of the reader, by the name of the file; None where the type refuses it."""
    folder = tmp_path_factory.mktemp("hostile")
    names = {}
    for number, (name, content) in enumerate(hostile_documents.hostile_files()):
        assert name not in names
        names[name] = folder / f"{number:04}"
        with suppress(Invalid):
            content_type = require_type(content)
            names[name].with_suffix(".file").write_bytes(content)
            names[name].with_suffix(".type").write_text(content_type)
    subprocess.run([sys.executable, "-I", BATCH_PATH, READER_PATH, folder], check=True, env={})
    return {
        name: json.loads(path.with_suffix(".json").read_text())
        | {"pictures": path.with_suffix(".jpg").read_bytes()}
        if path.with_suffix(".json").exists()
        else {"verdict": None, "end": 0, "seconds": 0, "memory_kb": 0, "pictures": b""}
        for name, path in names.items()
    }


def cut(result: dict[str, Any]) -> Iterator[tuple[tuple[int, int], bytes, bytes]]:
    """Yield the size, the page and the small picture of each page."""
    start = 0
    for width, height, *sizes in result["verdict"]["pages"]:
        parts = []
        for size in sizes:
            parts.append(result["pictures"][start : start + size])
            start += size
        yield (width, height), parts[0], parts[1]
    assert start == len(result["pictures"])


def test_hostile_files_are_many_and_the_same_each_time() -> None:
    files = dict(hostile_documents.hostile_files())
    assert len(files) >= 300
    plain = {name: content for name, content in files.items() if "password" not in name}
    again = dict(hostile_documents.hostile_files())
    changed = [name for name in plain if plain[name] != again[name]]
    # A library writes a random ID into these.
    assert all(name.startswith("pdf_") for name in changed)


def test_reader_stays_within_its_limits(results: dict[str, dict[str, Any]]) -> None:
    for name, result in results.items():
        assert result["end"] & 127 in HONEST_SIGNALS, name
        assert result["seconds"] < MAX_CPU_SECONDS, name
        assert result["memory_kb"] < MAX_MEMORY_KB, name


def test_every_file_is_refused_or_becomes_clean_pictures(
    results: dict[str, dict[str, Any]],
) -> None:
    accepted = {
        name: result
        for name, result in results.items()
        if result["verdict"] and "pages" in result["verdict"]
    }
    for name, result in results.items():
        if name not in accepted:
            assert not result["pictures"], name
    for name, result in accepted.items():
        for size, *pictures in cut(result):
            for picture in pictures:
                assert CANARY not in picture, name
                with Image.open(io.BytesIO(picture), formats=("JPEG",)) as opened:
                    opened.load()
                    assert max(opened.size) <= 2400, name
                    assert not opened.getexif(), name
                    assert "comment" not in opened.info, name
            with Image.open(io.BytesIO(pictures[0])) as opened:
                assert opened.size == size, name


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        *((name, None) for name in hostile_documents.OTHER_FILES),
        ("png_bomb_30000x30000", {"broken": "pixels"}),
        ("png_text_bomb", {"broken": "damaged"}),
        ("png_moving", {"broken": "moves"}),
        ("webp_moving", {"broken": "moves"}),
        ("jpeg_size_65535x65535", {"broken": "pixels"}),
        ("pdf_21_pages", {"broken": "pages"}),
        ("pdf_10000_pages", {"broken": "pages"}),
        ("pdf_user_password", {"broken": "password"}),
        ("pdf_old_password", {"broken": "password"}),
        ("pdf_header_alone", {"broken": "damaged"}),
        ("pdf_no_pages", {"broken": "damaged"}),
    ],
)
def test_refused_file_has_reason(
    results: dict[str, dict[str, Any]], name: str, verdict: dict[str, str] | None
) -> None:
    assert results[name]["verdict"] == verdict


@pytest.mark.parametrize(
    "name",
    [
        *(f"{base}_then_{suffix}" for base in ("jpeg", "png") for suffix in ("zip", "html", "exe")),
        *("jpeg_of_two_pictures", "jpeg_cmyk", "png_grey_16", "webp_transparent"),
        *("pdf_open_action", "pdf_names_script", "pdf_launch", "pdf_attachment", "pdf_form"),
        *("pdf_owner_password", "pdf_annotation_RichMedia", "pdf_object_streams"),
    ],
)
def test_harmless_part_of_file_is_shown(results: dict[str, dict[str, Any]], name: str) -> None:
    assert list(cut(results[name]))
