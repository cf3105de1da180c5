"""Texts and errors in English and in another language."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from flask import Flask, render_template_string

from provider import texts
from provider.errors import Conflict, Invalid
from provider.texts import (
    current_language,
    gettext,
    lazy_gettext,
    list_languages,
    load_translations,
    ngettext,
    text_from_json,
    use_language,
)
from provider.web import translations


@pytest.fixture
def polish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a language that has a catalogue with three texts."""
    catalogue = Catalog(locale="pl")
    catalogue.add("Saved", "Zapisano")
    catalogue.add("Field %(name)s is empty", "Pole %(name)s jest puste")
    catalogue.add(("%(num)d day", "%(num)d days"), ("%(num)d dzień", "%(num)d dni", "%(num)d dnia"))
    with (tmp_path / "pl.po").open("wb") as file:
        write_po(file, catalogue)
    monkeypatch.setattr(texts, "CATALOGUES_FOLDER", tmp_path)
    caches = load_translations, list_languages
    for function in caches:
        function.cache_clear()
    yield "pl"
    for function in caches:
        function.cache_clear()


def test_text_without_language_is_english() -> None:
    assert gettext("Field %(name)s is empty", name="x") == "Field x is empty"
    assert [ngettext("%(num)d day", "%(num)d days", number) for number in (1, 2)] == [
        "1 day",
        "2 days",
    ]
    assert current_language() == "en"


def test_text_in_another_language_is_from_its_catalogue(polish: str) -> None:
    with use_language(polish):
        assert gettext("Field %(name)s is empty", name="x") == "Pole x jest puste"
        assert ngettext("%(num)d day", "%(num)d days", 3) == "3 dni"
        assert gettext("Not in the catalogue") == "Not in the catalogue"
        assert current_language() == "pl"
    assert gettext("Saved") == "Saved"


def test_language_without_catalogue_shows_english() -> None:
    with use_language("pl"):
        assert (gettext("Saved"), current_language()) == ("Saved", "en")


def test_lazy_text_is_translated_when_it_is_shown(polish: str) -> None:
    text = lazy_gettext("Field %(name)s is empty", name=lazy_gettext("Saved"))
    with use_language(polish):
        assert str(text) == "Pole Zapisano jest puste"
        assert text.english == "Field Saved is empty"
    assert str(text) == "Field Saved is empty"
    assert bool(text)
    assert not lazy_gettext("")


def test_text_from_json_is_translated_and_old_text_stays(polish: str) -> None:
    stored = lazy_gettext("Field %(name)s is empty", name="x").to_json()
    assert stored == ["Field %(name)s is empty", {"name": "x"}]
    with use_language(polish):
        assert text_from_json(stored) == "Pole x jest puste"
        assert text_from_json("Saved") == "Saved"


def test_error_is_english_for_machines_and_translated_for_people(polish: str) -> None:
    with use_language(polish):
        error = Invalid("Field %(name)s is empty", name=lazy_gettext("Saved"))
        assert str(error) == "Field Saved is empty"
        assert error.translated() == "Pole Zapisano jest puste"
    assert str(Conflict("100% of it is gone")) == "100% of it is gone"


def test_template_escapes_parameters_of_a_translation(polish: str) -> None:
    app = Flask(__name__)
    translations.register(app)
    source = "{% trans name %}Field {{ name }} is empty{% endtrans %} {{ _('Saved') }}"
    with app.test_request_context(), use_language(polish):
        page = render_template_string(source, name="<b>")
    assert page == "Pole &lt;b&gt; jest puste Zapisano"


def test_request_uses_its_language_and_ends_it(
    polish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translations, "_select_language", lambda: polish)
    app = Flask(__name__)
    translations.register(app)
    app.add_url_rule("/", view_func=lambda: f"{gettext('Saved')} {current_language()}")
    assert app.test_client().get("/").text == "Zapisano pl"
    assert gettext("Saved") == "Saved"
