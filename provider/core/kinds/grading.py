"""Percentages and grades for every kind that is scored.

A grade is computed from the rounded percentage, because people see the rounded one. Otherwise a
report could show "50 %, cut score 50, failed" for a score of 49.96.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.products.schema_fields import DocumentSchema, Number, Text


@dataclass(frozen=True)
class Grades:
    """The lowest percentages of the grades passed and excelled, both included."""

    passed: Decimal
    excelled: Decimal | None = None

    @property
    def cut_scores(self) -> tuple[tuple[str, float], ...]:
        """The grades above failed, each with its lowest percentage."""
        passed = ("passed", float(self.passed))
        if self.excelled is None:
            return (passed,)
        return passed, ("excelled", float(self.excelled))

    def grade_for(self, percent: Decimal) -> str:
        if self.excelled is not None and percent >= self.excelled:
            return "excelled"
        return "passed" if percent >= self.passed else "failed"


class GradesSchema(DocumentSchema):
    """`grades`: two cut scores in percent. `excelled` is optional."""

    passed = Number(0, 100, required=True)
    excelled = Number(0, 100, load_default=None)

    @validates_schema
    def _require_ascending(self, data: dict[str, Any], **_: Any) -> None:
        require_ascending(data)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Grades:
        return Grades(**data)


class SummariesSchema(DocumentSchema):
    """`summaries`: one sentence per grade, shown in the report."""

    failed = Text(500)
    passed = Text(500)
    excelled = Text(500)


def require_ascending(data: dict[str, Any]) -> None:
    """Raise ValidationError unless `excelled` is left out or above `passed`."""
    if data["excelled"] is not None and data["excelled"] <= data["passed"]:
        raise ValidationError("should be more than passed", "excelled")


def require_grades_for_summaries(data: dict[str, Any]) -> None:
    """Raise ValidationError for summaries without grades: the grade selects the summary."""
    if data["summaries"] and data["grades"] is None:
        raise ValidationError("should be left out when there are no grades", "summaries")


def sum_fractions(values: Iterable[Fraction | int]) -> Fraction:
    """Return the exact sum. Few denominators make it five times as fast as `sum`."""
    numerators: dict[int, int] = {}
    for value in values:
        denominator = value.denominator
        numerators[denominator] = numerators.get(denominator, 0) + value.numerator
    parts = (Fraction(numerator, denominator) for denominator, numerator in numerators.items())
    return sum(parts, Fraction(0))


def to_percent(share: Fraction) -> Decimal:
    """Convert a share of 0..1 to a percentage with one decimal, rounded half up."""
    return Decimal(round_half_up(share.numerator * 1000, share.denominator)) / 10


def round_half_up(numerator: int, denominator: int) -> int:
    """Return the whole number that is nearest to a fraction; of two, the higher one."""
    return (2 * numerator + denominator) // (2 * denominator)


def to_number(value: Decimal) -> int | float:
    """Convert a percentage to a JSON number: 75, or 75.5."""
    return int(value) if value == int(value) else float(value)
