"""The responses with a PDF, such as that of a report, which recruiters and candidates get."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from urllib.parse import quote

from werkzeug.wrappers import Response

from provider.core.report import Report
from provider.core.report_pdf import render_pdf
from provider.errors import NotFound
from provider.services import current_services
from provider.texts import current_language

# PDFs in memory: an ATS fetches each of them several times.
PDF_CACHE_SIZE = 64
MAX_FILE_NAME_LENGTH = 80


def report_pdf_response(report_data: Report) -> Response:
    """Return the PDF of a report in the present language."""
    return pdf_response(
        _cached_pdf(report_data, current_language()), _content_disposition(report_data)
    )


def pdf_response(pdf: bytes, content_disposition: str) -> Response:
    """Return a PDF that the browser shows; an attachment is saved instead."""
    response = Response(pdf, mimetype="application/pdf")
    response.headers["Content-Disposition"] = content_disposition
    # The strict policy of pages would block the styles of a browser's PDF viewer.
    response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    return response


@lru_cache(maxsize=PDF_CACHE_SIZE)
def _cached_pdf(report_data: Report, _language: str) -> bytes:
    # The report and the language are the cache key: erased or changed data never comes from the
    # cache.
    return render_pdf(report_data, dict(_read_pictures(report_data)))


def _read_pictures(report_data: Report) -> Iterator[tuple[str, bytes]]:
    media = current_services().media
    for key in report_data.evidence.picture_keys:
        with suppress(NotFound):
            yield key, b"".join(media.read_range(key, 0, media.size(key)))


def _content_disposition(report_data: Report) -> str:
    """Return the header with an ASCII file name (RFC 6266) and the full one (RFC 5987)."""
    name = _file_name(report_data.title, report_data.candidate)
    ascii_name = name if name.isascii() else _file_name(report_data.kind, "report")
    return f"inline; filename={ascii_name}; filename*=UTF-8''{quote(name)}"


def _file_name(*parts: str) -> str:
    return "-".join(re.findall(r"\w+", " ".join(parts)))[:MAX_FILE_NAME_LENGTH] + ".pdf"
