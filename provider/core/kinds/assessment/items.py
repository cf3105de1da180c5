"""The kinds of item: how each parses, scores and formats an answer.

A form sends the answer to an item in the field `answer`. Its values are:

    single_choice, multiple_choice        the key of the option, or of several options
    true_false                            true or false
    numeric, short_text                   the text as the candidate typed it
    likert                                the position on the scale, from 1
"""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from typing import Any, ClassVar

from provider.core.kinds.assessment.number_parsing import format_number, parse_number
from provider.core.products.schema_fields import clean_text
from provider.errors import Invalid
from provider.texts import gettext

ANSWER_FIELD = "answer"
MAX_TEXT_LENGTH = 200  # characters of a short_text answer
_CORRECT, _INCORRECT = Fraction(1), Fraction(0)


@dataclass(frozen=True)
class Option:
    """One option of a single_choice or a multiple_choice."""

    key: str
    text: str
    correct: bool = False


@dataclass(frozen=True, kw_only=True)
class Item(ABC):
    """One question of a test. An answer is a JSON value that `parse_answer` returned."""

    kind: ClassVar[str]
    key: str
    prompt: str
    points: Decimal = Decimal(1)
    required: bool = False

    def parse_answer(self, raw: Mapping[str, Any]) -> Any:
        """Return the answer in a form; None for a blank one.

        Raises Invalid with a sentence for the candidate.
        """
        values = list(_submitted_values(raw))
        return self._parse_values(values) if values else None

    @abstractmethod
    def score(self, value: Any) -> Fraction:
        """Return the share of the points that an answer earns, from 0 to 1."""

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
        return format_number(parse_number(_require_single(values)))


@dataclass(frozen=True, kw_only=True)
class ShortText(Item):
    """A few words. The answer is the text; case and spacing do not matter."""

    kind = "short_text"
    accepted: tuple[str, ...] = ()

    def score(self, value: Any) -> Fraction:
        accepted_texts = {_normalize(text) for text in self.accepted}
        return _CORRECT if _normalize(value) in accepted_texts else _INCORRECT

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
        if text:
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


def _normalize(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _shuffle_key(seed: str, item_key: str, option_key: str) -> bytes:
    return sha256(f"{seed}/{item_key}/{option_key}".encode()).digest()
