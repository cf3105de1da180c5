"""The process that makes pictures of a document's pages: what it shows, its limits and its end."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from provider.core.kinds.check.document_reading import document_pages, document_reader
from provider.core.kinds.check.document_reading.document_pages import (
    DrawnPage,
    draw_pages,
    require_type,
)
from provider.errors import Invalid, Unavailable
from tests import check_document_factories as factories
from tests.check_document_factories import CANARY, is_red

READY = "import sys; sys.stdout.buffer.write(b'ready\\n'); sys.stdout.flush()"


def draw(content: bytes) -> list[DrawnPage]:
    return draw_pages(content, require_type(content))


@pytest.fixture
def run_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a program that runs in place of the reader."""
    path = tmp_path / "program.py"
    monkeypatch.setattr(document_pages, "READER_PATH", path)
    return path


@pytest.mark.parametrize(
    "content",
    [factories.jpeg(), factories.png(), factories.webp(), factories.pdf()],
    ids=["jpeg", "png", "webp", "pdf"],
)
def test_draw_pages_shows_upright_picture_without_metadata(content: bytes) -> None:
    (page,) = draw(content)
    for picture in (page.picture, page.small_picture):
        with Image.open(io.BytesIO(picture)) as opened:
            assert opened.format == "JPEG"
            assert opened.width > opened.height
            assert is_red(opened.getpixel((2, 2)))
            assert not is_red(opened.getpixel((opened.width - 3, opened.height - 3)))
        assert CANARY not in picture


def test_draw_pages_of_turned_photo_is_upright() -> None:
    # The camera was held upright: the stored picture has to be turned to the right.
    (page,) = draw(factories.jpeg(6))
    assert (page.width, page.height) == (80, 120)
    with Image.open(io.BytesIO(page.picture)) as opened:
        assert is_red(opened.getpixel((77, 2)))


def test_draw_pages_of_large_photo_is_smaller() -> None:
    (page,) = draw(factories.jpeg(width=5000, height=3000))
    assert (page.width, page.height) == (2400, 1440)
    assert len(page.small_picture) < len(page.picture)


def test_draw_pages_of_pdf_has_each_page() -> None:
    pages = draw(factories.pdf(3, size=(595, 842)))
    assert [(page.width, page.height) for page in pages] == [(1653, 2339)] * 3


def test_draw_pages_shows_what_is_typed_into_a_form() -> None:
    import pikepdf

    document = pikepdf.open(io.BytesIO(factories.pdf()))
    field = document.make_indirect(
        pikepdf.Dictionary(
            Type=pikepdf.Name.Annot,
            Subtype=pikepdf.Name.Widget,
            FT=pikepdf.Name.Tx,
            T=pikepdf.String("name"),
            V=pikepdf.String("MMMMMMMM"),
            DA=pikepdf.String("/Helv 40 Tf 0 g"),
            Rect=pikepdf.Array([150, 10, 290, 90]),
        )
    )
    document.pages[0].Annots = pikepdf.Array([field])
    font = pikepdf.Dictionary(
        Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
    )
    document.Root.AcroForm = pikepdf.Dictionary(
        Fields=pikepdf.Array([field]),
        NeedAppearances=True,
        DR=pikepdf.Dictionary(Font=pikepdf.Dictionary(Helv=font)),
        DA=pikepdf.String("/Helv 40 Tf 0 g"),
    )
    (page,) = draw(factories.save(document))
    with Image.open(io.BytesIO(page.picture)) as opened:
        corner = opened.convert("L").crop((opened.width // 2, opened.height // 2, *opened.size))
        assert min(corner.tobytes()) < 100


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<svg/>", "Please send a PDF, or a JPEG, PNG or WebP picture"),
        (b"\xff\xd8\xff" + b"x" * 20_000_000, "This file is too large. It may have 20 MB"),
        (b"%PDF-1.7", "This file cannot be read. Please send another one"),
        (factories.pdf(21), "This PDF has too many pages. Please send at most 20"),
    ],
    ids=["type", "size", "damaged", "pages"],
)
def test_draw_pages_refused_file_says_what_to_do(content: bytes, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        draw(content)
    assert str(caught.value) == sentence


def test_every_reason_has_a_sentence() -> None:
    assert set(document_pages.BROKEN_ERRORS) == set(document_reader.REASONS)
    assert document_pages.MAX_PAGES == document_reader.MAX_PAGES
    assert document_reader.MAX_OUTPUT_BYTES < document_pages.MAX_OUTPUT_BYTES


def test_server_does_not_load_the_decoders() -> None:
    program = "import sys, provider.app; print({'pikepdf', 'pypdfium2'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert output.stdout == b"set()\n"


def test_reader_knows_no_secret_and_writes_no_file(
    tmp_path: Path, run_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_SECRET_KEY", "canary")
    reader = document_pages.__file__.replace("document_pages", "document_reader")
    target = tmp_path / "written"
    run_program.write_text(
        f"""{READY}
import json, os, importlib.util
spec = importlib.util.spec_from_file_location("reader", {reader!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.set_limits(20)
try:
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    open({str(target)!r}, "wb", 0).write(b"x")
    reason = "it writes"
except OSError:
    reason = str(dict(os.environ))
print(json.dumps({{"unavailable": reason}}))
"""
    )
    with pytest.raises(Unavailable):
        draw(factories.jpeg())
    assert not target.exists() or target.read_bytes() == b""


@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "sys.exit(0)",  # without a verdict
        "signal.pause()",
        "print('{\"pages\": []}')",
        "print('{\"pages\": [[1, 1, 9, 9]]}')",  # without the pictures
    ],
)
def test_reader_that_stops_makes_document_invalid(
    run_program: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(document_pages, "TIMEOUT_SECONDS", 1 if "pause" in end else 30)
    run_program.write_text(f"import os, signal\n{READY}\n{end}")
    with pytest.raises(Invalid, match="cannot be read"):
        draw(factories.jpeg())


def test_reader_that_does_not_start_is_unavailable(run_program: Path) -> None:
    run_program.write_text("import no_such_module")
    with pytest.raises(Unavailable, match="in a moment"):
        draw(factories.jpeg())


def test_draw_pages_while_others_run_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_pages, "MAX_WAIT_SECONDS", 0.01)
    for _ in range(document_pages.MAX_PROCESSES):
        document_pages._processes.acquire()
    try:
        with pytest.raises(Unavailable, match="Many files arrive"):
            draw(factories.jpeg())
    finally:
        document_pages._processes.release(document_pages.MAX_PROCESSES)
