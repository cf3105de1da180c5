"""The language of a page, and the functions that translate its template."""

from flask import Flask, request
from flask_babel import Babel, get_locale
from markupsafe import Markup, escape

from provider import texts
from provider.texts.direction import language_direction
from provider.texts.templates import translate_templates

# The pages of candidates, referees and recruiters. The console and the documentation are English.
TRANSLATED_PREFIXES = ("/c/", "/f/", "/r/", "/s/")


def register(app: Flask) -> None:
    Babel(app, locale_selector=_select_language, configure_jinja=False)
    translate_templates(app.jinja_env)
    app.jinja_env.globals["authored"] = authored_attributes
    app.jinja_env.globals["list_languages"] = texts.list_languages
    app.jinja_env.filters["language_name"] = texts.language_name
    app.before_request(_use_language_of_request)
    app.teardown_request(_use_default_language)


def authored_attributes(language: str = "") -> Markup:
    """Return the attributes `lang` and `dir` of an element with a text of a product's author.

    Without a language, the browser takes the direction of the first letter.
    """
    if not language:
        return Markup('dir="auto"')
    return Markup(f'lang="{escape(language)}" dir="{language_direction(language)}"')  # noqa: S704


def find_browser_language() -> str:
    """Return the language that the browser prefers of those that there are; empty for none."""
    return texts.find_language(*request.accept_languages.values())


def _select_language() -> str:
    if request.path != "/" and not request.path.startswith(TRANSLATED_PREFIXES):
        return texts.DEFAULT_LANGUAGE
    return find_browser_language() or texts.DEFAULT_LANGUAGE


def _use_language_of_request() -> None:
    texts.set_language(str(get_locale()).replace("_", "-"))


def _use_default_language(_: BaseException | None) -> None:
    texts.set_language(texts.DEFAULT_LANGUAGE)
