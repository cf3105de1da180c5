"""The kinds of item a test can ask: what an answer is, what it scores, how it reads.

A form gives the answer to an item under the name `answer`: several values for a
multiple_choice, the option's key for a single_choice, true or false, the number as written,
the text, or the position (1 is the first) on a likert scale.
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

ANSWER_FIELD = "answer"
MAX_TEXT_LENGTH = 200  # characters of a short_text answer
_CORRECT, _INCORRECT = Fraction(1), Fraction(0)


@dataclass(frozen=True)
class Option:
    """One choice of an item."""

    key: str
    text: str
    correct: bool = False


@dataclass(frozen=True, kw_only=True)
class Item(ABC):
    """One thing a test asks; an answer is a JSON value that `parse_answer` has made."""

    kind: ClassVar[str]
    key: str
    prompt: str
    points: Decimal = Decimal(1)
    required: bool = False

    def parse_answer(self, raw: Mapping[str, Any]) -> Any:
        """Return the answer a form gives, None for blank; Invalid speaks to the candidate."""
        values = list(_submitted_values(raw))
        return self._parse_values(values) if values else None

    @abstractmethod
    def score(self, value: Any) -> Fraction:
        """Return what the answer `value` is worth, from 0 to 1."""

    def format_answer(self, value: Any) -> str:
        """Return the answer `value` as people read it."""
        return str(value)

    def form_values(self, value: Any) -> list[str]:
        """Return the form's values that give the answer `value` (None: no answer) again."""
        return [_to_text(each) for each in (value if isinstance(value, list) else [value])]

    @property
    def solution(self) -> str | None:
        """The right answer as people read it; None where there is no right and wrong."""
        return None

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        """Why this item cannot be scored: the field and what it should be; None when it can."""
        return None

    @abstractmethod
    def _parse_values(self, values: list[str]) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class _Choice(Item):
    options: tuple[Option, ...]
    shuffle: bool | None = None

    def shuffled_options(self, seed: str, shuffle: bool) -> tuple[Option, ...]:
        """Return the options, in an order that depends on nothing but `seed` if they are mixed."""
        if not (shuffle if self.shuffle is None else self.shuffle):
            return self.options
        return tuple(
            sorted(self.options, key=lambda option: _shuffle_key(seed, self.key, option.key))
        )

    @property
    def solution(self) -> str | None:
        """The texts of the correct options."""
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
    """One option out of several; the answer is its key."""

    kind = "single_choice"

    def score(self, value: Any) -> Fraction:
        """Return 1 for the correct option."""
        return _CORRECT if value in self._correct_keys else _INCORRECT

    def format_answer(self, value: Any) -> str:
        """Return the option's text."""
        return self._join_texts({value})

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        """Exactly one option has to be correct."""
        return (
            None if len(self._correct_keys) == 1 else ("options", "should have exactly one correct")
        )

    def _parse_values(self, values: list[str]) -> str:
        return self._require_known_keys([_require_single(values)])[0]


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(_Choice):
    """Any options out of several; the answer is the list of their keys."""

    kind = "multiple_choice"

    def score(self, value: Any) -> Fraction:
        """Return (right − wrong) / all that are right, never below 0."""
        rights = self._correct_keys
        hits = len(rights & set(value))
        misses = len(set(value) - rights)
        return max(_INCORRECT, Fraction(hits - misses, len(rights))) if rights else _INCORRECT

    def format_answer(self, value: Any) -> str:
        """Return the options' texts, in the author's order."""
        return self._join_texts(set(value))

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        """At least one option has to be correct."""
        return None if self._correct_keys else ("options", "should have at least one correct")

    def _parse_values(self, values: list[str]) -> list[str]:
        return self._require_known_keys(values)


@dataclass(frozen=True, kw_only=True)
class TrueFalse(Item):
    """A statement that is true or false; the answer is a boolean."""

    kind = "true_false"
    answer: bool | None = None

    def score(self, value: Any) -> Fraction:
        """Return 1 when the statement was judged right."""
        return _CORRECT if value is self.answer else _INCORRECT

    def format_answer(self, value: Any) -> str:
        """Return True or False, as the form says it."""
        return "True" if value else "False"

    @property
    def solution(self) -> str | None:
        """What the statement is."""
        return None if self.answer is None else self.format_answer(self.answer)

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        """The statement has to be one or the other."""
        return ("answer", "should be true or false") if self.answer is None else None

    def _parse_values(self, values: list[str]) -> bool:
        if _require_single(values) not in ("true", "false"):
            raise Invalid("Choose true or false")
        return values[0] == "true"


@dataclass(frozen=True, kw_only=True)
class Numeric(Item):
    """A number; the answer is its exact decimal digits as text."""

    kind = "numeric"
    answer: Decimal | None = None
    tolerance: Decimal = Decimal(0)
    unit: str = ""

    def score(self, value: Any) -> Fraction:
        """Return 1 when the number is at most `tolerance` away; both ends count."""
        if self.answer is None:
            return _INCORRECT
        # Fractions, because Decimal's subtraction rounds to the context's digits.
        distance = abs(Fraction(value) - Fraction(self.answer))
        return _CORRECT if distance <= Fraction(self.tolerance) else _INCORRECT

    def format_answer(self, value: Any) -> str:
        """Return the number with its unit."""
        return f"{value} {self.unit}".strip()

    @property
    def solution(self) -> str | None:
        """The number, its unit and its tolerance."""
        if self.answer is None:
            return None
        within = f" (± {format_number(self.tolerance)})" if self.tolerance else ""
        return self.format_answer(format_number(self.answer)) + within

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        """There has to be a right number."""
        return ("answer", "should be provided, as a number") if self.answer is None else None

    def _parse_values(self, values: list[str]) -> str:
        return format_number(parse_number(_require_single(values)))


@dataclass(frozen=True, kw_only=True)
class ShortText(Item):
    """A few words; the answer is the text, compared without regard to case and spacing."""

    kind = "short_text"
    accepted: tuple[str, ...] = ()

    def score(self, value: Any) -> Fraction:
        """Return 1 for one of the accepted texts."""
        return (
            _CORRECT
            if _normalize(value) in {_normalize(text) for text in self.accepted}
            else _INCORRECT
        )

    @property
    def solution(self) -> str | None:
        """All accepted texts."""
        return " / ".join(self.accepted) or None

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        """There has to be an accepted text."""
        return None if self.accepted else ("accepted", "should have at least one text")

    def _parse_values(self, values: list[str]) -> str:
        text = " ".join(_require_single(values).split())
        if len(text) > MAX_TEXT_LENGTH:
            raise Invalid(f"This answer is too long. Write at most {MAX_TEXT_LENGTH} characters")
        return text


@dataclass(frozen=True, kw_only=True)
class Likert(Item):
    """A position on a scale; the answer counts from 1. No position is wrong, each scores."""

    kind = "likert"
    labels: tuple[str, ...]
    reversed: bool = False
    trait: str | None = None

    def score(self, value: Any) -> Fraction:
        """Return the place on the scale, from one end (0) to the other (1)."""
        share = Fraction(value - 1, len(self.labels) - 1)
        return 1 - share if self.reversed else share

    def format_answer(self, value: Any) -> str:
        """Return the position's label."""
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
    getlist = getattr(raw, "getlist", None)  # a form's; JSON and tests give plain mappings
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


def _shuffle_key(seed: str, item: str, option: str) -> bytes:
    return sha256(f"{seed}/{item}/{option}".encode()).digest()
