"""Each type of item is complete."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

import provider
from provider.core.kinds import document_warnings
from provider.core.kinds.assessment import content, scoring
from provider.core.kinds.assessment.items import ANSWER_FIELD, ITEM_KINDS, Item, ItemKind
from provider.core.kinds.assessment.items.likert import Likert
from provider.core.products.documents import Document, parse_documents, to_yaml
from provider.errors import Invalid
from provider.web.candidate.assessment_navigation import list_item_positions

PACKAGE = Path(provider.__file__).parent
GUIDE = PACKAGE.parent / "docs" / "product-documents.md"
FORMS = PACKAGE / "web" / "templates" / "candidate" / "assessment" / "items"


def document_of(example: Any) -> Document:
    """Return a test with the example in a section; not scored, if the example cannot be."""
    item = ITEM_KINDS[example["kind"]].schema.load(example)
    weight = 0 if item.scoring_problem else 1
    section = {"key": "one", "title": "One", "weight": weight, "items": [dict(example)]}
    test = {"schema": 1, "name": "Example", "sections": [section]}
    return Document("assessment", "example", "Example", test)


def load_example(kind: ItemKind) -> Item:
    [item] = content.parse(document_of(kind.example).content).items
    return item


def missing_parts(kind: ItemKind) -> list[str]:
    """Name what a type of item lacks."""
    return list(_missing_parts(kind))


def _missing_parts(kind: ItemKind) -> Iterator[str]:
    if ITEM_KINDS.get(kind.name) is not kind:
        yield "a line in ITEM_KINDS"
    if not (FORMS / f"{kind.name}.html").is_file():
        yield f"template candidate/assessment/items/{kind.name}.html"
    if not re.search(rf"^\| `{kind.name}` \|", GUIDE.read_text("utf-8"), re.MULTILINE):
        yield "a row in docs/product-documents.md"
    if kind.example.get("kind") != kind.name:
        yield "an example of its own kind"
    unused = kind.schema.fields.keys() - kind.example.keys() - SHARED_FIELDS
    yield from (f"{name} in the example" for name in sorted(unused - RARE_FIELDS))


SHARED_FIELDS = {
    *("points", "required", "plain", "shuffle", "wrong_points", "stimulus"),
    *("tags", "time_limit_seconds"),
}
RARE_FIELDS = {"case_sensitive"}
each_kind = pytest.mark.parametrize("kind", ITEM_KINDS.values(), ids=[*ITEM_KINDS])


@each_kind
def test_item_kind_is_complete(kind: ItemKind) -> None:
    assert missing_parts(kind) == []


@each_kind
def test_example_survives_export_and_import(kind: ItemKind) -> None:
    document = document_of(kind.example)
    [imported] = parse_documents(to_yaml(document), "example.yaml")
    assert imported == document
    assert document_warnings(imported) == []
    assert content.parse(imported.content) == content.parse(document.content)


@each_kind
def test_example_reads_scores_and_shows_its_answers(kind: ItemKind) -> None:
    test = content.parse(document_of(kind.example).content)
    [item] = test.items
    assert item.parse_answer({}) is None
    answers = list(item.trial_answers())
    if item.takes_file:  # a file cannot be made up: see test_answer_files.py
        assert answers == []
        return
    scores = [scoring.score(test, {item.key: answer}) for answer in answers]
    if item.needs_marking:  # staff give all the points
        scores.append(scoring.score(test, {item.key: answers[0]}, {item.key: Fraction(1)}))
    if item.scoring_problem:
        figures = [figure for score in scores for figure in score.sections[0].traits]
        assert {percent for _, percent in figures} >= {0, 100}
    else:
        assert {score.percent for score in scores} >= {0, 100}
    assert all(item.format_answer(answer) for answer in answers)
    forms = [MultiDict(item.form_fields(answer)) for answer in answers]
    assert [item.parse_answer(form) for form in forms] == answers


@each_kind
def test_form_of_example_has_named_inputs(kind: ItemKind, pages_app: Flask) -> None:
    test = content.parse(document_of(kind.example).content)
    [position] = list_item_positions(test)
    template = pages_app.jinja_env.get_template(
        f"candidate/assessment/items/{position.item.template}"
    )
    with pages_app.test_request_context():
        form = template.render(
            item=position.item,
            content=test,
            order=SimpleNamespace(public_id="order"),
            selected=MultiDict(),
            selected_values=[],
            value=None,
            error="",
        )
    assert f'name="{"file" if position.item.takes_file else ANSWER_FIELD}' in form
    assert "answer-error" in form


FORM_VALUES = st.text(max_size=30) | st.sampled_from(["a", "true", "1", "2", "x y", "\u200b"])


@each_kind
@settings(deadline=None)
@given(data=st.data())
def test_any_form_is_refused_or_reads_as_a_full_answer(kind: ItemKind, data: st.DataObject) -> None:
    item = load_example(kind)
    known = {field for answer in item.trial_answers() for field in item.form_fields(answer)}
    names = st.sampled_from(sorted({name for name, _ in known} | {"answer", "answer.x"}))
    values = FORM_VALUES | st.sampled_from(sorted({value for _, value in known} | {""}))
    form = MultiDict(data.draw(st.lists(st.tuples(names, values), max_size=8)))
    with suppress(Invalid):
        value = item.parse_answer(form)
        if value is not None:
            assert 0 <= item.score(value) <= 1
            assert item.format_answer(value)
            assert item.parse_answer(MultiDict(item.form_fields(value))) == value
            assert json.loads(json.dumps(value)) == value


def test_missing_parts_of_an_item_kind_are_named() -> None:
    class Dial(Likert):
        kind = "dial"

    likert = ITEM_KINDS["likert"]
    schema = type("DialSchema", (type(likert.schema),), {"item_class": Dial})()
    assert missing_parts(ItemKind(schema, likert.example)) == [
        "a line in ITEM_KINDS",
        "template candidate/assessment/items/dial.html",
        "a row in docs/product-documents.md",
        "an example of its own kind",
    ]
    without_labels = {name: value for name, value in likert.example.items() if name != "labels"}
    assert "labels in the example" in missing_parts(replace(likert, example=without_labels))
