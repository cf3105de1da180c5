"""The cut scores of a test, on its percentage or on a figure of a scale (schema 1).

    passed, excelled?                     the lowest figures of both grades
    on?                                   percent, or {scale, measure, norm?}; percent if left out

`measure` is raw, percentile, sten, T or z. `norm` is the key of the norm group; it may be left out
where only one group has the scale. The grade is computed from the rounded figure.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, post_load, validates_schema

from provider.core.kinds.assessment.norms import MEASURES
from provider.core.kinds.grading import Grades, require_ascending
from provider.core.products.schema_fields import Choice, DocumentSchema, Key, Number

RAW = "raw"
PERCENT = "percent"
# The lowest and the highest cut score; that of `raw` depends on the scale.
LIMITS = {PERCENT: (0, 100), "percentile": (1, 99), "sten": (1, 10), "T": (0, 100), "z": (-5, 5)}


@dataclass(frozen=True)
class CutScoreBasis:
    """The figure of a scale that decides the grade. `norm` is the key of a norm group."""

    scale: str
    measure: str
    norm: str | None = None


@dataclass(frozen=True)
class ScaleGrades(Grades):
    """Cut scores on a figure of a scale, in the unit of its measure."""

    on: CutScoreBasis | None = None

    @property
    def cut_scores(self) -> tuple[tuple[str, float], ...]:
        """None: the percentage of the test has no cut scores."""
        return ()

    @property
    def lowest_figures(self) -> tuple[tuple[str, Decimal], ...]:
        """The grades above failed, each with its lowest figure."""
        passed = ("passed", self.passed)
        return (passed,) if self.excelled is None else (passed, ("excelled", self.excelled))


class BasisSchema(DocumentSchema):
    """`on` of the grades, for a scale."""

    scale = Key(required=True)
    measure = Choice(RAW, *MEASURES, required=True)
    norm = Key(load_default=None)

    @validates_schema
    def _require_no_norm_for_raw(self, data: dict[str, Any], **_: Any) -> None:
        if data["measure"] == RAW and data["norm"] is not None:
            raise ValidationError("should be left out for the raw figure", "norm")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> CutScoreBasis:
        return CutScoreBasis(**data)


_BASIS_SCHEMA = BasisSchema()


class BasisField(fields.Field[CutScoreBasis | None]):
    """`percent`, which is None, or a figure of a scale."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> CutScoreBasis | None:
        if value == PERCENT:
            return None
        if not isinstance(value, dict):
            raise ValidationError("should be percent, or a mapping with scale and measure")
        basis: CutScoreBasis = _BASIS_SCHEMA.load(value)
        return basis


class TestGradesSchema(DocumentSchema):
    """`grades` of a test."""

    __test__ = False  # pytest would collect a class whose name begins with Test

    on = BasisField(load_default=None)
    passed = Number(required=True)
    excelled = Number(load_default=None)

    @validates_schema
    def _require_possible_figures(self, data: dict[str, Any], **_: Any) -> None:
        measure = data["on"].measure if data["on"] else PERCENT
        if measure in LIMITS:
            lowest, highest = LIMITS[measure]
            for name in ("passed", "excelled"):
                if data[name] is not None and not lowest <= data[name] <= highest:
                    raise ValidationError(f"should be between {lowest} and {highest}", name)
        require_ascending(data)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Grades:
        if data["on"] is None:
            return Grades(data["passed"], data["excelled"])
        return ScaleGrades(**data)
