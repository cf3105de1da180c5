"""The texts that candidates and recruiters see, translated by gettext.

The id of a text is its English sentence, with `%(name)s` for each parameter. English therefore
needs no catalogue. Another language is one file of this folder, `LANGUAGE.po`. It is compiled in
memory at its first use, so that neither a clone nor an installed wheel needs a step for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

DEFAULT_LANGUAGE = "en"
CATALOGUES_FOLDER = Path(__file__).parent

_ENGLISH = NullTranslations()
# The translations of the present request or e-mail; English outside of both.
_translations: ContextVar[NullTranslations] = ContextVar("translations", default=_ENGLISH)


@cache
def list_languages() -> tuple[str, ...]:
    """Return the codes of the languages that pages and e-mails have, English first."""
    return (DEFAULT_LANGUAGE, *sorted(path.stem for path in CATALOGUES_FOLDER.glob("*.po")))


def find_language(*tags: str) -> str:
    """Return the language of the first BCP 47 tag that has one here; empty if none has.

    A region without texts of its own gets those of its language: `de` for `de-AT`.
    """
    languages = {language.lower(): language for language in list_languages()}
    for tag in tags:
        parts = tag.replace("_", "-").lower().split("-")
        for length in range(len(parts), 0, -1):
            if language := languages.get("-".join(parts[:length])):
                return language
    return ""


@cache
def language_name(language: str, reader: str = "") -> str:
    """Return the name of a language in the reader's, or in itself: `Deutsch`."""
    from babel import Locale  # takes a tenth of a second

    locale = Locale.parse(language, sep="-")
    name = locale.get_display_name(reader.replace("-", "_") or None) or language
    return name[:1].upper() + name[1:]


@cache
def load_translations(language: str) -> NullTranslations:
    """Return the texts of a language; the ids themselves for a language without a catalogue."""
    path = CATALOGUES_FOLDER / f"{language}.po"
    if language == DEFAULT_LANGUAGE or language not in list_languages():
        return NullTranslations()
    # Babel's import takes a tenth of a second, and the commands need no catalogue.
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language.replace("-", "_")))
    compiled.seek(0)
    return GNUTranslations(compiled)


def set_language(language: str) -> None:
    """Translate into a language from now on, in this thread."""
    _translations.set(load_translations(language))


@contextmanager
def use_language(language: str) -> Iterator[None]:
    """Translate into a language within the block."""
    token = _translations.set(load_translations(language))
    try:
        yield
    finally:
        _translations.reset(token)


def current_translations() -> NullTranslations:
    return _translations.get()


def current_language() -> str:
    """Return the language of the present texts, as in the HTML attribute `lang`."""
    return current_translations().info().get("language", DEFAULT_LANGUAGE).replace("_", "-")


def gettext(message: str, /, **params: Any) -> str:
    return _fill(current_translations().gettext(message), params)


def ngettext(singular: str, plural: str, num: int, /, **params: Any) -> str:
    """Return the plural form for `num`, which is a parameter of the text too."""
    text = current_translations().ngettext(singular, plural, num)
    return _fill(text, {"num": num} | params)


def gettext_noop(message: str) -> str:
    """Mark a constant for the catalogue; the place that shows it calls `gettext`."""
    return message


@dataclass(frozen=True)
class LazyText:
    """A text that is translated when it is shown. `params` are (name, value)."""

    message: str
    params: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return gettext(self.message, **dict(self.params))

    def __bool__(self) -> bool:
        return bool(self.message)

    @property
    def english(self) -> str:
        """The text for logs, the command line and an ATS."""
        params = {
            name: value.english if isinstance(value, LazyText) else value
            for name, value in self.params
        }
        return _fill(self.message, params)

    def to_json(self) -> list[Any]:
        """Return a JSON value that `text_from_json` reads; the parameters must be JSON values."""
        return [self.message, dict(self.params)]


Text: TypeAlias = str | LazyText


def lazy_gettext(message: str, /, **params: Any) -> LazyText:
    return LazyText(message, tuple(params.items()))


def text_from_json(value: str | list[Any]) -> str:
    """Return the text of a stored `to_json`; a stored string is returned as it is."""
    if isinstance(value, str):
        return value
    message, params = value
    return gettext(message, **params)


def _fill(text: str, params: dict[str, Any]) -> str:
    return text % params if params else text
