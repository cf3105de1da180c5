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


def list_error_modules() -> dict[str, ast.Module]:
    """Return the parsed modules whose errors are translated, by their path."""
    return {
        str(path): ast.parse(path.read_text("utf-8"))
        for path in list_sources()
        if path.suffix == ".py" and has_translated_errors(path)
    }


def error_messages(module: ast.Module) -> Iterator[ast.expr]:
    """Yield the first argument of each error."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ERROR_CLASSES and node.args:
                yield node.args[0]
            elif node.func.id == "UploadRejected":
                yield node.args[1]


def name_of(expression: ast.expr) -> str | None:
    if isinstance(expression, ast.Name):
        return expression.id
    return expression.attr if isinstance(expression, ast.Attribute) else None


def built_messages(module: ast.Module) -> list[str]:
    """Return the messages that are neither a constant text nor the name of one."""
    return [
        ast.unparse(message)
        for message in error_messages(module)
        if not (isinstance(message, ast.Constant) and isinstance(message.value, str))
        and name_of(message) is None
    ]


def unmarked_constants(module: ast.Module, names: set[str]) -> list[str]:
    """Return the assignments of a plain text to one of the names."""
    return [
        ast.unparse(node)
        for node in ast.walk(module)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and any(name_of(target) in names for target in node.targets)
    ]


def test_errors_that_candidates_see_have_ids_and_parameters() -> None:
    modules = list_error_modules()
    assert {path: built for path in modules if (built := built_messages(modules[path]))} == {}


def test_constant_messages_of_errors_are_marked_for_the_catalogue() -> None:
    modules = list_error_modules().values()
    names = {
        name
        for module in modules
        for message in error_messages(module)
        if (name := name_of(message))
    }
    assert {"time_over_message", "NO_RESULT_MESSAGE"} <= names
    assert [line for module in modules for line in unmarked_constants(module, names)] == []


@pytest.mark.parametrize(
    "source",
    ["raise Invalid(f'{n} is wrong')", "raise Gone('a' + b)", "raise Conflict('%s' % name)"],
)
def test_built_messages_finds_a_built_message(source: str) -> None:
    assert built_messages(ast.parse(source))


def test_built_messages_accepts_ids_and_names() -> None:
    source = "raise Invalid('%(n)d is wrong', n=1)\nraise Gone(MESSAGE)\nraise Conflict(self.text)"
    assert built_messages(ast.parse(source)) == []


def test_unmarked_constants_finds_a_plain_text() -> None:
    module = ast.parse("A = 'x'\nB = gettext_noop('x')\nC = 'x'")
    assert unmarked_constants(module, {"A", "B"}) == ["A = 'x'"]
