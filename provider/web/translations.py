"""The language of a page, and the functions that translate its template."""

from flask import Flask
from flask_babel import Babel, get_locale
from markupsafe import Markup, escape

from provider import texts
from provider.core.text_direction import language_direction
from provider.texts.templates import translate_templates


def register(app: Flask) -> None:
    Babel(app, locale_selector=_select_language, configure_jinja=False)
    translate_templates(app.jinja_env)
    app.jinja_env.globals["authored"] = authored_attributes
    app.before_request(_use_language_of_request)
    app.teardown_request(_use_default_language)


def authored_attributes(language: str = "") -> Markup:
    """Return the attributes `lang` and `dir` of an element with a text of a product's author.

    Without a language, the browser takes the direction of the first letter.
    """
    if not language:
        return Markup('dir="auto"')
    return Markup(f'lang="{escape(language)}" dir="{language_direction(language)}"')  # noqa: S704


def _select_language() -> str:
    # No account or product has a language yet.
    return texts.DEFAULT_LANGUAGE


def _use_language_of_request() -> None:
    texts.set_language(str(get_locale()))


def _use_default_language(_: BaseException | None) -> None:
    texts.set_language(texts.DEFAULT_LANGUAGE)
