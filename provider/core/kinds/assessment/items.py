"""The kinds of item: how each parses, scores and formats an answer.

A form sends the answer to an item in the field `answer`. Its values are:

    single_choice, multiple_choice        the key of the option, or of several options
    true_false                            true or false
    numeric, short_text                   the text as the candidate typed it
    likert                                the position on the scale, from 1
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from provider.core.kinds.assessment.number_parsing import format_number, parse_number
from provider.core.kinds.assessment.text_folding import fold, remove_invisible
from provider.core.markdown import literal_html, markdown_to_text, render_markdown
from provider.core.products.schema_fields import clean_text
from provider.errors import Invalid
from provider.texts import gettext

# The library is imported at the first use, as in `core/markdown.py`.
if TYPE_CHECKING:
    from markupsafe import Markup

ANSWER_FIELD = "answer"
MAX_TEXT_LENGTH = 200  # characters of a short_text answer, and of a typed text that is kept
_CORRECT, _INCORRECT = Fraction(1), Fraction(0)


@dataclass(frozen=True)
class Option:
    """One option of a single_choice or a multiple_choice."""

    key: str
    text: str
    correct: bool = False


class Reading(NamedTuple):
    """How a number that can mean two numbers was read. `numbers` are both, the read one first."""

    note: str
    numbers: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Item(ABC):
    """One question of a test. An answer is a JSON value that `parse_answer` returned.

    `plain` says that the prompt is no Markdown: every character is shown as it was written.
    """

    kind: ClassVar[str]
    key: str
    prompt: str
    points: Decimal = Decimal(1)
    required: bool = False
    plain: bool = False

    @property
    def prompt_html(self) -> "Markup":
        return literal_html(self.prompt) if self.plain else render_markdown(self.prompt)

    @property
    def prompt_text(self) -> str:
        """The prompt for tables and reports."""
        return self.prompt if self.plain else markdown_to_text(self.prompt)

    def parse_answer(self, raw: Mapping[str, Any]) -> Any:
        """Return the answer in a form; None for a blank one.

        Raises Invalid with a sentence for the candidate.
        """
        values = list(_submitted_values(raw))
        return self._parse_values(values) if values else None

    def typed_text(self, raw: Mapping[str, Any]) -> str | None:
        """Return the text of a form that is kept beside the answer, as it was typed.

        None for a blank, and for an item whose answer is all that was typed.
        """
        return None

    def reading(self, typed: str | None) -> Reading | None:
        """Return how a typed text was read; None for a text that has one meaning."""
        return None

    def find_problem(self, typed: str | None) -> Invalid | None:
        """Return the advice on a typed text that cannot be read; None for another."""
        return None

    @abstractmethod
    def score(self, value: Any) -> Fraction:
        """Return the share of the points that an answer earns, from 0 to 1."""

    def format_typed(self, value: Any, typed: str | None) -> str:
        """Return an answer, and the typed text where the answer alone would hide something."""
        return "" if value is None else self.format_answer(value)

    def format_answer(self, value: Any) -> str:
        """Return an answer as the report shows it."""
        return str(value)

    def form_values(self, value: Any) -> list[str]:
        """Return the values that a form must send to give this answer again."""
        values = value if isinstance(value, list) else [value]
        return [_to_text(form_value) for form_value in values]

    @property
    def solution(self) -> str | None:
        """The right answer as the report shows it; None for an item without one."""
        return None

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        """The field that prevents scoring, and advice on it; None when scoring is possible."""
        return None

    @abstractmethod
    def _parse_values(self, values: list[str]) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class _Choice(Item):
    options: tuple[Option, ...]
    shuffle: bool | None = None

    def shuffled_options(self, seed: str, shuffle: bool) -> tuple[Option, ...]:
        """Return the options in the order to show.

        The order of shuffled options depends on `seed` alone, so a reload does not change it.
        """
        if not (shuffle if self.shuffle is None else self.shuffle):
            return self.options
        return tuple(
            sorted(self.options, key=lambda option: _shuffle_key(seed, self.key, option.key))
        )

    @property
    def solution(self) -> str | None:
        return self._join_texts(self._correct_keys) or None

    def _join_texts(self, keys: set[str]) -> str:
        return "; ".join(option.text for option in self.options if option.key in keys)

    def _require_known_keys(self, values: Sequence[str]) -> list[str]:
        if set(values) - {option.key for option in self.options}:
            raise Invalid("This is not one of the choices. Reload the page and choose again")
        return [option.key for option in self.options if option.key in values]

    @property
    def _correct_keys(self) -> set[str]:
        return {option.key for option in self.options if option.correct}


@dataclass(frozen=True, kw_only=True)
class SingleChoice(_Choice):
    """One option out of several. The answer is the key of the option."""

    kind = "single_choice"

    def score(self, value: Any) -> Fraction:
        return _CORRECT if value in self._correct_keys else _INCORRECT

    def format_answer(self, value: Any) -> str:
        return self._join_texts({value})

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return (
            None if len(self._correct_keys) == 1 else ("options", "should have exactly one correct")
        )

    def _parse_values(self, values: list[str]) -> str:
        return self._require_known_keys([_require_single(values)])[0]


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(_Choice):
    """Any number of options. The answer is the list of their keys."""

    kind = "multiple_choice"

    def score(self, value: Any) -> Fraction:
        """Return (right − wrong) / number of correct options, never below 0."""
        correct_keys = self._correct_keys
        if not correct_keys:
            return _INCORRECT
        right_count = len(correct_keys & set(value))
        wrong_count = len(set(value) - correct_keys)
        return max(_INCORRECT, Fraction(right_count - wrong_count, len(correct_keys)))

    def format_answer(self, value: Any) -> str:
        """Return the texts of the options, in the order of the document."""
        return self._join_texts(set(value))

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return None if self._correct_keys else ("options", "should have at least one correct")

    def _parse_values(self, values: list[str]) -> list[str]:
        return self._require_known_keys(values)


@dataclass(frozen=True, kw_only=True)
class TrueFalse(Item):
    """A statement that is true or false. The answer is a boolean."""

    kind = "true_false"
    answer: bool | None = None

    def score(self, value: Any) -> Fraction:
        return _CORRECT if value is self.answer else _INCORRECT

    def format_answer(self, value: Any) -> str:
        return gettext("True") if value else gettext("False")

    @property
    def solution(self) -> str | None:
        return None if self.answer is None else self.format_answer(self.answer)

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return ("answer", "should be true or false") if self.answer is None else None

    def _parse_values(self, values: list[str]) -> bool:
        if _require_single(values) not in ("true", "false"):
            raise Invalid("Choose true or false")
        return values[0] == "true"


@dataclass(frozen=True, kw_only=True)
class Numeric(Item):
    """A number. The answer is text with the exact decimal digits."""

    kind = "numeric"
    answer: Decimal | None = None
    tolerance: Decimal = Decimal(0)
    unit: str = ""
    minimum: Decimal | None = None

    @property
    def may_be_negative(self) -> bool:
        """Whether a negative answer is allowed. It depends on the minimum, never on the answer."""
        return self.minimum is None or self.minimum < 0

    def typed_text(self, raw: Mapping[str, Any]) -> str | None:
        return " ".join(_submitted_values(raw))[:MAX_TEXT_LENGTH] or None

    def reading(self, typed: str | None) -> Reading | None:
        if typed is None or self.find_problem(typed):
            return None
        parsed = parse_number(typed, self.unit)
        if parsed.alternative is None:
            return None
        number, alternative = format_number(parsed.number), format_number(parsed.alternative)
        note = gettext(
            "Read as %(number)s. If you mean %(alternative)s, write %(alternative)s.",
            number=number,
            alternative=alternative,
        )
        return Reading(note, (number, alternative))

    def find_problem(self, typed: str | None) -> Invalid | None:
        try:
            self.parse_answer({ANSWER_FIELD: typed})
        except Invalid as error:
            return error
        return None

    def format_typed(self, value: Any, typed: str | None) -> str:
        answer = super().format_typed(value, typed)
        if typed is None:
            return answer
        if self.find_problem(typed):
            unread = gettext("“%(typed)s” (not read as an answer)", typed=typed)
            return f"{answer}; {unread}" if answer else unread
        if self.reading(typed):
            return gettext("%(answer)s (typed as “%(typed)s”)", answer=answer, typed=typed)
        return answer

    def score(self, value: Any) -> Fraction:
        """Return 1 for a number within the tolerance, both ends included."""
        if self.answer is None:
            return _INCORRECT
        # Decimal's subtraction rounds to the precision of its context; Fraction's is exact.
        distance = abs(Fraction(value) - Fraction(self.answer))
        return _CORRECT if distance <= Fraction(self.tolerance) else _INCORRECT

    def format_answer(self, value: Any) -> str:
        return f"{value} {self.unit}".strip()

    @property
    def solution(self) -> str | None:
        if self.answer is None:
            return None
        tolerance_text = f" (± {format_number(self.tolerance)})" if self.tolerance else ""
        return self.format_answer(format_number(self.answer)) + tolerance_text

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return ("answer", "should be provided, as a number") if self.answer is None else None

    def _parse_values(self, values: list[str]) -> str:
        number = parse_number(_require_single(values), self.unit).number
        if self.minimum is not None and number < self.minimum:
            raise Invalid(
                "Write a number that is not below %(minimum)s", minimum=format_number(self.minimum)
            )
        return format_number(number)


@dataclass(frozen=True, kw_only=True)
class ShortText(Item):
    """A few words. The answer is the text; `text_folding` compares it with the accepted ones."""

    kind = "short_text"
    accepted: tuple[str, ...] = ()
    case_sensitive: bool = False

    def score(self, value: Any) -> Fraction:
        accepted_texts = {self.fold(text) for text in self.accepted}
        return _CORRECT if self.fold(value) in accepted_texts else _INCORRECT

    def fold(self, text: str) -> str:
        """Return the text in the form that answers to this item are compared in."""
        return fold(text, case_sensitive=self.case_sensitive)

    @property
    def solution(self) -> str | None:
        return " / ".join(self.accepted) or None

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return None if self.accepted else ("accepted", "should have at least one text")

    def _parse_values(self, values: list[str]) -> str:
        text = " ".join(_require_single(values).split())
        if len(text) > MAX_TEXT_LENGTH:
            raise Invalid(
                "This answer is too long. Write at most %(maximum)d characters",
                maximum=MAX_TEXT_LENGTH,
            )
        return text


@dataclass(frozen=True, kw_only=True)
class Likert(Item):
    """A scale. The answer is a position from 1. No position is wrong: each has its own score."""

    kind = "likert"
    labels: tuple[str, ...]
    reversed: bool = False
    trait: str | None = None

    def score(self, value: Any) -> Fraction:
        """Return 0 for the first position and 1 for the last, or the other way round."""
        share = Fraction(value - 1, len(self.labels) - 1)
        return 1 - share if self.reversed else share

    def format_answer(self, value: Any) -> str:
        return str(self.labels[value - 1])

    def _parse_values(self, values: list[str]) -> int:
        positions = {str(position): position for position in range(1, len(self.labels) + 1)}
        if _require_single(values) not in positions:
            raise Invalid("This is not on the scale. Reload the page and choose again")
        return positions[values[0]]


ITEM_KINDS: dict[str, type[Item]] = {
    kind.kind: kind
    for kind in (SingleChoice, MultipleChoice, TrueFalse, Numeric, ShortText, Likert)
}


def _submitted_values(raw: Mapping[str, Any]) -> Iterator[str]:
    # A form is a MultiDict. JSON and tests give plain mappings.
    getlist = getattr(raw, "getlist", None)
    values = getlist(ANSWER_FIELD) if getlist else raw.get(ANSWER_FIELD)
    for value in values if isinstance(values, list) else [values]:
        text = _to_text(value)
        if remove_invisible(text).strip():
            yield text


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise Invalid("This answer could not be read. Reload the page and answer again")
    return clean_text(str(value))


def _require_single(values: list[str]) -> str:
    if len(values) > 1:
        raise Invalid("Give one answer only")
    return values[0]


def _shuffle_key(seed: str, item_key: str, option_key: str) -> bytes:
    return sha256(f"{seed}/{item_key}/{option_key}".encode()).digest()
