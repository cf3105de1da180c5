"""Percentages and grades, alike for every kind that is scored.

A grade is given on the rounded percentage, the one that people see: nobody reads "50 %, cut
score 50, failed" because of a hidden 49.96.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.products.schema_fields import DocumentSchema, Number, Text


@dataclass(frozen=True)
class Grades:
    """Cut scores in percent: from `passed` on it is passed, from `excelled` on excelled."""

    passed: Decimal
    excelled: Decimal | None = None

    def grade_for(self, percent: Decimal) -> str:
        """Return failed, passed or excelled."""
        if self.excelled is not None and percent >= self.excelled:
            return "excelled"
        return "passed" if percent >= self.passed else "failed"


class GradesSchema(DocumentSchema):
    """`grades`: two cut scores in percent; `excelled` may be left out."""

    passed = Number(0, 100, required=True)
    excelled = Number(0, 100, load_default=None)

    @validates_schema
    def _require_ascending(self, data: dict[str, Any], **_: Any) -> None:
        if data["excelled"] is not None and data["excelled"] <= data["passed"]:
            raise ValidationError("should be more than passed", "excelled")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Grades:
        return Grades(**data)


class SummariesSchema(DocumentSchema):
    """`summaries`: the sentence that stands for each grade."""

    failed = Text(500)
    passed = Text(500)
    excelled = Text(500)


def require_grades_for_summaries(data: dict[str, Any]) -> None:
    """Raise ValidationError when there are summaries and no grade to choose one by."""
    if data["summaries"] and data["grades"] is None:
        raise ValidationError("should be left out when there are no grades", "summaries")


def to_percent(share: Fraction) -> Decimal:
    """Return a share of 0..1 as a percentage with one decimal, rounded half up."""
    tenths = (share * 1000 + Fraction(1, 2)).__floor__()
    return Decimal(tenths) / 10


def to_number(value: Decimal) -> int | float:
    """Return a percentage as a JSON number: 75, or 75.5."""
    return int(value) if value == int(value) else float(value)


def to_number_text(value: Decimal) -> str:
    """Return a percentage as text for the wire: "75", or "75.5"."""
    return str(to_number(value))
