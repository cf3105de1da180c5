"""The content of an interview template (schema 1), and its validation.

    name, description?, instructions?     description and instructions are Markdown
    language?                             a BCP 47 tag such as de: of every text of the document
    introduction?, closing?               {text, media?}: shown before the first question, and
                                          after the submission
    practice?                             {text, plain?, answer?, media?, think_seconds?,
                                            answer_seconds?}: a question that nobody else sees
    questions                             [{key, text, plain?, answer?, media?, think_seconds?,
                                            answer_seconds?, takes?, …}]: see `questions.py`
    time_limit?                           minutes from the start to the end of the attempt
    sound_only?                           whether a video question may be answered by sound alone
    may_be_paused?                        whether a candidate may stop the time between questions
    preferences?                          the names of what an order may override: see
                                          `preferences.py`
    scale?                                {min: 1, max: 5, labels?: [one label per rating]}
    grades?, summaries?                   as in a test
    report?                               {answers?, notes?, scores?}: [report, pdf, shared] each:
                                          where the answers, the notes, and the score with the
                                          ratings are shown; left out: everywhere

`text` is Markdown, unless `plain` is true: then every character is shown as it was written.
`think_seconds` (30) is the time before the recording of an answer starts; null: not limited.
`answer_seconds` (120) is the maximum length of an answer. `takes` (1) is the number of recordings
that a candidate may make of an answer. Staff rate each answer on the scale.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.grade_warnings import find_grade_warnings
from provider.core.kinds.grading import (
    Grades,
    GradesSchema,
    SummariesSchema,
    require_grades_for_summaries,
)
from provider.core.kinds.interview.question_media import Media, MediaSchema
from provider.core.kinds.interview.questions import PracticeSchema, Question, QuestionSchema
from provider.core.kinds.report_options import SHOWN_EVERYWHERE, ReportOptions, ReviewedReportSchema
from provider.core.products.documents import DocumentWarning, load_content
from provider.core.products.markdown_warnings import find_markdown_warnings
from provider.core.products.schema_fields import (
    Choice,
    DocumentSchema,
    Flag,
    Integer,
    LanguageTag,
    ListOf,
    Text,
    Title,
    nested,
    nested_list,
    require_unique,
)
from provider.texts import LazyText, lazy_gettext

__all__ = ["InterviewContent", "Message", "Question", "Scale", "find_warnings", "parse"]

MAX_MINUTES = 1440  # of a time limit
# An order may override these where the template names them.
OVERRIDES = ("think_seconds", "answer_seconds", "takes", "time_limit", "may_be_paused", "practice")


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
class Message:
    """A text in Markdown that candidates read, and what it shows beside its words."""

    text: str
    media: Media | None = None


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
    introduction: Message | None = None
    closing: Message | None = None
    practice: Question | None = None
    time_limit: int | None = None  # minutes
    may_be_paused: bool = True
    sound_only: bool = True
    preferences: frozenset[str] = frozenset()

    @property
    def max_duration_seconds(self) -> int:
        """The maximum time to think and answer, with one recording per question."""
        seconds = sum(question.usual_seconds for question in self.questions)
        return min(seconds, self.time_limit * 60) if self.time_limit else seconds

    @property
    def longest_duration_seconds(self) -> int:
        """The maximum time to think and answer, with every recording that is allowed."""
        seconds = sum(question.longest_seconds for question in self.questions)
        return min(seconds, self.time_limit * 60) if self.time_limit else seconds

    @property
    def has_fixed_duration(self) -> bool:
        """Whether no candidate can need more than the durations, without other recordings."""
        return all(question.has_fixed_duration for question in self.questions)

    @property
    def may_repeat(self) -> bool:
        """Whether a candidate may record some answer more than once."""
        return any(question.takes > 1 for question in self.questions)

    @property
    def has_recorded_answers(self) -> bool:
        """Whether candidates need a camera or a microphone."""
        return any(question.is_recorded for question in self.questions)


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


class MessageSchema(DocumentSchema):
    """`introduction` and `closing`."""

    text = Text(10_000, multiline=True, required=True)
    media = nested(MediaSchema, load_default=None)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Message:
        return Message(**data)


class InterviewSchema(DocumentSchema):
    """The content of an interview template."""

    schema = Integer(1, 1, load_default=1)
    name = Title(120, required=True)
    language = LanguageTag(load_default="")
    description = Text(10_000, multiline=True, load_default="")
    instructions = Text(10_000, multiline=True, load_default="")
    introduction = nested(MessageSchema, load_default=None)
    practice = nested(PracticeSchema, load_default=None)
    time_limit = Integer(1, MAX_MINUTES, load_default=None)
    may_be_paused = Flag(load_default=True)
    sound_only = Flag(load_default=True)
    preferences = ListOf(Choice(*OVERRIDES), "names", 0, len(OVERRIDES), load_default=())
    questions = nested_list(QuestionSchema, "questions", 1, 50, required=True)
    closing = nested(MessageSchema, load_default=None)
    scale = nested(ScaleSchema, load_default=Scale())
    grades = nested(GradesSchema, load_default=None)
    summaries = nested(SummariesSchema, load_default=None)
    report = nested(ReviewedReportSchema, load_default=SHOWN_EVERYWHERE)

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([question.key for question in data["questions"]], "questions")
        require_grades_for_summaries(data)
        if not data["may_be_paused"] and data["time_limit"] is None:
            problem = "should be true without a time_limit: no time runs that could be stopped"
            raise ValidationError(problem, "may_be_paused")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> InterviewContent:
        del data["schema"]
        lists = {
            "questions": tuple(data["questions"]),
            "preferences": frozenset(data["preferences"]),
        }
        return InterviewContent(**data | lists)


SCHEMA = InterviewSchema()


def parse(content: Mapping[str, Any]) -> InterviewContent:
    """Return the typed content of a version. Raises Invalid with the path of the error."""
    interview: InterviewContent = load_content(content, SCHEMA)
    return interview


def find_warnings(content: InterviewContent) -> Iterator[DocumentWarning]:
    """Warn where candidates may not see what the author meant."""
    texts = [("description", content.description), ("instructions", content.instructions)]
    shown = [
        ("introduction", content.introduction),
        ("practice", content.practice),
        ("closing", content.closing),
        *((f"questions[{index}]", question) for index, question in enumerate(content.questions)),
    ]
    questions = []
    for path, part in shown:
        if part is None:
            continue
        if isinstance(part, Message):
            texts.append((f"{path}.text", part.text))
        elif not part.plain:
            questions.append((f"{path}.text", part.text))
        if part.media and part.media.transcript:
            texts.append((f"{path}.media.transcript", part.media.transcript))
    yield from find_grade_warnings(content.grades, content.summaries)
    yield from find_markdown_warnings(texts)
    yield from find_markdown_warnings(questions, plain_entry="question", has_headings=False)
