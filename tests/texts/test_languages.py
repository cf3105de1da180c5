"""Every language has every text: translated, with the same parameters, tags and plural forms."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from gettext import c2py

import pytest
from babel.messages.catalog import Catalog, Message

from provider.texts import (
    DEFAULT_LANGUAGE,
    current_language,
    find_language,
    gettext,
    language_name,
    list_languages,
    ngettext,
    use_language,
)
from provider.texts.direction import language_direction
from tests.texts.catalogue import (
    message_ids,
    read_catalogue,
    translated_languages,
)

LANGUAGES = translated_languages()
each_language = pytest.mark.parametrize("language", LANGUAGES)
NUMBERS = range(200)  # every plural form of the languages applies to some of them
COUNT_PARAMETERS = ("%(num)d", "%(num)s", "%(count)s")
# Texts that are the same words in the language and in English.
SAME_TEXTS = {
    "de": {
        *("Test", "test", "Interview", "Text", "Text:", "%(number)d kB", "%(number)s MB"),
        *("Massachusetts", "New York City", "Philadelphia"),
    },
    "es": {"Error %(code)s", "%(number)d kB", "%(number)s MB", "California", "Massachusetts"},
    "fr": {
        *("Test", "test", "Question", "Points", "Questions", "%(num)d minutes"),
        *("question %(number)s", "Question %(number)s", "Question %(number)d"),
        '<span class="visually-hidden">Question </span>%(number)s',
        "Massachusetts",
        *("Score", "Score %(value)s, %(range)s", "Percentile", "Sten"),
    },
}
# Latin words in a text of another script: names, and what a file or a header is called.
NAMES = {
    *("Chrome", "Edge", "Firefox", "Safari", "Mac", "PDF", "Provider", "API"),
    *("ISO", "SHA", "Upload-Offset", "application", "offset+octet-stream"),
    *("JPEG", "PNG", "WebP", "MP", "WebM", "WebVTT", "WEBVTT"),
}


def texts_of(message: Message) -> tuple[str, ...]:
    """Return the translation of a message, or all its plural forms."""
    string = message.string or ""
    return (string,) if isinstance(string, str) else tuple(string)


def id_of(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[-1]


def parameters(text: str) -> Counter[str]:
    return Counter(re.findall(r"%\(\w+\)[sd]|%%|{last_day}", text))


def tags(text: str) -> Counter[str]:
    return Counter(re.findall("<[^>]*>", text))


def messages(catalogue: Catalog) -> Iterator[Message]:
    return (message for message in catalogue if message.id)


def is_for_one_number(catalogue: Catalog, form: int) -> bool:
    """Return whether a plural form is for one number only, as “two days” in Arabic."""
    plural_index = c2py(catalogue.plural_expr)
    return sum(plural_index(number) == form for number in NUMBERS) == 1


def test_the_languages_of_the_product_are_there() -> None:
    assert {"en", "ar", "de", "es", "fr"} <= set(list_languages())
    assert [language_name(code) for code in ("en", "de", "ar")] == ["English", "Deutsch", "العربية"]
    assert language_direction("ar") == "rtl"


@each_language
def test_language_has_every_text(language: str) -> None:
    catalogue = read_catalogue(language)
    expected = message_ids(read_catalogue())  # a test compares it with the sources
    assert message_ids(catalogue) == expected, "run `make texts`, then translate the new texts"
    missing = [id_of(message) for message in messages(catalogue) if not all(texts_of(message))]
    assert not missing, "\n".join([f"Translate in provider/texts/{language}.po:", *missing])
    assert [id_of(message) for message in messages(catalogue) if message.fuzzy] == []


@each_language
def test_language_has_the_plural_forms_of_its_numbers(language: str) -> None:
    catalogue = read_catalogue(language)
    assert catalogue.num_plurals == Catalog(locale=language).num_plurals
    assert catalogue.plural_expr == Catalog(locale=language).plural_expr
    for message in messages(catalogue):
        forms = 1 if isinstance(message.id, str) else catalogue.num_plurals
        assert len(texts_of(message)) == forms, message.id


@each_language
def test_translations_have_the_parameters_and_tags_of_their_text(language: str) -> None:
    catalogue = read_catalogue(language)
    for message in messages(catalogue):
        for form, text in enumerate(texts_of(message)):
            if not text:
                continue
            missing = parameters(id_of(message)) - parameters(text)
            added = parameters(text) - parameters(id_of(message))
            is_plural = not isinstance(message.id, str)
            if is_plural and (form == 0 or is_for_one_number(catalogue, form)):
                missing = missing - Counter(COUNT_PARAMETERS)  # “one day”, “two days”
            assert (missing, added) == (Counter(), Counter()), text
            assert tags(text) == tags(id_of(message)), text
            if "%" in text:
                assert text % defaultdict(int)


@each_language
def test_no_text_is_left_in_english(language: str) -> None:
    same = {
        id_of(message)
        for message in messages(read_catalogue(language))
        if id_of(message) in texts_of(message) and re.search("[A-Za-z]{2}", visible(id_of(message)))
    }
    assert same - SAME_TEXTS.get(language, set()) == {"provider"}


def visible(text: str) -> str:
    return re.sub(r"%\(\w+\)[sd]|{\w+}|<[^>]*>", "", text)


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code in ("ar",)])
def test_text_in_another_script_has_no_english_word(language: str) -> None:
    for message in messages(read_catalogue(language)):
        for text in texts_of(message):
            words = set(re.findall(r"[A-Za-z][A-Za-z+-]+", visible(text)))
            assert words <= NAMES | {"provider", "SHA-"}, text


@each_language
def test_language_is_used_by_its_name(language: str) -> None:
    with use_language(language):
        assert current_language() == language
        assert gettext("Saved") != "Saved"
        assert ngettext("%(num)d day", "%(num)d days", 5) not in ("5 days", "")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["de"], "de"),
        (["de-AT"], "de"),
        (["AR_eg"], "ar"),
        (["xx", "fr-CA", "de"], "fr"),
        (["", "es"], "es"),
        (["en-GB", "de"], DEFAULT_LANGUAGE),
        (["zh-Hant", "*", "../de"], ""),
        ([], ""),
    ],
)
def test_find_language_takes_the_first_with_texts(tags: list[str], expected: str) -> None:
    assert find_language(*tags) == expected
