"""The PDFs about a check beside its report. Typst compiles them with the styles of the reports."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from provider import core
from provider.core.colours import fill_colour
from provider.core.formats import cut_at_word
from provider.core.orders import Order
from provider.core.typst_compiler import compile_accessible_pdf, list_fonts
from provider.texts import current_language, gettext
from provider.texts.direction import language_direction
from provider.texts.typst import find_typst_texts

STYLE_PATH = Path(core.__path__[0]) / "report_style.typ"
MAX_FOOTER_PART_LENGTH = 50  # characters


class CheckPdf:
    """A document in Typst, at `path`, and what it needs beside the fields of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def render(
        self,
        order: Order,
        created_at: datetime,
        fields: Mapping[str, Any],
        *,
        author_language: str = "",
    ) -> bytes:
        """Return a tagged PDF in the present language.

        `fields` has at least `title`, `short_title` and `candidate`. `author_language` is that of
        texts which an author has written; empty: the present one.
        """
        moment, language = created_at.astimezone(UTC), current_language()
        common = {
            "short_title": cut_at_word(fields["short_title"], MAX_FOOTER_PART_LENGTH),
            "short_candidate": cut_at_word(fields["candidate"], MAX_FOOTER_PART_LENGTH),
            "account": order.account.display_name,
            "reference": order.public_id,
            "finished_at": {
                name: getattr(moment, name)
                for name in ("year", "month", "day", "hour", "minute", "second")
            },
            "language": language.partition("-")[0],
            "direction": language_direction(language),
            "author_language": author_language.partition("-")[0].lower(),
            "author_direction": language_direction(author_language) if author_language else "",
            "accent": fill_colour(order.account.branding.get("colour")),
            "fonts": list_fonts(),
            "texts": {message: gettext(message) for message in self._messages},
        }
        text = json.dumps({**fields, **common}, ensure_ascii=False)
        inputs = {"report": text.encode("utf-8", "replace").decode()}
        return compile_accessible_pdf(self._source, inputs, order.public_id)

    @cached_property
    def _source(self) -> bytes:
        return b"\n".join((STYLE_PATH.read_bytes(), self._path.read_bytes()))

    @cached_property
    def _messages(self) -> list[str]:
        """The ids of the texts in the source."""
        return [message for _, message in find_typst_texts(self._source.decode())]
