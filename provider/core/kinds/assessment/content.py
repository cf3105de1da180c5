"""The content of a test (schema 1), and its validation.

    name, description?, instructions?     description and instructions are Markdown
    language?                             a BCP 47 tag such as de: of every text of the document
    time_limit?                           minutes, 1 to 1440; left out or null: no limit
    navigation?                           free (the default), or forward: no way back to a question
    shuffle?                              true shuffles the options, the same way for one order
    grades?                               {passed: 50, excelled: 80}, cut scores in percent, or
                                          {on, …} on a figure of a scale: see `cut_scores`
    summaries?                            {failed: …, passed: …, excelled: …}, one sentence each
    marking?                              {markers: 1 or 2, blind: true, tolerance: 0}: of the items
                                          that staff mark; the tolerance is in points
    second_look?                          true: candidates may ask that staff look again
    report?                               {answers: [report, pdf, shared]}: where the questions
                                          with the answers are shown; left out: nowhere
    integrity?                            {record: true, shared?: false}: record signals
    retakes?                              {allowed?: true, after_days?: 0, counts?: first, best or
                                          last}: the rule for a person who is invited again
    feedback?, feedback_grade?            true: candidates see their own short report, with grade
    sections                              [{key, title, instructions?, weight? (1), items, …}]
    scales?                               figures of the answers to several items: see `scales`
    norms?                                groups that these figures are compared with: see `norms`

A section also has `draw`, `order`, `time_limit`, `navigation`, `practice` and `break`; see
`sections.py`.

An item has `kind`, `key` (unique in the test), `prompt` (Markdown), `plain` (false; true: the
prompt is no Markdown), `points` (1), `required` (false), `tags`, `time_limit_seconds`, and the
fields of its kind. They are in the schema of its module in `items/`.

The answers to a section of weight 0 are shown but not scored. Its items need no right answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.assessment.cut_scores import ScaleGrades, TestGradesSchema
from provider.core.kinds.assessment.document_options import (
    NO_INTEGRITY,
    IntegrityOptions,
    IntegritySchema,
    RetakeOptions,
    RetakeSchema,
)
from provider.core.kinds.assessment.items import Item, MarkedItem
from provider.core.kinds.assessment.norms import MAX_NORM_GROUPS, NormGroup, NormGroupSchema
from provider.core.kinds.assessment.scale_checks import check_grades, check_norms, check_scales
from provider.core.kinds.assessment.scale_scoring import BoundScale
from provider.core.kinds.assessment.scales import MAX_SCALES, Scale, ScaleSchema
from provider.core.kinds.assessment.sections import (
    FREE,
    NAVIGATIONS,
    Section,
    SectionSchema,
    sum_item_seconds,
)
from provider.core.kinds.grading import (
    Grades,
    SummariesSchema,
    require_grades_for_summaries,
)
from provider.core.kinds.report_options import SHOWN_NOWHERE, ReportOptions, ReportSchema
from provider.core.marking import ONE_MARKER, MarkingSchema, MarkingSettings
from provider.core.products.documents import load_content
from provider.core.products.schema_fields import (
    Choice,
    DocumentSchema,
    Flag,
    Integer,
    LanguageTag,
    Text,
    Title,
    nested,
    nested_list,
    require_unique,
)

__all__ = ["SCHEMA", "Section", "TestContent", "TestSchema", "parse"]


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
    navigation: str = FREE
    grades: Grades | None = None
    summaries: Mapping[str, str] | None = None
    language: str = ""
    report: ReportOptions = SHOWN_NOWHERE
    scales: tuple[Scale, ...] = ()
    norms: tuple[NormGroup, ...] = ()
    integrity: IntegrityOptions = NO_INTEGRITY
    retakes: RetakeOptions | None = None
    feedback: bool = False
    feedback_grade: bool = False
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

    @property
    def question_count(self) -> int:
        """The questions that one candidate gets, without those for practice."""
        return sum(section.question_count for section in self.sections if not section.practice)

    @property
    def limited_seconds(self) -> int:
        """The time that all limits together give: the test's own, else those of its parts."""
        if self.time_limit:
            return self.time_limit * 60
        return sum(
            section.time_limit * 60 if section.time_limit else sum_item_seconds(section)
            for section in self.sections
        )

    def without_practice(self) -> "TestContent":
        """Return what counts: the test without its sections for practice."""
        if not any(section.practice for section in self.sections):
            return self
        return replace(self, sections=tuple(part for part in self.sections if not part.practice))

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
    navigation = Choice(*NAVIGATIONS, load_default=FREE)
    grades = nested(TestGradesSchema, load_default=None)
    summaries = nested(SummariesSchema, load_default=None)
    report = nested(ReportSchema, load_default=SHOWN_NOWHERE)
    marking = nested(MarkingSchema, load_default=ONE_MARKER)
    second_look = Flag(load_default=False)
    integrity = nested(IntegritySchema, load_default=NO_INTEGRITY)
    retakes = nested(RetakeSchema, load_default=None)
    feedback = Flag(load_default=False)
    feedback_grade = Flag(load_default=False)
    sections = nested_list(SectionSchema, "sections", 1, 50, required=True)
    scales = nested_list(ScaleSchema, "scales", 0, MAX_SCALES, load_default=())
    norms = nested_list(NormGroupSchema, "norms", 0, MAX_NORM_GROUPS, load_default=())

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([section.key for section in data["sections"]], "sections")
        require_unique([section.title for section in data["sections"]], "sections", "title")
        require_grades_for_summaries(data)
        _require_unique_item_keys(data["sections"])
        _require_counted_questions(data["sections"])
        _require_forward_for_item_limits(data["sections"], data["navigation"])
        _check_scoring(data)
        if data["feedback_grade"] and not (data["feedback"] and data["grades"]):
            raise ValidationError("needs feedback: true, and grades", "feedback_grade")

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
    # Every candidate answers these: a scale has the same items for all.
    items = {
        item.key: item
        for section in sections
        if not section.draw and not section.practice
        for item in section.items
    }
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


def _require_counted_questions(sections: list[Section]) -> None:
    if all(section.practice for section in sections):
        raise ValidationError({"sections": ["should have one that is not for practice"]})
    if sections[-1].break_minutes:
        last = len(sections) - 1
        raise ValidationError({"sections": {last: {"break": ["should be between two sections"]}}})


def _require_forward_for_item_limits(sections: list[Section], navigation: str) -> None:
    for section_index, section in enumerate(sections):
        for item_index, item in enumerate(section.items):
            is_forward = (section.navigation or navigation) != FREE
            if item.time_limit_seconds and (not is_forward or section.practice):
                advice = "should be in a section with navigation: forward, not for practice"
                path = {"items": {item_index: {"time_limit_seconds": [advice]}}}
                raise ValidationError({"sections": {section_index: path}})
