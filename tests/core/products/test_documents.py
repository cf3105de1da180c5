"""Product documents: what is read, how errors say where, and the way back to YAML."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import provider
from provider.core.kinds.assessment import content as test_content
from provider.core.kinds.check import content as check_content
from provider.core.kinds.interview import content as interview_content
from provider.core.products import documents as document
from provider.core.products.documents import (
    Document,
    content_digest,
    parse_documents,
    read_file,
    to_yaml,
)
from provider.core.products.safe_yaml import MAX_DOCUMENT_BYTES, child_path, parse_trees
from provider.errors import Invalid

SAMPLES = sorted((Path(provider.__file__).parent / "samples").glob("*.yaml"))
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


def complaint(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        parse_documents(text, "tests.yaml")
    return str(caught.value)


def complaint_about(text: str, kind: str = "assessment") -> str:
    [found] = parse_documents(text, "tests.yaml")
    with pytest.raises(Invalid) as caught:
        document.validate(found, SCHEMAS[kind])
    return str(caught.value)


def value_of(text: str) -> Any:
    [found] = parse_trees(text, "it.yaml")
    return found.value


def test_a_file_may_hold_several_documents() -> None:
    first, second = parse_documents(f"{TEST}---\n{TEST.replace('sums', 'more')}", "tests.yaml")
    assert (first.kind, first.key, first.name, first.line) == ("assessment", "sums", "Sums", 1)
    assert (second.key, second.line) == ("more", 19)
    assert "kind" not in first.content
    assert first.content["name"] == "Sums"


def test_empty_documents_between_others_are_passed_over() -> None:
    assert len(parse_documents(f"---\n---\n{TEST}---\n", "tests.yaml")) == 1


def test_the_schema_number_may_be_left_out() -> None:
    assert "schema" not in to_yaml(parse_documents(TEST, "tests.yaml")[0])
    assert parse_documents(
        to_yaml(parse_documents(TEST, "tests.yaml")[0]), "again.yaml"
    ) == parse_documents(TEST, "tests.yaml")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_valid_and_survives_the_way_out_and_back(path: Path) -> None:
    for each in read_file(path):
        assert document.validate(each, SCHEMAS[each.kind]).name == each.name
        assert parse_documents(to_yaml(each), "again.yaml") == [each]


def test_the_samples_hold_every_kind_and_every_kind_of_item() -> None:
    documents = [each for path in SAMPLES for each in read_file(path)]
    assert {each.kind for each in documents} == set(SCHEMAS)
    tests = [test_content.parse(each.content) for each in documents if each.kind == "assessment"]
    kinds = {item.kind for test in tests for item in test.items}
    assert kinds == {
        "single_choice",
        "multiple_choice",
        "true_false",
        "numeric",
        "short_text",
        "likert",
    }


def test_words_and_figures_stay_what_they_look_like() -> None:
    text = "[No, yes, off, 10:30, 007, 2024-01-01, 0x1F, .5, =, .nan, '12', \"\"]"
    assert value_of(text) == [
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
    assert value_of("[12, -3, +4, 1.50, 1e3, true, False, null, ~, ]") == [
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


def test_names_are_always_text() -> None:
    assert value_of("{1: a, true: b, null: c}") == {"1": "a", "true": "b", "null": "c"}


def test_an_error_names_the_file_the_line_and_the_path() -> None:
    text = TEST.replace("          - {key: y, text: Y}\n", "")
    assert complaint_about(text) == (
        "tests.yaml line 11, sections[0].items[0].options: should have at least two options"
    )


def test_the_topmost_error_of_a_file_is_told_first() -> None:
    text = TEST.replace("text: Y", "text: 5").replace("answer: 4", "answer: four")
    assert complaint_about(text).startswith(
        "tests.yaml line 13, sections[0].items[0].options[1].text: should be text"
    )


def test_what_is_missing_is_reported_at_the_line_of_what_lacks_it() -> None:
    text = TEST.replace("        prompt: How many?\n", "")
    assert complaint_about(text) == (
        "tests.yaml line 14, sections[0].items[1].prompt: should be provided"
    )


def test_what_a_whole_document_lacks_is_reported_at_its_first_line() -> None:
    text = "kind: assessment\nkey: a\nname: A\n"
    assert complaint_about(text) == "tests.yaml line 1, sections: should be provided"


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    assert complaint_about(TEST.replace("title: One", "titel: One")) == (
        "tests.yaml line 6, sections[0].titel: is not known here; the names are "
        "key, title, instructions, weight, items"
    )


def test_a_rule_between_fields_is_reported_where_it_is_broken() -> None:
    assert complaint_about(TEST.replace(", correct: true", "")) == (
        "tests.yaml line 11, sections[0].items[0].options: should have exactly one correct"
    )


def test_an_error_in_a_later_document_counts_lines_from_the_top_of_the_file() -> None:
    text = f"{TEST}---\n{TEST.replace('sums', 'more').replace('answer: 4', 'answer: x')}"
    later = parse_documents(text, "tests.yaml")[1]
    with pytest.raises(Invalid, match=r"^tests.yaml line 35, sections\[0\].items\[1\].answer: "):
        document.validate(later, test_content.SCHEMA)


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
        ("a:\n\t- b", "use spaces, not tabs, to indent"),
        ("a: b: c", "check the indentation"),
        ("a: [1, 2", "tests.yaml line 1"),
        ("a: b\x00c", "tests.yaml line 1: holds a control character"),
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
def test_what_cannot_be_read_is_one_clear_error(text: str, expected: str) -> None:
    message = complaint(text)
    assert expected in message
    assert "\n" not in message


def test_deep_nesting_is_refused_while_it_is_read() -> None:
    assert "nested more than 12 levels" in complaint("[" * 500_000)


def test_a_file_of_many_aliases_never_unfolds() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(1000))
    assert "anchors and aliases are not read" in complaint(bomb)


def test_a_file_that_is_missing_or_no_text_is_one_clear_error(tmp_path: Path) -> None:
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


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse_documents(f"\ufeff{TEST}", "tests.yaml") == parse_documents(TEST, "tests.yaml")


def test_the_digest_depends_on_what_is_said_and_not_on_the_order() -> None:
    assert content_digest({"a": 1, "b": [1, 2]}) == content_digest({"b": [1, 2], "a": 1})
    assert content_digest({"a": [1, 2]}) != content_digest({"a": [2, 1]})
    assert content_digest({"a": 1}) != content_digest({"a": "1"})
    assert len(content_digest({})) == 64


def test_the_digest_is_the_same_after_a_stay_in_the_database() -> None:
    [found] = parse_documents(TEST, "tests.yaml")
    assert content_digest(json.loads(json.dumps(found.content))) == content_digest(found.content)


def test_a_stored_content_is_checked_without_a_file() -> None:
    with pytest.raises(Invalid, match=r"^sections: should be provided$"):
        test_content.parse({"name": "A"})
    with pytest.raises(Invalid, match=r"^should be a mapping of names to values$"):
        test_content.parse([])  # type: ignore[arg-type]


def test_paths_read_like_the_file() -> None:
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
def test_whatever_is_exported_reads_back_equal(content: dict[str, Any]) -> None:
    whole = Document("assessment", "a-key", "Name", {"schema": 1, "name": "Name"} | content)
    assert parse_documents(to_yaml(whole), "again.yaml") == [whole]


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("kind:ey nam\n-[]{}&*!|>'\"\t#%1?,~", max_size=60))
def test_reading_anything_raises_nothing_but_invalid(text: str) -> None:
    with suppress(Invalid):
        assert all(each.key for each in parse_documents(text, "any.yaml"))


@settings(deadline=None)
@given(VALUES)
def test_checking_any_content_raises_nothing_but_invalid(content: Any) -> None:
    for schema in SCHEMAS.values():
        with pytest.raises(Invalid):
            document.load_content(content, schema)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_exactly_the_number_written(number: float) -> None:
    assert math.isclose(value_of(f"a: {number!r}")["a"], number, rel_tol=0)
