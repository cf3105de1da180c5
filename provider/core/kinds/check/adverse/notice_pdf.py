"""A notice of an adverse action as a PDF. Typst compiles it with the styles of the report."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import structlog
import typst

from provider.core import typst_compiler
from provider.core.colours import fill_colour
from provider.core.kinds.check.adverse.notice_samples import split_paragraphs
from provider.core.labels import cut_at_word, format_date
from provider.core.markdown import markdown_to_text
from provider.core.orders import Order
from provider.core.typst_compiler import compile_pdf
from provider.texts import current_language, gettext
from provider.texts.direction import language_direction
from provider.texts.typst import find_typst_texts

log = structlog.get_logger(__name__)

STYLE_PATH = Path(__file__).parents[3] / "report_style.typ"
DOCUMENT_PATH = Path(__file__).with_name("notice.typ")
FONTS = ("Noto Sans", "Noto Sans Arabic", "Liberation Sans", "DejaVu Sans", "Libertinus Serif")
MAX_FOOTER_PART_LENGTH = 50  # characters


def render_notice_pdf(order: Order, content: Mapping[str, Any], sent_at: datetime) -> bytes:
    """Return a notice as a tagged PDF, in the present language.

    `content` is that of `CompletedCheck.decrypt_notice`.
    """
    source = _load_source()
    inputs = {"report": json.dumps(_fields(order, content, sent_at), ensure_ascii=False)}
    try:
        return compile_pdf(source, inputs, "ua-1")
    except typst.TypstError as error:
        # PDF/UA forbids a character that no font has. Without the standard, typst draws a box.
        log.warning("notice_without_standard", reference=order.public_id, reason=error.message)
    return compile_pdf(source, inputs, None)


def _fields(order: Order, content: Mapping[str, Any], sent_at: datetime) -> dict[str, Any]:
    moment = sent_at.astimezone(UTC)
    language, title = current_language(), str(content["title"])
    return {
        "title": title,
        "heading": title,
        "sample": bool(content["sample"]),
        "candidate": order.candidate.name,
        "account": order.account.display_name,
        "sentence": title,
        "reference": order.public_id,
        # Notices from before digests were recorded have none.
        "digest": str(content.get("text_digest", "")),
        "short_candidate": cut_at_word(order.candidate.name, MAX_FOOTER_PART_LENGTH),
        "short_title": cut_at_word(title, MAX_FOOTER_PART_LENGTH),
        "day": format_date(sent_at, order.timezone),
        "paragraphs": split_paragraphs(str(content["text"])),
        "rights": [
            {"title": part["title"], "paragraphs": split_paragraphs(markdown_to_text(part["text"]))}
            for part in content["rights"]
        ],
        "finished_at": {
            name: getattr(moment, name)
            for name in ("year", "month", "day", "hour", "minute", "second")
        },
        "language": language.partition("-")[0],
        "direction": language_direction(language),
        "author_language": "",
        "author_direction": "",
        "accent": fill_colour(order.account.branding.get("colour")),
        "fonts": [name for name in FONTS if name in typst_compiler.load_fonts().families()],
        "texts": {message: gettext(message) for message in _list_messages()},
    }


@cache
def _load_source() -> bytes:
    return b"\n".join((STYLE_PATH.read_bytes(), DOCUMENT_PATH.read_bytes()))


@cache
def _list_messages() -> list[str]:
    return [message for _, message in find_typst_texts(_load_source().decode())]
