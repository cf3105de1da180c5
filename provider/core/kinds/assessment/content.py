"""The content of a test (schema 1), and its validation.

    name, description?, instructions?     description and instructions are Markdown
    language?                             a BCP 47 tag such as de: of every text of the document
    time_limit?                           minutes, 1 to 1440; left out or null: no limit
    shuffle?                              true shuffles the options, the same way for one order
    grades?                               {passed: 50, excelled: 80}, cut scores in percent, or
                                          {on, …} on a figure of a scale: see `cut_scores`
    summaries?                            {failed: …, passed: …, excelled: …}, one sentence each
    report?                               {answers: [report, pdf, shared]}: where the questions
                                          with the answers are shown; left out: nowhere
    sections                              [{key, title, instructions?, weight? (1), items}]
    scales?                               figures of the answers to several items: see `scales`
    norms?                                groups that these figures are compared with: see `norms`

An item has `kind`, `key` (unique in the test), `prompt` (Markdown), `plain` (false; true: the
prompt is no Markdown), `points` (1), `required` (false), and the fields of its kind:

    single_choice, multiple_choice        options: [{key, text, correct?}], shuffle?
    true_false                            answer: true or false
    numeric                               answer, tolerance? (0), unit?, minimum?
    short_text                            accepted: [text, …], case_sensitive? (false)
    likert                                labels: [text, …], direction? (positive, reversed), trait?

The answers to a section of weight 0 are shown but not scored. Its items need no right answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from marshmallow import ValidationError, fields, post_load, validates_schema

from provider.core.kinds.assessment.cut_scores import ScaleGrades, TestGradesSchema
from provider.core.kinds.assessment.items import (
    Item,
    Likert,
    MultipleChoice,
    Numeric,
    Option,
    ShortText,
    SingleChoice,
    TrueFalse,
)
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
from provider.core.products.documents import load_content
from provider.core.products.schema_fields import (
    Choice,
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
# The keys of a section's figures in the result's details. A trait with one of these names would
# overwrite a figure.
SCORE_LABEL, ANSWERED_LABEL = "Score", "Answered"


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

    @property
    def items(self) -> Iterator[Item]:
        return (item for section in self.sections for item in section.items)

    @cached_property
    def items_by_key(self) -> Mapping[str, Item]:
        return {item.key: item for item in self.items}

    @cached_property
    def points_by_key(self) -> Mapping[str, Fraction]:
        """The points of each item, as fractions."""
        return {item.key: Fraction(item.points) for item in self.items}

    @cached_property
    def bound_scales(self) -> tuple[BoundScale, ...]:
        return tuple(BoundScale(scale, self.items_by_key) for scale in self.scales)

    def find_item(self, key: str) -> Item | None:
        return self.items_by_key.get(key)

    def find_scale(self, key: str) -> Scale:
        return next(scale for scale in self.scales if scale.key == key)

    def unanswered_required(self, answers: Mapping[str, Any]) -> list[Item]:
        return [item for item in self.items if item.required and answers.get(item.key) is None]


class OptionSchema(DocumentSchema):
    """One of an item's `options`."""

    key = Key(required=True)
    text = Text(1000, multiline=True, required=True)
    correct = Flag(load_default=False)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Option:
        return Option(**data)


class ItemSchema(DocumentSchema):
    """The fields that every item has."""

    item_class: type[Item]

    kind = Text(20, required=True)
    key = Key(required=True)
    prompt = Text(10_000, multiline=True, required=True)
    points = Number(0, 1000, is_minimum_exclusive=True, load_default=Decimal(1))
    required = Flag(load_default=False)
    plain = Flag(load_default=False)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Item:
        del data["kind"]
        tuples = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return self.item_class(**data | tuples)


class ChoiceSchema(ItemSchema):
    """The options of a choice; their keys and texts are unique."""

    options = nested_list(OptionSchema, "options", 2, 30, required=True)
    shuffle = Flag(load_default=None)

    @validates_schema
    def _require_unique_options(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([option.key for option in data["options"]], "options")
        require_unique(
            [option.text for option in data["options"]], "options", "text", ignore_case=False
        )


class SingleChoiceSchema(ChoiceSchema):
    """`single_choice`: exactly one option is correct."""

    item_class = SingleChoice


class MultipleChoiceSchema(ChoiceSchema):
    """`multiple_choice`: at least one option is correct."""

    item_class = MultipleChoice


class TrueFalseSchema(ItemSchema):
    """`true_false`: a statement that is true or false."""

    item_class = TrueFalse
    answer = Flag(load_default=None)


class NumericSchema(ItemSchema):
    """`numeric`: a number within a tolerance, both ends included."""

    item_class = Numeric
    answer = Number(load_default=None)
    tolerance = Number(0, load_default=Decimal(0))
    unit = Text(20, load_default="")
    minimum = Number(load_default=None)

    @validates_schema
    def _require_answer_above_minimum(self, data: dict[str, Any], **_: Any) -> None:
        answer, minimum = data["answer"], data["minimum"]
        if answer is not None and minimum is not None and answer < minimum:
            raise ValidationError("should not be more than the answer", "minimum")


class ShortTextSchema(ItemSchema):
    """`short_text`: a few words, compared as `text_folding` says."""

    item_class = ShortText
    accepted = ListOf(Text(200), "texts", 1, 50, load_default=())
    case_sensitive = Flag(load_default=False)


class LikertSchema(ItemSchema):
    """`likert`: a scale from its first label (0 %) to its last (100 %), or reversed."""

    item_class = Likert
    labels = ListOf(Text(100), "labels", 2, 11, required=True)
    direction = Choice("positive", "reversed", load_default="positive")
    trait = Text(60, load_default=None)

    @validates_schema
    def _reject_reserved_trait(self, data: dict[str, Any], **_: Any) -> None:
        if data["trait"] in (SCORE_LABEL, ANSWERED_LABEL):
            raise ValidationError(f"should not be {SCORE_LABEL} or {ANSWERED_LABEL}", "trait")

    @post_load
    def _build(self, data: dict[str, Any], **kwargs: Any) -> Item:
        data["reversed"] = data.pop("direction") == "reversed"
        item: Item = super()._build(data, **kwargs)
        return item


_ITEM_SCHEMAS: dict[str, ItemSchema] = {
    schema.item_class.kind: schema
    for schema in (
        SingleChoiceSchema(),
        MultipleChoiceSchema(),
        TrueFalseSchema(),
        NumericSchema(),
        ShortTextSchema(),
        LikertSchema(),
    )
}


class ItemField(fields.Field[Item]):
    """An item, loaded by the schema that its `kind` names."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Item:
        if not isinstance(value, dict):
            raise ValidationError("should be a mapping of names to values")
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in _ITEM_SCHEMAS:
            raise ValidationError({"kind": [f"should be one of {', '.join(_ITEM_SCHEMAS)}"]})
        item: Item = _ITEM_SCHEMAS[kind].load(value)
        return item


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
