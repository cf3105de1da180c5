"""Product documents: parsing, positions of errors, and export to YAML."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provider.core.kinds.assessment import content as test_content
from provider.core.kinds.check.packages import content as check_content
from provider.core.kinds.interview import content as interview_content
from provider.core.products import documents
from provider.core.products.documents import (
    Document,
    content_digest,
    parse_documents,
    read_file,
    to_yaml,
)
from provider.core.products.safe_yaml import MAX_DOCUMENT_BYTES, child_path, parse_trees
from provider.core.products.samples import load_sample_documents
from provider.errors import Invalid

SCHEMAS = {
    "assessment": test_content.SCHEMA,
    "interview": interview_content.SCHEMA,
    "check": check_content.SCHEMA,
}

TEST = """\
kind: assessment
key: sums
name: Sums
sections:
  - key: one
    title: One
    items:
      - kind: single_choice
        key: a
        prompt: Which?
        options:
          - {key: x, text: X, correct: true}
          - {key: y, text: Y}
      - kind: numeric
        key: b
        prompt: How many?
        answer: 4
"""


def parse_error(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        parse_documents(text, "tests.yaml")
    return str(caught.value)


def validation_error(text: str, kind: str = "assessment") -> str:
    [document] = parse_documents(text, "tests.yaml")
    with pytest.raises(Invalid) as caught:
        documents.validate(document, SCHEMAS[kind])
    return str(caught.value)


def parse_value(text: str) -> Any:
    [tree] = parse_trees(text, "value.yaml")
    return tree.value


def test_parse_documents_reads_several_documents() -> None:
    first, second = parse_documents(f"{TEST}---\n{TEST.replace('sums', 'more')}", "tests.yaml")
    assert (first.kind, first.key, first.name, first.line) == ("assessment", "sums", "Sums", 1)
    assert (second.key, second.line) == ("more", 19)
    assert "kind" not in first.content
    assert first.content["name"] == "Sums"


def test_parse_documents_ignores_empty_documents() -> None:
    assert len(parse_documents(f"---\n---\n{TEST}---\n", "tests.yaml")) == 1


def test_parse_documents_schema_number_is_optional() -> None:
    assert "schema" not in to_yaml(parse_documents(TEST, "tests.yaml")[0])
    assert parse_documents(
        to_yaml(parse_documents(TEST, "tests.yaml")[0]), "again.yaml"
    ) == parse_documents(TEST, "tests.yaml")


@pytest.mark.parametrize("document", load_sample_documents(), ids=lambda document: document.key)
def test_sample_is_valid_and_survives_export(document: Document) -> None:
    assert documents.validate(document, SCHEMAS[document.kind]).name == document.name
    assert parse_documents(to_yaml(document), "again.yaml") == [document]


def test_samples_cover_every_kind_and_every_kind_of_item() -> None:
    samples = load_sample_documents()
    assert {sample.kind for sample in samples} == set(SCHEMAS)
    tests = [
        test_content.parse(sample.content) for sample in samples if sample.kind == "assessment"
    ]
    kinds = {item.kind for test in tests for item in test.items}
    assert kinds == {
        "single_choice",
        "multiple_choice",
        "true_false",
        "numeric",
        "short_text",
        "likert",
    }


def test_parse_trees_restricts_numbers_and_literals() -> None:
    text = "[No, yes, off, 10:30, 007, 2024-01-01, 0x1F, .5, =, .nan, '12', \"\"]"
    assert parse_value(text) == [
        "No",
        "yes",
        "off",
        "10:30",
        "007",
        "2024-01-01",
        "0x1F",
        ".5",
        "=",
        ".nan",
        "12",
        "",
    ]
    assert parse_value("[12, -3, +4, 1.50, 1e3, true, False, null, ~, ]") == [
        12,
        -3,
        4,
        1.5,
        1000.0,
        True,
        False,
        None,
        None,
    ]


def test_parse_trees_names_are_text() -> None:
    assert parse_value("{1: a, true: b, null: c}") == {"1": "a", "true": "b", "null": "c"}


def test_validate_error_names_file_line_and_path() -> None:
    text = TEST.replace("          - {key: y, text: Y}\n", "")
    assert validation_error(text) == (
        "tests.yaml line 11, sections[0].items[0].options: should have at least two options"
    )


def test_validate_reports_the_first_error_of_the_file() -> None:
    text = TEST.replace("text: Y", "text: 5").replace("answer: 4", "answer: four")
    assert validation_error(text).startswith(
        "tests.yaml line 13, sections[0].items[0].options[1].text: should be text"
    )


def test_validate_missing_field_has_the_line_of_its_mapping() -> None:
    text = TEST.replace("        prompt: How many?\n", "")
    assert validation_error(text) == (
        "tests.yaml line 14, sections[0].items[1].prompt: should be provided"
    )


def test_validate_missing_top_level_field_has_the_first_line() -> None:
    text = "kind: assessment\nkey: a\nname: A\n"
    assert validation_error(text) == "tests.yaml line 1, sections: should be provided"


def test_validate_unknown_name_lists_the_known_names() -> None:
    assert validation_error(TEST.replace("title: One", "titel: One")) == (
        "tests.yaml line 6, sections[0].titel: is not known here; the names are "
        "key, title, instructions, weight, draw, order, time_limit, navigation, practice, "
        "break, items"
    )


def test_validate_rule_between_fields_has_the_line_of_the_field() -> None:
    assert validation_error(TEST.replace(", correct: true", "")) == (
        "tests.yaml line 11, sections[0].items[0].options: should have exactly one correct"
    )


def test_validate_later_document_has_the_line_of_the_file() -> None:
    text = f"{TEST}---\n{TEST.replace('sums', 'more').replace('answer: 4', 'answer: x')}"
    second = parse_documents(text, "tests.yaml")[1]
    with pytest.raises(Invalid, match=r"^tests.yaml line 35, sections\[0\].items\[1\].answer: "):
        documents.validate(second, test_content.SCHEMA)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "tests.yaml: is empty; it should hold at least one document"),
        ("- a\n- b", "tests.yaml line 1: should be a mapping with kind, key and name"),
        ("just words", "tests.yaml line 1: should be a mapping with kind, key and name"),
        ("key: a\nname: A", "tests.yaml line 1, kind: should be provided"),
        ("kind: test\nkey: Not A Key\nname: A", "tests.yaml line 2, key: should be small letters"),
        ("kind: test\nkey: a\nname: 5", "tests.yaml line 3, name: should be provided, as text"),
        ("kind: test\nkey: a\nname: A\nkey: b", "tests.yaml line 4, key: is given twice"),
        ("a:\n  - b: {c: 1, c: 2}", "tests.yaml line 2, a[0].b.c: is given twice"),
        ("a: &x 1\nb: *x", "tests.yaml line 1, a: anchors and aliases are not read"),
        ("a: *x", "tests.yaml line 1, a: anchors and aliases are not read"),
        ("a: *bold* text", "tests.yaml line 1: "),
        ("a: !!python/object:os.system x", "tests.yaml line 1, a: tags are not read"),
        ("a: !!str 5", "tests.yaml line 1, a: tags are not read"),
        ("? [a, b]\n: c", "tests.yaml line 1: a name should be plain text"),
        (f"{'a' * 101}: b", "tests.yaml line 1: a name should be short"),
        ("a: b\n\tc: d", "tests.yaml line 2: "),
        ("a:\n\t- b", "use spaces, not tabs, to indent (line 2 holds U+0009 TAB at column 1)"),
        ("a: “x: y”", "line 1 holds “ (U+201C LEFT DOUBLE QUOTATION MARK) at column 4"),
        (
            "kind: “test”\nkey: a",
            "line 1, kind: should be provided, such as assessment or check; line 1 holds “",
        ),
        ("a: b: c", "check the indentation"),
        ("a: [1, 2", "tests.yaml line 1"),
        ("a: b\x00c", "tests.yaml line 1: holds a control character, U+0000 NULL; remove it"),
        ("x: y\na: b\ud800c", "tests.yaml line 2: holds a control character"),
        ('a: "b\\0c"', "tests.yaml line 1, a: holds a control character"),
        ('"a\\0": b', "tests.yaml line 1: a name should be short and printable"),
        ("a: " + "[" * 20 + "]" * 20, "is nested more than 12 levels deep"),
        ("a: " + "9" * 31, "tests.yaml line 1, a: is too long for a number"),
        ("a: 1e999", "tests.yaml line 1, a: is too large for a number"),
        ("a: " + "x" * MAX_DOCUMENT_BYTES, "tests.yaml: is too large; split it"),
        ("a: " + "é" * (MAX_DOCUMENT_BYTES // 2), "tests.yaml: is too large; split it"),
        (f"{TEST}---\n{TEST}", "tests.yaml line 20, key: sums is already used above in this file"),
    ],
)
def test_parse_documents_error_is_one_line(text: str, expected: str) -> None:
    message = parse_error(text)
    assert expected in message
    assert "\n" not in message


def test_parse_documents_deep_nesting_is_refused() -> None:
    assert "nested more than 12 levels" in parse_error("[" * 500_000)


def test_parse_documents_many_aliases_are_not_expanded() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(1000))
    assert "anchors and aliases are not read" in parse_error(bomb)


def test_read_file_unreadable_file_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        read_file(tmp_path / "none.yaml")
    with pytest.raises(Invalid, match="cannot be read: Is a directory"):
        read_file(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("kind: ä".encode("latin-1"))
    with pytest.raises(Invalid, match="is not UTF-8 text"):
        read_file(tmp_path / "latin.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(Invalid, match="is too large"):
        read_file(tmp_path / "large.yaml")


def test_parse_documents_ignores_a_byte_order_mark() -> None:
    assert parse_documents(f"\ufeff{TEST}", "tests.yaml") == parse_documents(TEST, "tests.yaml")


def test_content_digest_ignores_the_order_of_keys() -> None:
    assert content_digest({"a": 1, "b": [1, 2]}) == content_digest({"b": [1, 2], "a": 1})
    assert content_digest({"a": [1, 2]}) != content_digest({"a": [2, 1]})
    assert content_digest({"a": 1}) != content_digest({"a": "1"})
    assert len(content_digest({})) == 64


def test_content_digest_survives_json() -> None:
    [document] = parse_documents(TEST, "tests.yaml")
    stored_content = json.loads(json.dumps(document.content))
    assert content_digest(stored_content) == content_digest(document.content)


def test_load_content_error_has_no_file() -> None:
    with pytest.raises(Invalid, match=r"^sections: should be provided$"):
        test_content.parse({"name": "A"})
    with pytest.raises(Invalid, match=r"^should be a mapping of names to values$"):
        test_content.parse([])  # type: ignore[arg-type]


def test_child_path_joins_names_and_indexes() -> None:
    assert child_path("", "sections") == "sections"
    assert child_path(child_path("sections", 0), "key") == "sections[0].key"


TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
    | st.sampled_from("\n :-#&*!|>'\"%@`,[]{}?~"),
    max_size=40,
)
NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=20,
)
SCALARS = (
    TEXTS
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
    | st.sampled_from(["no", "1e3", "10:30", "~", "null", "0x1", "007", "1.", "-", "true", "a: b"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(NAMES.filter(lambda name: name not in {"kind", "key", "name"}), VALUES))
@example({"a": "line\n  indented\n\nlast\n", "b": "\n", "c": " x ", "d": "tab\there"})
def test_to_yaml_any_content_is_parsed_as_equal(content: dict[str, Any]) -> None:
    document = Document("assessment", "a-key", "Name", {"schema": 1, "name": "Name"} | content)
    assert parse_documents(to_yaml(document), "again.yaml") == [document]


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("kind:ey nam\n-[]{}&*!|>'\"\t#%1?,~", max_size=60))
def test_parse_documents_any_text_raises_only_invalid(text: str) -> None:
    with suppress(Invalid):
        assert all(document.key for document in parse_documents(text, "any.yaml"))


@settings(deadline=None)
@given(VALUES)
def test_load_content_any_value_raises_only_invalid(content: Any) -> None:
    for schema in SCHEMAS.values():
        with pytest.raises(Invalid):
            documents.load_content(content, schema)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_parse_trees_any_number_is_exact(number: float) -> None:
    assert math.isclose(parse_value(f"a: {number!r}")["a"], number, rel_tol=0)
