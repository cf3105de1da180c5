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

from provider.errors import Invalid
from provider.kinds.assessment.numerals import read_number, write_number
from provider.kinds.fields import cleaned

FIELD = "answer"
MOST_TEXT = 200  # characters of a short_text answer
_RIGHT, _WRONG = Fraction(1), Fraction(0)


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
        values = list(_given(raw))
        return self._understand(values) if values else None

    @abstractmethod
    def score(self, value: Any) -> Fraction:
        """Return what the answer `value` is worth, from 0 to 1."""

    def shown(self, value: Any) -> str:
        """Return the answer `value` as people read it."""
        return str(value)

    def chosen(self, value: Any) -> list[str]:
        """Return the form's values that give the answer `value` (None: no answer) again."""
        return [_text(each) for each in (value if isinstance(value, list) else [value])]

    @property
    def solution(self) -> str | None:
        """The right answer as people read it; None where there is no right and wrong."""
        return None

    @property
    def flaw(self) -> tuple[str, str] | None:
        """Why this item cannot be scored: the field and what it should be; None when it can."""
        return None

    @abstractmethod
    def _understand(self, values: list[str]) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class _Choice(Item):
    options: tuple[Option, ...]
    shuffle: bool | None = None

    def arranged(self, seed: str, shuffle: bool) -> tuple[Option, ...]:
        """Return the options, in an order that depends on nothing but `seed` if they are mixed."""
        if not (shuffle if self.shuffle is None else self.shuffle):
            return self.options
        return tuple(sorted(self.options, key=lambda option: _draw(seed, self.key, option.key)))

    @property
    def solution(self) -> str | None:
        """The texts of the correct options."""
        return self._named(self._rights) or None

    def _named(self, keys: set[str]) -> str:
        return "; ".join(option.text for option in self.options if option.key in keys)

    def _known(self, values: Sequence[str]) -> list[str]:
        if set(values) - {option.key for option in self.options}:
            raise Invalid("This is not one of the choices. Reload the page and choose again")
        return [option.key for option in self.options if option.key in values]

    @property
    def _rights(self) -> set[str]:
        return {option.key for option in self.options if option.correct}


@dataclass(frozen=True, kw_only=True)
class SingleChoice(_Choice):
    """One option out of several; the answer is its key."""

    kind = "single_choice"

    def score(self, value: Any) -> Fraction:
        """Return 1 for the correct option."""
        return _RIGHT if value in self._rights else _WRONG

    def shown(self, value: Any) -> str:
        """Return the option's text."""
        return self._named({value})

    @property
    def flaw(self) -> tuple[str, str] | None:
        """Exactly one option has to be correct."""
        return None if len(self._rights) == 1 else ("options", "should have exactly one correct")

    def _understand(self, values: list[str]) -> str:
        return self._known([_one(values)])[0]


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(_Choice):
    """Any options out of several; the answer is the list of their keys."""

    kind = "multiple_choice"

    def score(self, value: Any) -> Fraction:
        """Return (right − wrong) / all that are right, never below 0."""
        rights = self._rights
        hits = len(rights & set(value))
        misses = len(set(value) - rights)
        return max(_WRONG, Fraction(hits - misses, len(rights))) if rights else _WRONG

    def shown(self, value: Any) -> str:
        """Return the options' texts, in the author's order."""
        return self._named(set(value))

    @property
    def flaw(self) -> tuple[str, str] | None:
        """At least one option has to be correct."""
        return None if self._rights else ("options", "should have at least one correct")

    def _understand(self, values: list[str]) -> list[str]:
        return self._known(values)


@dataclass(frozen=True, kw_only=True)
class TrueFalse(Item):
    """A statement that is true or false; the answer is a boolean."""

    kind = "true_false"
    answer: bool | None = None

    def score(self, value: Any) -> Fraction:
        """Return 1 when the statement was judged right."""
        return _RIGHT if value is self.answer else _WRONG

    def shown(self, value: Any) -> str:
        """Return True or False, as the form says it."""
        return "True" if value else "False"

    @property
    def solution(self) -> str | None:
        """What the statement is."""
        return None if self.answer is None else self.shown(self.answer)

    @property
    def flaw(self) -> tuple[str, str] | None:
        """The statement has to be one or the other."""
        return ("answer", "should be true or false") if self.answer is None else None

    def _understand(self, values: list[str]) -> bool:
        if _one(values) not in ("true", "false"):
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
            return _WRONG
        # Fractions, because Decimal's subtraction rounds to the context's digits.
        distance = abs(Fraction(value) - Fraction(self.answer))
        return _RIGHT if distance <= Fraction(self.tolerance) else _WRONG

    def shown(self, value: Any) -> str:
        """Return the number with its unit."""
        return f"{value} {self.unit}".strip()

    @property
    def solution(self) -> str | None:
        """The number, its unit and its tolerance."""
        if self.answer is None:
            return None
        within = f" (± {write_number(self.tolerance)})" if self.tolerance else ""
        return self.shown(write_number(self.answer)) + within

    @property
    def flaw(self) -> tuple[str, str] | None:
        """There has to be a right number."""
        return ("answer", "should be provided, as a number") if self.answer is None else None

    def _understand(self, values: list[str]) -> str:
        return write_number(read_number(_one(values)))


@dataclass(frozen=True, kw_only=True)
class ShortText(Item):
    """A few words; the answer is the text, compared without regard to case and spacing."""

    kind = "short_text"
    accepted: tuple[str, ...] = ()

    def score(self, value: Any) -> Fraction:
        """Return 1 for one of the accepted texts."""
        return _RIGHT if _folded(value) in {_folded(text) for text in self.accepted} else _WRONG

    @property
    def solution(self) -> str | None:
        """All accepted texts."""
        return " / ".join(self.accepted) or None

    @property
    def flaw(self) -> tuple[str, str] | None:
        """There has to be an accepted text."""
        return None if self.accepted else ("accepted", "should have at least one text")

    def _understand(self, values: list[str]) -> str:
        text = " ".join(_one(values).split())
        if len(text) > MOST_TEXT:
            raise Invalid(f"This answer is too long. Write at most {MOST_TEXT} characters")
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

    def shown(self, value: Any) -> str:
        """Return the position's label."""
        return str(self.labels[value - 1])

    def _understand(self, values: list[str]) -> int:
        positions = {str(position): position for position in range(1, len(self.labels) + 1)}
        if _one(values) not in positions:
            raise Invalid("This is not on the scale. Reload the page and choose again")
        return positions[values[0]]


KINDS: dict[str, type[Item]] = {
    kind.kind: kind
    for kind in (SingleChoice, MultipleChoice, TrueFalse, Numeric, ShortText, Likert)
}


def _given(raw: Mapping[str, Any]) -> Iterator[str]:
    getlist = getattr(raw, "getlist", None)  # a form's; JSON and tests give plain mappings
    values = getlist(FIELD) if getlist else raw.get(FIELD)
    for value in values if isinstance(values, list) else [values]:
        text = _text(value)
        if text:
            yield text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise Invalid("This answer could not be read. Reload the page and answer again")
    return cleaned(str(value))


def _one(values: list[str]) -> str:
    if len(values) > 1:
        raise Invalid("Give one answer only")
    return values[0]


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _draw(seed: str, item: str, option: str) -> bytes:
    return sha256(f"{seed}/{item}/{option}".encode()).digest()
