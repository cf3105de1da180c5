"""A notice of an adverse action as a PDF."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from provider.core.formats import format_date
from provider.core.kinds.check.adverse.notice_samples import split_paragraphs
from provider.core.kinds.check.check_pdf import CheckPdf
from provider.core.markdown import markdown_to_text
from provider.core.orders import Order

NOTICE = CheckPdf(Path(__file__).with_name("notice.typ"))


def render_notice_pdf(order: Order, content: Mapping[str, Any], sent_at: datetime) -> bytes:
    """Return a notice as a tagged PDF, in the present language.

    `content` is that of `CompletedCheck.decrypt_notice`.
    """
    title = str(content["title"])
    fields = {
        "title": title,
        "short_title": title,
        "heading": title,
        "sentence": title,
        "sample": bool(content["sample"]),
        "candidate": order.candidate.name,
        # Notices from before digests were recorded have none.
        "digest": str(content.get("text_digest", "")),
        "day": format_date(sent_at, order.timezone),
        "paragraphs": split_paragraphs(str(content["text"])),
        "rights": [
            {"title": part["title"], "paragraphs": split_paragraphs(markdown_to_text(part["text"]))}
            for part in content["rights"]
        ],
    }
    return NOTICE.render(order, sent_at, fields)
