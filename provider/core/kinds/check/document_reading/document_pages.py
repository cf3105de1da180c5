"""Makes pictures of the pages of a document that a candidate sends.

The bytes come from a stranger, and decoders have faults. A process with limits reads them, so that
no document takes the server's memory or stops the server: see `document_reader.py`. The document
goes there through a pipe, so that it stands in no file.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore, Timer
from typing import Any

from provider.errors import Invalid, Unavailable
from provider.storage.file_types import detect_type

READER_PATH = Path(__file__).with_name("document_reader.py")
TIMEOUT_SECONDS = 30  # of one run
MAX_PROCESSES = 2
MAX_WAIT_SECONDS = 10  # for one of these processes
MAX_UPLOAD_BYTES = 20_000_000
MAX_UPLOAD_MEGABYTES = 20
MAX_OUTPUT_BYTES = 41 * 1024 * 1024  # of the process, with its verdict
MAX_PAGES = 20
# Not image/heic: phones then convert their pictures to JPEG.
ACCEPTED_TYPES = ("image/jpeg", "image/png", "image/webp", "application/pdf")
# By the reason of the reader.
BROKEN_ERRORS: Mapping[str, Callable[[], Invalid]] = {
    "damaged": lambda: Invalid("This file cannot be read. Please send another one"),
    "password": lambda: Invalid("This PDF has a password. Please send it without one"),
    "pages": lambda: Invalid(
        "This PDF has too many pages. Please send at most %(maximum)d", maximum=MAX_PAGES
    ),
    "pixels": lambda: Invalid("This picture is too large. Please send a smaller one"),
    "moves": lambda: Invalid("This picture moves. Please send one that stands still"),
    "heavy": lambda: Invalid("This file is too large. Please send a smaller one"),
}

_processes = BoundedSemaphore(MAX_PROCESSES)


@dataclass(frozen=True)
class DrawnPage:
    """A page as JPEG, also as a small picture; the size in pixels is that of the large one."""

    width: int
    height: int
    picture: bytes
    small_picture: bytes


def require_type(content: bytes) -> str:
    """Return the type of a document by its first bytes. Raises Invalid with a sentence."""
    if len(content) > MAX_UPLOAD_BYTES:
        raise Invalid(
            "This file is too large. It may have %(maximum)d MB", maximum=MAX_UPLOAD_MEGABYTES
        )
    content_type = detect_type(content)
    if content_type not in ACCEPTED_TYPES:
        raise Invalid("Please send a PDF, or a JPEG, PNG or WebP picture")
    return content_type


def draw_pages(content: bytes, content_type: str) -> list[DrawnPage]:
    """Return the pages of a document of ACCEPTED_TYPES as pictures.

    Raises Invalid when the document cannot be read or stops the process that reads it. Raises
    Unavailable when this machine is at fault or busy.
    """
    if not _processes.acquire(timeout=MAX_WAIT_SECONDS):
        raise Unavailable("Many files arrive just now: please send yours again in a moment")
    try:
        output = _run(content, content_type)
    finally:
        _processes.release()
    return _split_pages(*_parse_verdict(output))


def _run(content: bytes, content_type: str) -> bytes:
    # -I: neither the environment nor the current folder adds modules.
    command = [sys.executable, "-I", str(READER_PATH), content_type, str(TIMEOUT_SECONDS)]
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            env={"PATH": os.defpath, "MALLOC_ARENA_MAX": "1"},  # nothing of the server's settings
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise _unavailable(error.strerror or "") from error
    timer = Timer(TIMEOUT_SECONDS, process.kill)
    timer.start()
    with process:
        assert process.stdin
        assert process.stdout
        try:
            for send in (partial(process.stdin.write, content), process.stdin.close):
                with suppress(BrokenPipeError):  # the document has stopped the process
                    send()
            return process.stdout.read(MAX_OUTPUT_BYTES)
        finally:
            timer.cancel()
            process.kill()


def _parse_verdict(output: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the verdict, and the bytes of the pictures. Raises as `draw_pages` does."""
    from structlog import get_logger  # late: see `logging_config`

    first_line, _, rest = output.partition(b"\n")
    verdict_line, separator, pictures = rest.partition(b"\n")
    if first_line != b"ready":
        get_logger().error("document_reader_not_started")
        raise _unavailable("its reader does not start")
    if not separator:
        get_logger().warning("document_reader_stopped")
        raise BROKEN_ERRORS["damaged"]()
    verdict = json.loads(verdict_line)
    if "unavailable" in verdict:
        raise _unavailable(verdict["unavailable"])
    if "broken" in verdict:
        raise BROKEN_ERRORS[verdict["broken"]]()
    return verdict, pictures


def _split_pages(verdict: dict[str, Any], pictures: bytes) -> list[DrawnPage]:
    pages, start = [], 0
    for width, height, page_bytes, small_bytes in verdict["pages"]:
        middle, end = start + page_bytes, start + page_bytes + small_bytes
        pages.append(DrawnPage(width, height, pictures[start:middle], pictures[middle:end]))
        start = end
    if not pages or start != len(pictures):  # the process was ended while it wrote
        raise BROKEN_ERRORS["damaged"]()
    return pages


def _unavailable(reason: str) -> Unavailable:
    from structlog import get_logger  # late: see `logging_config`

    get_logger().error("document_reader_unavailable", reason=reason)
    return Unavailable("This file cannot be read just now: please send it again in a moment")
