"""The catalogue has every text of the sources, and errors have ids that it can have."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.texts.catalogue import (
    ERROR_CLASSES,
    extract_catalogue,
    extract_messages,
    has_translated_errors,
    list_sources,
    message_ids,
    read_catalogue,
)


def test_catalogue_has_exactly_the_texts_of_the_sources() -> None:
    sources, catalogue = message_ids(extract_catalogue()), message_ids(read_catalogue())
    assert sources - catalogue == set(), "run `make texts`"
    assert catalogue - sources == set(), "run `make texts`"


def test_every_text_takes_named_parameters() -> None:
    for message_id in message_ids(read_catalogue()):
        for text in [message_id] if isinstance(message_id, str) else message_id:
            if "%(" in text:
                assert text % defaultdict(int), text  # a lone % is an error
            else:
                assert "%" not in text.replace("%%", ""), text


PLURAL_SOURCE = "{% trans n=1 %}A day{% pluralize %}{{ n }} days{% endtrans %}"


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("a.html", "{% trans %}One\n  two{% endtrans %} {{ _('Three') }}", ["One two", "Three"]),
        ("b.html", PLURAL_SOURCE, [("A day", "%(n)s days")]),
        ("a.py", "gettext('Four'); lazy_gettext('Five'); print('six')", ["Four", "Five"]),
        ("a.typ", '#t("Seven") #t(\n  "Eight %(n)s", n: 1)', ["Seven", "Eight %(n)s"]),
    ],
)
def test_extract_messages_finds_the_texts_of_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str, expected: list[object]
) -> None:
    monkeypatch.setattr("tests.texts.catalogue.ROOT", tmp_path)
    path = tmp_path / "provider" / name
    path.parent.mkdir()
    path.write_text(source, "utf-8")
    assert list(extract_messages(path)) == expected


# Errors


def untranslatable_errors(source: str) -> Iterator[str]:
    """Yield each error whose message is neither a constant nor the name of one."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id in ERROR_CLASSES and node.args:
            message = node.args[0]
            is_text = isinstance(message, ast.Constant) and isinstance(message.value, str)
            if not is_text and not isinstance(message, ast.Name | ast.Attribute):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def test_errors_that_candidates_see_have_ids_and_parameters() -> None:
    untranslatable = {
        path.name: errors
        for path in list_sources()
        if path.suffix == ".py" and has_translated_errors(path)
        if (errors := list(untranslatable_errors(path.read_text("utf-8"))))
    }
    assert untranslatable == {}


@pytest.mark.parametrize(
    "source",
    ["raise Invalid(f'{n} is wrong')", "raise Gone('a' + b)", "raise Conflict('%s' % name)"],
)
def test_untranslatable_errors_finds_a_built_message(source: str) -> None:
    assert list(untranslatable_errors(source))


def test_untranslatable_errors_accepts_ids() -> None:
    source = "raise Invalid('%(n)d is wrong', n=1)\nraise Gone(MESSAGE)\nraise Conflict(self.text)"
    assert list(untranslatable_errors(source)) == []
