"""The texts that candidates and recruiters see, translated by gettext.

The id of a text is its English sentence, with `%(name)s` for each parameter. English therefore
needs no catalogue. Another language has one in `LANGUAGE/LC_MESSAGES/messages.mo` of this folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from gettext import NullTranslations, translation
from pathlib import Path
from typing import Any, TypeAlias

DEFAULT_LANGUAGE = "en"
CATALOGUES_FOLDER = Path(__file__).parent

_ENGLISH = NullTranslations()
# The translations of the present request or e-mail; English outside of both.
_translations: ContextVar[NullTranslations] = ContextVar("translations", default=_ENGLISH)


@cache
def load_translations(language: str) -> NullTranslations:
    """Return the catalogue of a language; the ids themselves for a language without one."""
    return translation("messages", CATALOGUES_FOLDER, [language], fallback=True)


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
    return current_translations().info().get("language", DEFAULT_LANGUAGE)


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
