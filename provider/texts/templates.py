"""gettext in Jinja templates: `{% trans %}`, `gettext()` and `_()`."""

from typing import Any

from jinja2 import Environment

from provider import texts
from provider.texts.direction import language_direction


def translate_templates(environment: Environment) -> None:
    """Let the templates of an environment use the texts of the present language."""
    environment.add_extension("jinja2.ext.i18n")
    environment.policies["ext.i18n.trimmed"] = True  # a line break in a text counts as a space
    install: Any = environment.install_gettext_callables  # type: ignore[attr-defined]
    # The extension fills in the parameters itself, and escapes them in HTML.
    install(_gettext, _ngettext, newstyle=True)
    environment.globals["current_language"] = texts.current_language
    environment.globals["current_direction"] = _current_direction


def _current_direction() -> str:
    return language_direction(texts.current_language())


def _gettext(message: str) -> str:
    return texts.current_translations().gettext(message)


def _ngettext(singular: str, plural: str, num: int) -> str:
    return texts.current_translations().ngettext(singular, plural, num)
