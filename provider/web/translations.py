"""The language of a page, and the functions that translate its template."""

from flask import Flask
from flask_babel import Babel, get_locale

from provider import texts
from provider.texts.templates import translate_templates


def register(app: Flask) -> None:
    Babel(app, locale_selector=_select_language, configure_jinja=False)
    translate_templates(app.jinja_env)
    app.before_request(_use_language_of_request)
    app.teardown_request(_use_default_language)


def _select_language() -> str:
    # No account or product has a language yet.
    return texts.DEFAULT_LANGUAGE


def _use_language_of_request() -> None:
    texts.set_language(str(get_locale()))


def _use_default_language(_: BaseException | None) -> None:
    texts.set_language(texts.DEFAULT_LANGUAGE)
