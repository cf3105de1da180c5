"""The forms that follow from the schemas of documents."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from marshmallow import Schema, ValidationError
from werkzeug.datastructures import MultiDict

from provider.core.kinds import KINDS
from provider.core.kinds.assessment.items import ITEM_KINDS
from provider.core.kinds.assessment.norms import NormGroupSchema
from provider.core.kinds.assessment.scales import ScaleSchema
from provider.core.products.documents import Document
from provider.core.products.draft_edits import Path
from provider.core.products.samples import load_sample_documents
from provider.web.console.editor.editing import Entry
from provider.web.console.editor.forms import FormField, build_form, page_lists, read_form
from tests import factories
from tests.product_documents import generated_tests

SINGLE_CHOICE = ITEM_KINDS["single_choice"].schema


def submit(fields: list[FormField], **changes: str | None) -> MultiDict[str, str]:
    """Return what a browser sends for a form; None as a change removes a field."""
    pairs = MultiDict(_inputs(fields))
    for name, value in changes.items():
        name = name.replace("__", ".")
        pairs.poplist(name)
        if value is not None:
            pairs.add(name, value)
    return pairs


def _inputs(fields: list[FormField]) -> Iterator[tuple[str, str]]:
    for field in fields:
        yield from _inputs(field.fields)
        for row in field.rows:
            yield from _inputs(row.fields)
        if field.widget == "flag":
            yield from [(field.name, "true")] * bool(field.value)
        elif field.widget == "choices":
            yield from ((field.name, value) for value in field.value)
        elif field.widget not in ("group", "rows", "parts"):
            # A browser sends line breaks as CRLF.
            yield field.name, str(field.value).replace("\n", "\r\n")


def entries(schema: Schema, content: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield every part of a document with a page of its own."""
    pending: list[Path] = [()]
    while pending:
        entry = Entry.find(schema, content, pending.pop())
        yield entry
        assert entry.schema
        for name, _ in page_lists(entry.schema, is_root=entry.is_root):
            for index in range(len(entry.node.get(name, []))):
                pending.append((*entry.path, name, index))


def save(schema: Schema, entry: Mapping[str, Any], *, is_root: bool = False, **changes: Any) -> Any:
    form = submit(build_form(schema, entry, {}, is_root=is_root), **changes)
    return read_form(schema, entry, form, is_root=is_root)


def assert_unchanged_by_saving(document: Document) -> None:
    schema = KINDS[document.kind].schema
    for entry in entries(schema, document.content):
        assert entry.schema
        assert save(entry.schema, entry.node, is_root=entry.is_root) == entry.node


@settings(deadline=None)
@given(document=generated_tests())
def test_form_saved_without_a_change_changes_nothing(document: Document) -> None:
    assert_unchanged_by_saving(document)


@pytest.mark.parametrize("document", load_sample_documents(), ids=lambda document: document.key)
def test_form_of_each_sample_saved_without_a_change_changes_nothing(document: Document) -> None:
    assert_unchanged_by_saving(document)


def test_new_entry_gets_keys_from_its_texts() -> None:
    item = save(
        SINGLE_CHOICE,
        {"kind": "single_choice"},
        prompt="What is 2 + 2?",
        options__0__text="Four",
        options__0__correct="true",
        options__1__text="Four",
        options__2__text="五",
    )
    assert item == {
        "kind": "single_choice",
        "key": "what-is-2-2",
        "prompt": "What is 2 + 2?",
        "options": [
            {"key": "four", "text": "Four", "correct": True},
            {"key": "four-2", "text": "Four"},
            {"key": "option-1", "text": "五"},
        ],
    }


def test_form_saved_twice_leaves_no_empty_rows() -> None:
    schema = ITEM_KINDS["forced_choice"].schema
    new = {"kind": "forced_choice"}
    form = submit(
        build_form(schema, new, {}),
        prompt="Choose",
        statements__0__text="First",
        statements__2__text="Last",
        statements__2__direction="reversed",
    )
    saved = read_form(schema, new, form)
    last = {"key": "last", "text": "Last", "direction": "reversed"}
    assert saved["statements"] == [{"key": "first", "text": "First"}, last]
    # A script sends the same form again: the second row is still an empty one there.
    assert read_form(schema, saved, form) == saved
    form.pop("statements.0.text")
    form.pop("statements.2.text")
    form["statements.2.direction"] = "positive"
    assert read_form(schema, saved, form)["statements"] == []


def test_form_reads_numbers_lists_and_empty_fields() -> None:
    schema = ITEM_KINDS["numeric"].schema
    item = {"kind": "numeric", "key": "a", "prompt": "?", "answer": 3, "unit": "km", "points": 2}
    assert save(schema, item, answer="3.50", unit=" ", points="", tolerance="abc") == {
        "kind": "numeric",
        "key": "a",
        "prompt": "?",
        "answer": 3.5,
        "tolerance": "abc",
    }
    schema = ITEM_KINDS["short_text"].schema
    item = {"kind": "short_text", "key": "a", "prompt": "?", "accepted": ["1"]}
    assert save(schema, item, accepted="1\r\n\r\n 2 ")["accepted"] == ["1", "2"]


def test_switched_places_of_the_report_are_written() -> None:
    schema, content = KINDS["interview"].schema, factories.INTERVIEW_CONTENT
    everywhere = save(schema, content, is_root=True)
    assert "report" not in everywhere
    nowhere = save(schema, content, is_root=True, report__answers=None)
    assert nowhere["report"] == {"answers": []}
    assert schema.load(nowhere | {"name": "A"}).report.answers == frozenset()


def test_value_of_another_type_is_kept_as_json() -> None:
    item = {"kind": "single_choice", "key": "a", "prompt": ["x"], "options": "none", "extra": 1}
    assert save(SINGLE_CHOICE, item) == item
    assert save(SINGLE_CHOICE, item, options='[{"key": "b"}]')["options"] == [{"key": "b"}]


def test_scale_is_written_in_lines_of_keys() -> None:
    schema = ScaleSchema()
    scale = {"key": "calm", "name": "Calm", "items": ["a", {"key": "b", "reversed": True}]}
    fields = build_form(schema, scale, {})
    assert next(field.value for field in fields if field.name == "items") == "a\nb reversed"
    read = read_form(schema, scale, submit(fields, items="a reversed\n c \nb not reversed"))
    reversed_items = [{"key": "a", "reversed": True}, "c", {"key": "b", "reversed": False}]
    assert read["items"] == reversed_items


def submit_group(schema: NormGroupSchema, lines: str) -> MultiDict[str, str]:
    return submit(build_form(schema, {}, {}), scales=lines, key="a", name="A", n="20")


def test_norms_are_written_in_lines_of_numbers() -> None:
    schema = NormGroupSchema()
    lines = "calm 14.2 3.1\norder T 10=40 12=45.5\ncare percentile lower 1=5 2=50"
    group = read_form(schema, {}, submit_group(schema, lines))
    norms = group["scales"]
    assert norms["calm"] == {"mean": 14.2, "sd": 3.1}
    assert norms["order"] == {"measure": "T", "table": [[10, 40], [12, 45.5]]}
    rows = [[1, 5], [2, 50]]
    assert norms["care"] == {"measure": "percentile", "table": rows, "between": "lower"}
    assert schema.load(group)
    fields = build_form(schema, group, {})
    assert next(field.value for field in fields if field.name == "scales") == lines
    assert read_form(schema, group, submit(fields)) == group


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("calm about 14", "should be the mean and the standard deviation"),
        ("calm 14 3\ncalm 15 3", "should have each scale once"),
        ("calm 14 0", "should be more than 0"),
        ("calm T 10=40 9=50", "should begin with more than the row above"),
    ],
)
def test_wrong_norm_stays_as_it_was_typed(lines: str, problem: str) -> None:
    schema = NormGroupSchema()
    group = read_form(schema, {}, submit_group(schema, lines))
    fields = build_form(schema, group, {})
    field = next(field for field in fields if field.name == "scales")
    assert read_form(schema, group, submit(fields)) == group
    with pytest.raises(ValidationError) as caught:
        schema.load(group)
    assert problem in str(caught.value)
    assert lines.split("\n")[0] in str(field.value)
