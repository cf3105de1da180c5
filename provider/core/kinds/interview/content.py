"""The content of an interview template (schema 1), and its validation.

    name, description?, instructions?     description and instructions are Markdown
    language?                             a BCP 47 tag such as de: of every text of the document
    questions                             [{key, text, plain?, think_seconds?, answer_seconds?,
                                            takes?}]
    scale?                                {min: 1, max: 5, labels?: [one label per rating]}
    grades?, summaries?                   as in a test
    report?                               {answers?, notes?, scores?}: [report, pdf, shared] each:
                                          where the answers, the notes, and the score with the
                                          ratings are shown; left out: everywhere

`text` is Markdown, unless `plain` is true: then every character is shown as it was written.
`think_seconds` (30) is the time before the recording of an answer starts.
`answer_seconds` (120) is the maximum length of an answer. `takes` (1) is the number of recordings
that a candidate may make of an answer. Staff rate each answer on the scale.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.grade_warnings import find_grade_warnings
from provider.core.kinds.grading import (
    Grades,
    GradesSchema,
    SummariesSchema,
    require_grades_for_summaries,
)
from provider.core.kinds.report_options import SHOWN_EVERYWHERE, ReportOptions, ReviewedReportSchema
from provider.core.markdown import literal_html, markdown_to_text, render_markdown
from provider.core.products.documents import DocumentWarning, load_content
from provider.core.products.markdown_warnings import find_markdown_warnings
from provider.core.products.schema_fields import (
    DocumentSchema,
    Flag,
    Integer,
    Key,
    LanguageTag,
    ListOf,
    Text,
    Title,
    nested,
    nested_list,
    require_unique,
)
from provider.texts import LazyText, lazy_gettext

# The library is imported at the first use, as in `core/markdown.py`.
if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Question:
    """One question. `takes` is the number of recordings that a candidate may make."""

    key: str
    text: str
    plain: bool = False
    think_seconds: int = 30
    answer_seconds: int = 120
    takes: int = 1

    @property
    def text_html(self) -> "Markup":
        """The question for a page."""
        return literal_html(self.text) if self.plain else render_markdown(self.text)

    @property
    def text_without_markup(self) -> str:
        """The question for tables and reports."""
        return self.text if self.plain else markdown_to_text(self.text)

    def numbered_text(self, number: int) -> str:
        return f"{number}. {self.text_without_markup}"


@dataclass(frozen=True)
class Scale:
    """The ratings from `min` to `max`, both included. `labels` has one per rating, or none."""

    min: int = 1
    max: int = 5
    labels: tuple[str, ...] = ()

    def label(self, value: int) -> str:
        """Return the label of a rating; empty for a scale without labels."""
        return self.labels[value - self.min] if self.labels else ""

    def rating_text(self, value: int) -> str:
        """Return a rating as text: `4 of 5, Good`."""
        note, label = str(self.rating_note(value)), self.label(value)
        return f"{note}, {label}" if label else note

    def rating_note(self, value: int) -> LazyText:
        """Return a rating without its label: `4 of 5`."""
        return lazy_gettext("%(number)d of %(total)d", number=value, total=self.max)


@dataclass(frozen=True)
class InterviewContent:
    """The parsed content of an interview template."""

    name: str
    questions: tuple[Question, ...]
    description: str = ""
    instructions: str = ""
    scale: Scale = Scale()
    grades: Grades | None = None
    summaries: Mapping[str, str] | None = None
    language: str = ""
    report: ReportOptions = SHOWN_EVERYWHERE

    @property
    def max_duration_seconds(self) -> int:
        """The maximum time to think and answer, with one recording per question."""
        return sum(question.think_seconds + question.answer_seconds for question in self.questions)

    @property
    def longest_duration_seconds(self) -> int:
        """The maximum time to think and answer, with every recording that is allowed."""
        return sum(
            question.think_seconds + question.answer_seconds * question.takes
            for question in self.questions
        )

    @property
    def may_repeat(self) -> bool:
        """Whether a candidate may record some answer more than once."""
        return any(question.takes > 1 for question in self.questions)


class QuestionSchema(DocumentSchema):
    """One of the `questions`."""

    key = Key(required=True)
    text = Text(5_000, multiline=True, required=True)
    plain = Flag(load_default=False)
    think_seconds = Integer(0, 600, load_default=30)
    answer_seconds = Integer(10, 1800, load_default=120)
    takes = Integer(1, 10, load_default=1)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Question:
        return Question(**data)


class ScaleSchema(DocumentSchema):
    """The `scale` of the ratings."""

    min = Integer(0, 10, load_default=1)
    max = Integer(1, 100, load_default=5)
    labels = ListOf(Text(60), "labels", 2, 101, load_default=())

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        if data["max"] <= data["min"]:
            raise ValidationError("should be more than min", "max")
        rating_count = data["max"] - data["min"] + 1
        if data["labels"] and len(data["labels"]) != rating_count:
            raise ValidationError(
                f"should have a label per rating, that is {rating_count}", "labels"
            )

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Scale:
        return Scale(**data | {"labels": tuple(data["labels"])})


class InterviewSchema(DocumentSchema):
    """The content of an interview template."""

    schema = Integer(1, 1, load_default=1)
    name = Title(120, required=True)
    language = LanguageTag(load_default="")
    description = Text(10_000, multiline=True, load_default="")
    instructions = Text(10_000, multiline=True, load_default="")
    questions = nested_list(QuestionSchema, "questions", 1, 50, required=True)
    scale = nested(ScaleSchema, load_default=Scale())
    grades = nested(GradesSchema, load_default=None)
    summaries = nested(SummariesSchema, load_default=None)
    report = nested(ReviewedReportSchema, load_default=SHOWN_EVERYWHERE)

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([question.key for question in data["questions"]], "questions")
        require_grades_for_summaries(data)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> InterviewContent:
        del data["schema"]
        return InterviewContent(**data | {"questions": tuple(data["questions"])})


SCHEMA = InterviewSchema()


def parse(content: Mapping[str, Any]) -> InterviewContent:
    """Return the typed content of a version. Raises Invalid with the path of the error."""
    interview: InterviewContent = load_content(content, SCHEMA)
    return interview


def find_warnings(content: InterviewContent) -> Iterator[DocumentWarning]:
    """Warn where candidates may not see what the author meant."""
    texts = [("description", content.description), ("instructions", content.instructions)]
    questions = [
        (f"questions[{index}].text", question.text)
        for index, question in enumerate(content.questions)
        if not question.plain
    ]
    yield from find_grade_warnings(content.grades, content.summaries)
    yield from find_markdown_warnings(texts)
    yield from find_markdown_warnings(questions, plain_entry="question", has_headings=False)
