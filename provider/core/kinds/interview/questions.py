"""The questions of an interview template, and how candidates answer them.

key, text, plain?                     text is Markdown unless plain is true
answer?                               video, audio, text, file or choice
media?                                what the question shows: see `question_media.py`
think_seconds?, answer_seconds?, takes?    of an answer by video or audio
max_characters?, max_words?           of an answer by text
types?, max_megabytes?                of an answer by file
options                               of an answer by choice
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.accepted_files import (
    FILE_TYPES,
    MAX_MEGABYTES,
    AcceptedFiles,
    require_unique_types,
    types_field,
)
from provider.core.kinds.interview.question_media import Media, MediaSchema
from provider.core.markdown import literal_html, markdown_to_text, render_markdown
from provider.core.products.schema_fields import (
    Choice,
    DocumentSchema,
    Flag,
    Integer,
    Key,
    ListOf,
    Text,
    nested,
)

# The library is imported at the first use, as in `core/markdown.py`.
if TYPE_CHECKING:
    from markupsafe import Markup

VIDEO, AUDIO, TEXT, FILE, CHOICE = ANSWERS = ("video", "audio", "text", "file", "choice")
RECORDED = (VIDEO, AUDIO)
PRACTICE = "practice"  # the key of the question for practice
MAX_CHARACTERS = 10_000
MAX_THINK_SECONDS, MAX_ANSWER_SECONDS, MAX_TAKES = 600, 1800, 10
MIN_ANSWER_SECONDS = 10
# The fields that belong to some answers only.
_FIELDS_OF_ANSWERS: Mapping[str, tuple[str, ...]] = {
    "think_seconds": RECORDED,
    "answer_seconds": RECORDED,
    "takes": RECORDED,
    "max_characters": (TEXT,),
    "max_words": (TEXT,),
    "types": (FILE,),
    "max_megabytes": (FILE,),
    "options": (CHOICE,),
}
# Seconds that an answer without a recording counts for in the duration that candidates are told.
_USUAL_SECONDS = {TEXT: 300, FILE: 300, CHOICE: 60}


@dataclass(frozen=True)
class Question:
    """One question.

    `think_seconds` is None where the time to think is not limited. `takes` is the number of
    recordings that a candidate may make of an answer.
    """

    key: str
    text: str
    plain: bool = False
    answer: str = VIDEO
    media: Media | None = None
    think_seconds: int | None = 30
    answer_seconds: int = 120
    takes: int = 1
    max_characters: int = 5000
    max_words: int | None = None
    types: tuple[str, ...] = FILE_TYPES
    max_megabytes: int = MAX_MEGABYTES
    options: tuple[str, ...] = ()

    @property
    def is_recorded(self) -> bool:
        """Whether the answer is a recording, by video or audio."""
        return self.answer in RECORDED

    @property
    def usual_seconds(self) -> int:
        """The time for an answer that is given once; an estimate for one without a recording."""
        if self.is_recorded:
            return (self.think_seconds or 0) + self.answer_seconds
        return _USUAL_SECONDS[self.answer]

    @property
    def longest_seconds(self) -> int:
        """The time for an answer with every recording that is allowed."""
        if self.is_recorded:
            return (self.think_seconds or 0) + self.answer_seconds * self.takes
        return _USUAL_SECONDS[self.answer]

    @property
    def has_fixed_duration(self) -> bool:
        """Whether the times of the document limit how long the answer takes."""
        return self.is_recorded and self.think_seconds is not None

    @property
    def accepted_files(self) -> AcceptedFiles:
        return AcceptedFiles(self.types, self.max_megabytes)

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


class ThinkSeconds(Integer):
    """Seconds to think; null where the time is not limited."""

    def __init__(self) -> None:
        super().__init__(0, MAX_THINK_SECONDS, load_default=30, allow_none=True)


def answer_seconds_field() -> Integer:
    return Integer(MIN_ANSWER_SECONDS, MAX_ANSWER_SECONDS, load_default=120)


class QuestionSchema(DocumentSchema):
    """One of the `questions`."""

    key = Key(required=True)
    text = Text(5_000, multiline=True, required=True)
    plain = Flag(load_default=False)
    answer = Choice(*ANSWERS, load_default=VIDEO)
    media = nested(MediaSchema, load_default=None)
    think_seconds = ThinkSeconds()
    answer_seconds = answer_seconds_field()
    takes = Integer(1, MAX_TAKES, load_default=1)
    max_characters = Integer(1, MAX_CHARACTERS, load_default=5000)
    max_words = Integer(1, MAX_CHARACTERS, load_default=None)
    types = types_field()
    max_megabytes = Integer(1, MAX_MEGABYTES, load_default=MAX_MEGABYTES)
    options = ListOf(Text(300), "options", 2, 20, load_default=())

    @validates_schema(pass_original=True)
    def _validate_consistency(
        self, data: dict[str, Any], original: Mapping[str, Any], **_: Any
    ) -> None:
        answer = data["answer"]
        for name, answers in _FIELDS_OF_ANSWERS.items():
            if name in original and answer not in answers:
                where = " or ".join(answers)
                raise ValidationError(f"is for an answer by {where} only; remove it", name)
        if answer == CHOICE and not data["options"]:
            raise ValidationError("should be provided", "options")
        require_unique_types(data)
        _require_unique_options(data["options"])

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Question:
        lists = {name: tuple(data[name]) for name in ("types", "options")}
        return Question(**data | lists)


class PracticeSchema(DocumentSchema):
    """`practice`: a question to practise with. Its recording never leaves the browser."""

    text = Text(5_000, multiline=True, required=True)
    plain = Flag(load_default=False)
    answer = Choice(*RECORDED, load_default=VIDEO)
    media = nested(MediaSchema, load_default=None)
    think_seconds = ThinkSeconds()
    answer_seconds = answer_seconds_field()

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Question:
        return Question(key=PRACTICE, **data)


def _require_unique_options(options: list[str]) -> None:
    seen: set[str] = set()
    for index, option in enumerate(options):
        if option in seen:
            raise ValidationError({"options": {index: ["is already used above"]}})
        seen.add(option)
