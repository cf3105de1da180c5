"""`numeric`: a number within a tolerance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from marshmallow import ValidationError, validates_schema

from provider.core.kinds.assessment.items.base import (
    ANSWER_FIELD,
    CORRECT,
    INCORRECT,
    MAX_TEXT_LENGTH,
    ItemKind,
    OneFieldItem,
    Reading,
    SolvableItemSchema,
    require_single,
    submitted_values,
)
from provider.core.kinds.assessment.number_parsing import format_number, parse_number
from provider.core.products.schema_fields import Number, Text
from provider.errors import Invalid
from provider.texts import gettext

_ANY_NUMBER = Decimal(1)  # an answer to an item without a solution


@dataclass(frozen=True, kw_only=True)
class Numeric(OneFieldItem):
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
        return " ".join(submitted_values(raw))[:MAX_TEXT_LENGTH] or None

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
            return INCORRECT
        # Decimal's subtraction rounds to the precision of its context; Fraction's is exact.
        distance = abs(Fraction(value) - Fraction(self.answer))
        return CORRECT if distance <= Fraction(self.tolerance) else INCORRECT

    def format_answer(self, value: Any) -> str:
        return f"{value} {self.unit}".strip()

    def trial_answers(self) -> Iterator[Any]:
        number = self.answer if self.answer is not None else self.minimum or _ANY_NUMBER
        yield from (format_number(number), format_number(number + self.tolerance + 1))

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
        number = parse_number(require_single(values), self.unit).number
        if self.minimum is not None and number < self.minimum:
            raise Invalid(
                "Write a number that is not below %(minimum)s", minimum=format_number(self.minimum)
            )
        return format_number(number)


class NumericSchema(SolvableItemSchema):
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


KIND = ItemKind(
    NumericSchema(),
    {
        "kind": "numeric",
        "key": "speed",
        "stimulus": [
            {"text": "Two trains left at the *same* time."},
            {
                "table": [["Train", "Distance (km)", "Hours"], ["A", 150, 1.2], ["B", 90, 1]],
                "caption": "Their journeys",
            },
        ],
        "prompt": "What was the average speed of train A?",
        "answer": 125,
        "tolerance": 0.5,
        "unit": "km/h",
        "minimum": 0,
    },
)
