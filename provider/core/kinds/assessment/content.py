"""The content of a test (schema 1), and its validation.

    name, description?, instructions?     description and instructions are Markdown
    language?                             a BCP 47 tag such as de: of every text of the document
    time_limit?                           minutes, 1 to 1440; left out or null: no limit
    shuffle?                              true shuffles the options, the same way for one order
    grades?                               {passed: 50, excelled: 80}, cut scores in percent
    summaries?                            {failed: …, passed: …, excelled: …}, one sentence each
    report?                               {answers: [report, pdf, shared]}: where the questions
                                          with the answers are shown; left out: nowhere
    sections                              [{key, title, instructions?, weight? (1), items}]

An item has `kind`, `key` (unique in the test), `prompt` (Markdown), `plain` (false; true: the
prompt is no Markdown), `points` (1), `required` (false), and the fields of its kind. They are in
the schema of its module in `items/`.

The answers to a section of weight 0 are shown but not scored. Its items need no right answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.assessment.items import Item, ItemField
from provider.core.kinds.grading import (
    Grades,
    GradesSchema,
    SummariesSchema,
    require_grades_for_summaries,
)
from provider.core.kinds.report_options import SHOWN_NOWHERE, ReportOptions, ReportSchema
from provider.core.products.documents import load_content
from provider.core.products.schema_fields import (
    DocumentSchema,
    Flag,
    Integer,
    Key,
    LanguageTag,
    ListOf,
    Number,
    Text,
    Title,
    nested,
    nested_list,
    require_unique,
)

MAX_ITEMS = 200


@dataclass(frozen=True)
class Section:
    """A part of a test. It has its own score, unless its weight is 0."""

    key: str
    title: str
    items: tuple[Item, ...]
    instructions: str = ""
    weight: Decimal = Decimal(1)

    @property
    def is_scored(self) -> bool:
        return self.weight > 0


@dataclass(frozen=True)
class TestContent:
    """The parsed content of a test. `time_limit` is in minutes, None means no limit."""

    __test__ = False  # pytest would collect a class whose name begins with Test

    name: str
    sections: tuple[Section, ...]
    description: str = ""
    instructions: str = ""
    time_limit: int | None = None
    shuffle: bool = False
    grades: Grades | None = None
    summaries: Mapping[str, str] | None = None
    language: str = ""
    report: ReportOptions = SHOWN_NOWHERE

    @property
    def items(self) -> Iterator[Item]:
        return (item for section in self.sections for item in section.items)

    def find_item(self, key: str) -> Item | None:
        return next((item for item in self.items if item.key == key), None)

    def unanswered_required(self, answers: Mapping[str, Any]) -> list[Item]:
        return [
            item
            for item in self.items
            if item.required and not item.is_answered(answers.get(item.key))
        ]


class SectionSchema(DocumentSchema):
    """One of a test's `sections`."""

    key = Key(required=True)
    title = Title(120, required=True)
    instructions = Text(10_000, multiline=True, load_default="")
    weight = Number(0, 1000, load_default=Decimal(1))
    items = ListOf(ItemField(), "items", 1, MAX_ITEMS, required=True)

    @validates_schema
    def _require_scorable_items(self, data: dict[str, Any], **_: Any) -> None:
        problems = {
            index: {name: [advice]}
            for index, item in enumerate(data["items"])
            if item.scoring_problem
            for name, advice in [item.scoring_problem]
        }
        if data["weight"] and problems:
            raise ValidationError({"items": problems})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Section:
        return Section(**data | {"items": tuple(data["items"])})


class TestSchema(DocumentSchema):
    """The content of a test."""

    __test__ = False  # pytest would collect a class whose name begins with Test

    schema = Integer(1, 1, load_default=1)
    name = Title(120, required=True)
    language = LanguageTag(load_default="")
    description = Text(10_000, multiline=True, load_default="")
    instructions = Text(10_000, multiline=True, load_default="")
    time_limit = Integer(1, 1440, load_default=None)
    shuffle = Flag(load_default=False)
    grades = nested(GradesSchema, load_default=None)
    summaries = nested(SummariesSchema, load_default=None)
    report = nested(ReportSchema, load_default=SHOWN_NOWHERE)
    sections = nested_list(SectionSchema, "sections", 1, 50, required=True)

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([section.key for section in data["sections"]], "sections")
        require_unique([section.title for section in data["sections"]], "sections", "title")
        require_grades_for_summaries(data)
        _require_unique_item_keys(data["sections"])
        if data["grades"] and not any(section.is_scored for section in data["sections"]):
            raise ValidationError("should be left out when no section is scored", "grades")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> TestContent:
        del data["schema"]
        return TestContent(**data | {"sections": tuple(data["sections"])})


SCHEMA = TestSchema()


def parse(content: Mapping[str, Any]) -> TestContent:
    """Return the typed content of a version. Raises Invalid with the path of the error."""
    test: TestContent = load_content(content, SCHEMA)
    return test


def _require_unique_item_keys(sections: list[Section]) -> None:
    seen_keys: set[str] = set()
    for section_index, section in enumerate(sections):
        for item_index, item in enumerate(section.items):
            if item.key in seen_keys:
                advice = {"key": ["is already used above; a key is unique in the test"]}
                raise ValidationError(
                    {"sections": {section_index: {"items": {item_index: advice}}}}
                )
            seen_keys.add(item.key)
