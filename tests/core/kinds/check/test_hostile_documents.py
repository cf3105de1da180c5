"""Hundreds of hostile files: refused or made into pictures, within the limits of the reader."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from provider.core.kinds.check.document_reading.document_pages import READER_PATH, require_type
from provider.errors import Invalid
from tests import hostile_documents
from tests.check_document_factories import CANARY

BATCH_PATH = Path(__file__).with_name("document_batch.py")
MAX_MEMORY_KB = 768 * 1024
MAX_CPU_SECONDS = 10
# Of some files: the reason, and what is shown although a part of them is left out.
REFUSED = {
    "png_bomb_30000x30000": "pixels",
    "png_text_bomb": "damaged",
    "png_moving": "moves",
    "webp_moving": "moves",
    "jpeg_size_65535x65535": "pixels",
    "pdf_21_pages": "pages",
    "pdf_10000_pages": "pages",
    "pdf_user_password": "password",
    "pdf_old_password": "password",
    "pdf_header_alone": "damaged",
    "pdf_no_pages": "damaged",
}
SHOWN = (
    *(f"{base}_then_{suffix}" for base in ("jpeg", "png") for suffix in ("zip", "html", "exe")),
    *("jpeg_of_two_pictures", "jpeg_cmyk", "png_grey_16", "webp_transparent"),
    *("pdf_open_action", "pdf_names_script", "pdf_launch", "pdf_attachment", "pdf_form"),
    *("pdf_owner_password", "pdf_annotation_RichMedia", "pdf_object_streams"),
)
# The signals that end a process at its limits, and of a decoder that finds itself broken.
HONEST_SIGNALS = {0, 6, 9, 11, 14, 24}


def make_files() -> dict[str, bytes]:
    """Return the files by their names, which are different."""
    pairs = list(hostile_documents.hostile_files())
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def read_all(files: dict[str, bytes], folder: Path) -> dict[str, dict[str, Any]]:
    """Return the verdict of the reader, by the name of the file; None where the type refuses it."""
    names = {}
    for number, (name, content) in enumerate(files.items()):
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
    files, again = make_files(), make_files()
    assert len(files) >= 300
    # The library that encrypts a PDF uses random bytes.
    assert {name for name in files if files[name] != again[name]} <= {
        *("pdf_user_password", "pdf_old_password", "pdf_owner_password"),
    }


def test_hostile_files_are_refused_or_cleaned_within_limits(tmp_path: Path) -> None:
    # One test, so that the files are read once.
    results = read_all(make_files(), tmp_path)
    for name, result in results.items():
        assert result["end"] & 127 in HONEST_SIGNALS, name
        assert result["seconds"] < MAX_CPU_SECONDS, name
        assert result["memory_kb"] < MAX_MEMORY_KB, name
        is_accepted = result["verdict"] and "pages" in result["verdict"]
        assert is_accepted or not result["pictures"], name
        assert not is_accepted or name not in hostile_documents.OTHER_FILES, name
        for size, *pictures in cut(result) if is_accepted else ():
            for picture in pictures:
                require_clean(name, picture)
            with Image.open(io.BytesIO(pictures[0])) as opened:
                assert opened.size == size, name
    assert {name: results[name]["verdict"] for name in REFUSED} == {
        name: {"broken": reason} for name, reason in REFUSED.items()
    }
    for name in SHOWN:
        assert list(cut(results[name])), name


def require_clean(name: str, picture: bytes) -> None:
    """Check that a picture is a JPEG of allowed size without metadata."""
    assert CANARY not in picture, name
    with Image.open(io.BytesIO(picture), formats=("JPEG",)) as opened:
        opened.load()
        assert max(opened.size) <= 2400, name
        assert not opened.getexif(), name
        assert "comment" not in opened.info, name
