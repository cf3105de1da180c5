"""The compiler of Typst sources to PDF, shared by the reports and the check of formulas."""

import tempfile
from functools import cache
from threading import Lock
from typing import Literal

import typst

PdfStandard = Literal["ua-1"]

# The last one comes with typst, and so does a font with the letters of Arabic.
_FONTS = ("Noto Sans", "Noto Sans Arabic", "Liberation Sans", "DejaVu Sans", "Libertinus Serif")
# The compiler caches parsed and shaped text, which makes later reports faster. It is not
# thread-safe.
_compile_lock = Lock()


def compile_pdf(source: bytes, inputs: dict[str, str], standard: PdfStandard | None) -> bytes:
    """Return the PDF of a source. Raises typst.TypstError."""
    with _compile_lock:
        pdf = _create_compiler().compile(
            input=source, format="pdf", sys_inputs=inputs, pdf_standards=standard
        )
    if not isinstance(pdf, bytes):
        raise TypeError("typst returned no PDF: install the version in requirements.lock")
    return pdf


def compile_accessible_pdf(source: bytes, inputs: dict[str, str], reference: str) -> bytes:
    """Return a tagged PDF; it conforms to PDF/UA-1 if the fonts have every character.

    `reference` names the document in the log. Raises typst.TypstError.
    """
    try:
        return compile_pdf(source, inputs, "ua-1")
    except typst.TypstError as error:
        # PDF/UA forbids a character that no font has. Without the standard, typst draws a box.
        from structlog import get_logger  # late: see `logging_config`

        get_logger(__name__).warning(
            "pdf_without_standard", reference=reference, reason=error.message
        )
        return compile_pdf(source, inputs, None)


@cache
def load_fonts() -> typst.Fonts:
    return typst.Fonts()


@cache
def list_fonts() -> list[str]:
    """Return the fonts of documents that this machine has, by preference."""
    families = load_fonts().families()
    return [name for name in _FONTS if name in families]


@cache
def _create_compiler() -> typst.Compiler:
    # Typst can read the files below its root. The root is a folder that no longer exists, so that
    # text of a report cannot read a file.
    with tempfile.TemporaryDirectory(prefix="provider-report-") as folder:
        return typst.Compiler(root=folder, font_paths=load_fonts())
