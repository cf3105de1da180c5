"""The program that reads a document of a candidate: it makes a picture of each page.

`document_pages.py` runs this file as a process of its own, with limits: whoever has a candidate's
link may send any bytes. The file imports nothing of `provider`, so that the process starts quickly
and has no database, no settings and no keys.

Arguments: the type of the document and the wall-clock limit in seconds. Standard input: the
document. Standard output: the line `ready` once the limits are set and the decoders are loaded,
then one line of JSON: {"pages": [[width, height, bytes of the page, bytes of the small one]]}, or
{"broken": one of REASONS}, or {"unavailable": reason} if this machine is at fault. The pictures
follow the first of these, as JPEG. Without the second line the document has stopped the process.

The process may write no file. A picture of a page has pixels alone: no metadata, no script, no
attachment and nothing behind the picture comes out.
"""

import errno
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pikepdf import Object, Pdf
    from PIL.Image import Image

MEMORY_LIMIT_BYTES = 768 * 1024 * 1024  # of addresses; the largest allowed picture takes 500 MB
CPU_LIMIT_SECONDS = 20  # 20 pages of a scan take 8
NICE_INCREMENT = 10  # requests come first
FIRST_TO_END_SCORE = "1000"  # a machine without memory ends this process, not the server
MAX_PAGES = 20
MAX_PIXELS = 60_000_000  # of a picture that is sent; phones take pictures of 50 million
MAX_SIDE_PIXELS = 2400  # of the picture of a page
SMALL_SIDE_PIXELS = 320
RENDERED_DOTS_PER_INCH = 200
POINTS_PER_INCH = 72
JPEG_QUALITY = 85
MAX_OUTPUT_BYTES = 40 * 1024 * 1024  # of all pictures
PICTURE_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
PDF_TYPE = "application/pdf"
DAMAGED, PASSWORD, PAGES, PIXELS, MOVES, HEAVY = REASONS = (
    "damaged",
    "password",
    "pages",
    "pixels",
    "moves",
    "heavy",
)
# What a page needs to be drawn. Scripts, actions, forms, links and attachments are elsewhere.
ALLOWED_ROOT_KEYS = {"/Type", "/Pages", "/Version", "/OCProperties"}
ALLOWED_PAGE_KEYS = {
    *("/Type", "/Parent", "/Contents", "/Resources", "/MediaBox", "/CropBox", "/Rotate"),
    *("/Group", "/UserUnit"),
}
TEMPORARY_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}

Page = tuple[int, int, bytes, bytes]  # width and height in pixels, the picture, the small one


class BrokenError(Exception):
    """The document is refused; the text is one of REASONS."""


def read_document(content: bytes, content_type: str) -> list[Page]:
    """Return the pages of a document. Raises BrokenError, or an error of a decoder."""
    pages, size = [], 0
    for picture in _draw_pages(content, content_type):
        page = _encode(picture)
        size += len(page[2]) + len(page[3])
        if size > MAX_OUTPUT_BYTES:
            raise BrokenError(HEAVY)
        pages.append(page)
    return pages


def _draw_pages(content: bytes, content_type: str) -> "Iterator[Image]":
    if content_type == PDF_TYPE:
        return _draw_pdf(_clean_pdf(content))
    return iter([_read_picture(content, PICTURE_FORMATS[content_type])])


def _read_picture(content: bytes, file_format: str) -> "Image":
    """Return a picture upright, in RGB and at most MAX_SIDE_PIXELS large."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    with Image.open(BytesIO(content), formats=(file_format,)) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise BrokenError(PIXELS)
        # The JPEG of some phones has a second picture, which is smaller.
        if file_format != "JPEG" and getattr(opened, "is_animated", False):
            raise BrokenError(MOVES)
        picture: Image.Image = opened
        if opened.mode.startswith("I"):  # 16 bits of grey
            picture = opened.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        elif opened.mode in ("1", "P", "PA"):
            picture = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
        picture.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
        return _flatten(ImageOps.exif_transpose(picture))


def _flatten(picture: "Image") -> "Image":
    """Return the picture in RGB, on white paper where it is transparent, without metadata."""
    from PIL import Image

    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, "white")
        paper.alpha_composite(picture.convert("RGBA"))
        picture = paper
    plain = picture.convert("RGB")
    plain.info = {}
    return plain


def _clean_pdf(content: bytes) -> bytes:
    """Return the PDF with what its pages show, written anew."""
    import pikepdf

    try:
        with pikepdf.open(BytesIO(content)) as pdf:
            if len(pdf.pages) > MAX_PAGES:
                raise BrokenError(PAGES)
            _flatten_annotations(pdf)
            _keep_only(pdf.Root, ALLOWED_ROOT_KEYS)
            for page in pdf.pages:
                _keep_only(page.obj, ALLOWED_PAGE_KEYS)
            cleaned = BytesIO()
            pdf.save(cleaned, encryption=False, linearize=False)
            return cleaned.getvalue()
    except pikepdf.PasswordError as error:
        raise BrokenError(PASSWORD) from error


def _flatten_annotations(pdf: "Pdf") -> None:
    """Draw the fields of a form onto their pages; a form that is damaged is left out."""
    with suppress(Exception):
        pdf.generate_appearance_streams()
    with suppress(Exception):
        pdf.flatten_annotations("screen")


def _keep_only(dictionary: "Object", allowed_keys: set[str]) -> None:
    for key in set(dictionary.keys()) - allowed_keys:
        del dictionary[key]


def _draw_pdf(content: bytes) -> "Iterator[Image]":
    import pypdfium2

    document = pypdfium2.PdfDocument(content)
    if not len(document):
        raise BrokenError(DAMAGED)
    for index in range(len(document)):
        page = document[index]
        longer_side = max(page.get_size())
        if not (math.isfinite(longer_side) and longer_side > 0):
            raise BrokenError(DAMAGED)
        scale = min(RENDERED_DOTS_PER_INCH / POINTS_PER_INCH, MAX_SIDE_PIXELS / longer_side)
        bitmap = page.render(scale=scale, may_draw_forms=False, draw_annots=False)
        picture = bitmap.to_pil().convert("RGB")
        picture.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
        yield picture
        bitmap.close()
        page.close()


def _encode(picture: "Image") -> Page:
    page, small = BytesIO(), BytesIO()
    picture.save(page, "JPEG", quality=JPEG_QUALITY)
    width, height = picture.size
    picture.thumbnail((SMALL_SIDE_PIXELS, SMALL_SIDE_PIXELS))
    picture.save(small, "JPEG", quality=JPEG_QUALITY)
    return width, height, page.getvalue(), small.getvalue()


def judge(content: bytes, content_type: str) -> tuple[dict[str, Any], list[Page]]:
    """Return the verdict about a document, and its pages."""
    try:
        pages = read_document(content, content_type)
    except BrokenError as error:
        return {"broken": str(error)}, []
    except Exception as error:
        if isinstance(error, OSError) and error.errno in TEMPORARY_ERRNOS:
            return {"unavailable": str(error)}, []
        is_bomb = type(error).__name__.startswith("DecompressionBomb")
        # Libraries raise many errors for damaged bytes: none of them is this machine's.
        return {"broken": PIXELS if is_bomb else DAMAGED}, []
    sizes = [[width, height, len(page), len(small)] for width, height, page, small in pages]
    return {"pages": sizes}, pages


def load_decoders(content_type: str) -> None:
    """Import what reads a type, so that a missing library is no fault of a document."""
    import PIL.Image
    import PIL.ImageOps

    if content_type == PDF_TYPE:
        import pikepdf  # noqa: F401
        import pypdfium2  # noqa: F401
    else:
        PIL.Image.init()


def set_limits(wall_clock_seconds: int) -> None:
    """Limit this process itself: the limits hold when the server that started it has ended."""
    limits = {
        resource.RLIMIT_AS: MEMORY_LIMIT_BYTES,
        resource.RLIMIT_CPU: CPU_LIMIT_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for name, limit in limits.items():
        resource.setrlimit(name, (limit, limit))
    signal.alarm(wall_clock_seconds)
    os.nice(NICE_INCREMENT)


def _end_first() -> None:
    """Let the kernel end this process before others; a file, so before the limit of files."""
    with suppress(OSError):  # not on Linux, or not permitted
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_END_SCORE)


def main() -> None:
    """Read the document of standard input, and print the verdict and the pictures."""
    content_type, wall_clock_seconds = sys.argv[1], int(sys.argv[2])
    _end_first()
    load_decoders(content_type)
    set_limits(wall_clock_seconds)
    output = sys.stdout.buffer
    output.write(b"ready\n")
    output.flush()
    verdict, pages = judge(sys.stdin.buffer.read(), content_type)
    output.write(json.dumps(verdict).encode() + b"\n")
    for _, _, page, small in pages:
        output.write(page)
        output.write(small)
    output.flush()


if __name__ == "__main__":
    main()
