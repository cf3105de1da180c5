"""The direction of languages, and the languages that a document may name."""

from typing import Any

import pytest

from provider.core.kinds import KINDS
from provider.core.products.documents import load_content
from provider.errors import Invalid
from provider.texts.direction import language_direction
from tests import factories


@pytest.mark.parametrize(
    ("language", "direction"),
    [
        ("de", "ltr"),
        ("he", "rtl"),
        ("ar-EG", "rtl"),
        ("az-Arab", "rtl"),
        ("ku-Latn", "ltr"),
        ("ur-Latn-PK", "ltr"),
        ("pt-BR", "ltr"),
    ],
)
def test_language_has_direction_of_its_script(language: str, direction: str) -> None:
    assert language_direction(language) == direction


CONTENTS: dict[str, Any] = {
    "assessment": factories.TEST_CONTENT,
    "interview": factories.INTERVIEW_CONTENT,
    "check": factories.PACKAGE_CONTENT,
}


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize(
    ("language", "parsed"),
    [("de", "de"), ("PT-br", "pt-BR"), ("zh-hant", "zh-Hant"), ("es-419", "es-419")],
)
def test_document_may_name_its_language(kind: str, language: str, parsed: str) -> None:
    content = CONTENTS[kind] | {"name": "A name", "language": language}
    assert load_content(content, KINDS[kind].schema).language == parsed


@pytest.mark.parametrize("language", ["", "german", "d", "xx", "de_DE", 'de" onload="', 5, None])
def test_document_with_unknown_language_is_refused(language: Any) -> None:
    content = CONTENTS["interview"] | {"name": "A name", "language": language}
    with pytest.raises(Invalid, match="language: should"):
        load_content(content, KINDS["interview"].schema)
