"""A language that puts each text in brackets. Text outside them did not pass through gettext.

The data of the tests is in Cyrillic letters, so that a Latin letter can only be a text of ours.
"""

import json
import re
from gettext import NullTranslations
from html.parser import HTMLParser
from typing import Any

from provider.core.kinds.check.packages.countries import country_names
from provider.texts import language_name, list_languages
from tests.texts.bare_text import UNREAD_META_NAMES, VISIBLE_ATTRIBUTES

CYRILLIC = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "абцдефгхийклмнопярстувшщызАБЦДЕФГХИЙКЛМНОПЯРСТУВШЩЫЗ",
)
# The fields of product documents that people read.
READ_FIELDS = {
    "description",
    "excelled",
    "failed",
    "instructions",
    "labels",
    "name",
    "passed",
    "prompt",
    "text",
    "title",
}


class PseudoTranslations(NullTranslations):
    """Each text in brackets: `⟦Saved⟧`."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"


class _TextCollector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.data: list[str] = []
        self.attributes: list[str] = []
        self.element = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.element = "texts" if "data-texts" in values else tag
        if tag != "meta" or values.get("name") not in UNREAD_META_NAMES:
            self.attributes += [values[name] or "" for name in VISIBLE_ATTRIBUTES & set(values)]

    def handle_endtag(self, tag: str) -> None:
        self.element = ""

    def handle_data(self, data: str) -> None:
        if self.element == "texts":
            self.attributes += json.loads(data).values()
        elif self.element not in ("script", "style"):
            self.data.append(data)


def to_cyrillic(value: Any) -> Any:
    """Return a document's content with the texts that people read in Cyrillic letters."""
    if isinstance(value, dict):
        return {
            key: _to_cyrillic_text(item) if key in READ_FIELDS else to_cyrillic(item)
            for key, item in value.items()
        }
    return [to_cyrillic(item) for item in value] if isinstance(value, list) else value


def _to_cyrillic_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_cyrillic_text(item) for item in value]
    return value.translate(CYRILLIC) if isinstance(value, str) else value


def untranslated_in_page(page: str, *data: str) -> list[str]:
    """Return the Latin text of a page outside brackets. `data` may stand there."""
    collector = _TextCollector()
    collector.feed(page)
    collector.close()
    # A text may have tags in it, so the brackets are matched across the elements.
    texts = ["\n".join(collector.data), *collector.attributes]
    return [text for part in texts for text in untranslated(part, *data)]


def untranslated(text: str, *data: str) -> list[str]:
    # Names of languages and countries come from Babel; a longer name may begin with a shorter one.
    countries = sorted(country_names().values(), key=len, reverse=True)
    for value in ("UTC", *map(language_name, list_languages()), *countries, *data):
        text = text.replace(value, "")
    text = re.sub(r"\d{1,2} [A-Z][a-z]+ \d{4}", "", text)  # a date has its format from Babel
    while "⟦" in text and text != (text := re.sub(r"⟦[^⟦⟧]*⟧", "", text)):
        pass
    return [line.strip() for line in text.split("\n") if re.search("[A-Za-z]", line)]
