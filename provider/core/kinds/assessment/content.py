"""The content of a test (schema 1), and its validation.

    name, description?, instructions?     description and instructions are Markdown
    language?                             a BCP 47 tag such as de: of every text of the document
    time_limit?                           minutes, 1 to 1440; left out or null: no limit
    shuffle?                              true shuffles the options, the same way for one order
    grades?                               {passed: 50, excelled: 80}, cut scores in percent, or
                                          {on, …} on a figure of a scale: see `cut_scores`
    summaries?                            {failed: …, passed: …, excelled: …}, one sentence each
    marking?                              {markers: 1 or 2, blind: true, tolerance: 0}: of the items
                                          that staff mark; the tolerance is in points
    second_look?                          true: candidates may ask that staff look again
    report?                               {answers: [report, pdf, shared]}: where the questions
                                          with the answers are shown; left out: nowhere
    sections                              [{key, title, instructions?, weight? (1), items}]
    scales?                               figures of the answers to several items: see `scales`
    norms?                                groups that these figures are compared with: see `norms`

An item has `kind`, `key` (unique in the test), `prompt` (Markdown), `plain` (false; true: the
prompt is no Markdown), `points` (1), `required` (false), and the fields of its kind. They are in
the schema of its module in `items/`.

The answers to a section of weight 0 are shown but not scored. Its items need no right answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.assessment.cut_scores import ScaleGrades, TestGradesSchema
from provider.core.kinds.assessment.items import Item, ItemField, MarkedItem
from provider.core.kinds.assessment.norms import MAX_NORM_GROUPS, NormGroup, NormGroupSchema
from provider.core.kinds.assessment.scale_checks import check_grades, check_norms, check_scales
from provider.core.kinds.assessment.scale_scoring import BoundScale
from provider.core.kinds.assessment.scales import MAX_SCALES, Scale, ScaleSchema
from provider.core.kinds.grading import (
    Grades,
    SummariesSchema,
    require_grades_for_summaries,
)
from provider.core.kinds.report_options import SHOWN_NOWHERE, ReportOptions, ReportSchema
from provider.core.marking import ONE_MARKER, MarkingSchema, MarkingSettings
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

    @cached_property
    def max_points(self) -> Fraction:
        return sum((Fraction(item.points) for item in self.items), Fraction(0))


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
    scales: tuple[Scale, ...] = ()
    norms: tuple[NormGroup, ...] = ()
    marking: MarkingSettings = ONE_MARKER
    second_look: bool = False

    @property
    def items(self) -> Iterator[Item]:
        return (item for section in self.sections for item in section.items)

    @cached_property
    def items_by_key(self) -> Mapping[str, Item]:
        return {item.key: item for item in self.items}

    @cached_property
    def bound_scales(self) -> tuple[BoundScale, ...]:
        return tuple(BoundScale(scale, self.items_by_key) for scale in self.scales)

    @cached_property
    def marked_items(self) -> Mapping[str, MarkedItem]:
        """The scored items that staff mark, by key."""
        return {
            item.key: item
            for section in self.sections
            for item in section.items
            if section.is_scored and isinstance(item, MarkedItem)
        }

    def find_item(self, key: str) -> Item | None:
        return self.items_by_key.get(key)

    def find_scale(self, key: str) -> Scale:
        return next(scale for scale in self.scales if scale.key == key)

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
            index: item.scoring_problem
            for index, item in enumerate(data["items"])
            if item.scoring_problem
        }
        if data["weight"] and problems:
            index, (name, advice) = next(iter(problems.items()))
            raise ValidationError({"items": {index: {name: [advice]}}})

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
    grades = nested(TestGradesSchema, load_default=None)
    summaries = nested(SummariesSchema, load_default=None)
    report = nested(ReportSchema, load_default=SHOWN_NOWHERE)
    marking = nested(MarkingSchema, load_default=ONE_MARKER)
    second_look = Flag(load_default=False)
    sections = nested_list(SectionSchema, "sections", 1, 50, required=True)
    scales = nested_list(ScaleSchema, "scales", 0, MAX_SCALES, load_default=())
    norms = nested_list(NormGroupSchema, "norms", 0, MAX_NORM_GROUPS, load_default=())

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([section.key for section in data["sections"]], "sections")
        require_unique([section.title for section in data["sections"]], "sections", "title")
        require_grades_for_summaries(data)
        _require_unique_item_keys(data["sections"])
        _check_scoring(data)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> TestContent:
        del data["schema"]
        tuples = {name: tuple(data[name]) for name in ("sections", "scales", "norms")}
        return TestContent(**data | tuples)


SCHEMA = TestSchema()


def parse(content: Mapping[str, Any]) -> TestContent:
    """Return the typed content of a version. Raises Invalid with the path of the error."""
    test: TestContent = load_content(content, SCHEMA)
    return test


def _check_scoring(data: dict[str, Any]) -> None:
    sections, scales, norms = data["sections"], data["scales"], data["norms"]
    items = {item.key: item for section in sections for item in section.items}
    check_scales(scales, items, [section.title for section in sections])
    check_norms(norms, scales)
    grades = data["grades"]
    check_grades(grades, scales, norms, items)
    has_percent = any(section.is_scored for section in sections) or any(
        scale.weight for scale in scales
    )
    if grades and not isinstance(grades, ScaleGrades) and not has_percent:
        raise ValidationError("should be left out when no section is scored", "grades")


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
