"""Norm groups: how the figure of a scale compares with a group of people.

    key, name, n                          n is the number of people in the group
    source?                               where the figures are published
    measures?                             what reports show: percentile, sten, T, z; all if left out
    scales                                the norm of each scale by its key:
                                            {mean, sd}
                                            {measure, table: [[figure, value], …], between?}

A norm with mean and standard deviation takes the group's figures as normally distributed: z is the
distance from the mean in standard deviations. A table gives one measure for each figure of the
scale; the other measures follow from it by the normal distribution. Between two rows the value is
linear (`between: linear`), or that of the row below (`between: lower`, for tables of bands). Beyond
the first and the last row, their values hold.

    T            50 + 10 z, a whole number
    sten         5.5 + 2 z, a whole number from 1 to 10
    percentile   100 × the share of the normal distribution below z, a whole number from 1 to 99
    z            two decimals

Fractions are exact as far as the normal distribution allows. Each measure is rounded once, half up.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.grading import round_half_up
from provider.core.products.line_fields import LinesField, parse_number
from provider.core.products.schema_fields import (
    Choice,
    DocumentSchema,
    Integer,
    Key,
    ListOf,
    Number,
    StrictField,
    Text,
    Title,
)

MAX_NORM_GROUPS = 10
MAX_ROWS = 500
PERCENTILE, STEN, T_SCORE, Z_SCORE = MEASURES = ("percentile", "sten", "T", "z")
LINEAR, LOWER = BETWEEN = ("linear", "lower")
_NORMAL = NormalDist()


def round_decimals(value: Fraction, decimals: int) -> Decimal:
    """Round to a number of decimals, half up."""
    scaled = round_half_up(value.numerator * 10**decimals, value.denominator)
    return Decimal(scaled).scaleb(-decimals)


@dataclass(frozen=True)
class NormFigures:
    """A figure of a scale in the measures of a norm. `exact_z` is z before it is rounded."""

    percentile: int
    sten: int
    T: int
    z: Decimal
    exact_z: Fraction

    def get(self, measure: str) -> int | Decimal:
        value: int | Decimal = getattr(self, measure)
        return value

    @classmethod
    def from_z(cls, z: Fraction) -> "NormFigures":
        # Whole numbers instead of fractions: a test may have many scales and groups.
        numerator, denominator = z.numerator, z.denominator
        sten = round_half_up(4 * numerator + 11 * denominator, 2 * denominator)
        below, whole = _NORMAL.cdf(numerator / denominator).as_integer_ratio()
        return cls(
            percentile=_limit_percentile(round_half_up(100 * below, whole)),
            sten=min(10, max(1, sten)),
            T=round_half_up(10 * numerator + 50 * denominator, denominator),
            z=round_decimals(z, 2),
            exact_z=z,
        )


@dataclass(frozen=True)
class NormalNorm:
    """A norm by mean and standard deviation."""

    mean: Decimal
    sd: Decimal

    def convert(self, raw: Fraction) -> NormFigures:
        return NormFigures.from_z((raw - Fraction(self.mean)) / Fraction(self.sd))


@dataclass(frozen=True)
class TableNorm:
    """A norm by a table of (figure of the scale, value of `measure`), both ascending."""

    measure: str
    table: tuple[tuple[Decimal, Decimal], ...]
    between: str = LINEAR

    def convert(self, raw: Fraction) -> NormFigures:
        value = self._find_value(raw)
        figures = NormFigures.from_z(_z_from(self.measure, value))
        if self.measure == PERCENTILE:  # the way through z and back would round a second time
            rounded = round_half_up(value.numerator, value.denominator)
            return replace(figures, percentile=_limit_percentile(rounded))
        return figures

    def _find_value(self, raw: Fraction) -> Fraction:
        following = bisect_right(self.table, raw, key=lambda row: Fraction(row[0]))
        below = self.table[max(following - 1, 0)]
        if following in (0, len(self.table)) or self.between == LOWER:
            return Fraction(below[1])
        (raw_0, value_0), (raw_1, value_1) = (
            (Fraction(figure), Fraction(value)) for figure, value in (below, self.table[following])
        )
        return value_0 + (value_1 - value_0) * (raw - raw_0) / (raw_1 - raw_0)


Norm = NormalNorm | TableNorm


@dataclass(frozen=True)
class NormGroup:
    """A group of people, with the norms of scales by key."""

    key: str
    name: str
    n: int
    scales: Mapping[str, Norm]
    source: str = ""
    measures: tuple[str, ...] = MEASURES


def _z_from(measure: str, value: Fraction) -> Fraction:
    if measure == PERCENTILE:
        return Fraction(_NORMAL.inv_cdf(float(value / 100)))
    if measure == STEN:
        return (value - Fraction(11, 2)) / 2
    return (value - 50) / 10 if measure == T_SCORE else value


def _limit_percentile(value: int) -> int:
    # Nobody is above 100 % of a group, and nobody below 0 %.
    return min(99, max(1, value))


_NUMBER = Number()


class TableField(StrictField[tuple[tuple[Decimal, Decimal], ...]]):
    """The rows of a table: two numbers each; the first ascends, the second does not descend."""

    def _parse(self, value: Any) -> tuple[tuple[Decimal, Decimal], ...]:
        if not isinstance(value, list) or not 2 <= len(value) <= MAX_ROWS:
            raise ValidationError(f"should be a list of 2 to {MAX_ROWS} rows")
        rows: list[tuple[Decimal, Decimal]] = []
        for index, row in enumerate(value):
            if not isinstance(row, list) or len(row) != 2:
                raise ValidationError({index: ["should be two numbers, such as [34, 84]"]})
            try:
                figure, norm_value = (_NUMBER._parse(number) for number in row)
            except ValidationError as error:
                raise ValidationError({index: error.messages}) from error
            if rows and figure <= rows[-1][0]:
                raise ValidationError({index: ["should begin with more than the row above"]})
            if rows and norm_value < rows[-1][1]:
                raise ValidationError({index: ["should not end with less than the row above"]})
            rows.append((figure, norm_value))
        return tuple(rows)


class NormalNormSchema(DocumentSchema):
    """A norm with `mean` and `sd`."""

    mean = Number(required=True)
    sd = Number(0, is_minimum_exclusive=True, required=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> NormalNorm:
        return NormalNorm(**data)


class TableNormSchema(DocumentSchema):
    """A norm with a `table`."""

    measure = Choice(*MEASURES, required=True)
    table = TableField(required=True)
    between = Choice(*BETWEEN, load_default=LINEAR)

    @validates_schema
    def _require_possible_values(self, data: dict[str, Any], **_: Any) -> None:
        for index, (_, value) in enumerate(data["table"]):
            # The normal distribution has no point with 0 % or 100 % below.
            if data["measure"] == PERCENTILE and not 0 < value < 100:
                advice = "should end with more than 0 and less than 100"
            elif data["measure"] == STEN and not 1 <= value <= 10:
                advice = "should end with 1 to 10"
            else:
                continue
            raise ValidationError({"table": {index: [advice]}})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> TableNorm:
        return TableNorm(**data)


_NORMAL_SCHEMA, _TABLE_SCHEMA = NormalNormSchema(), TableNormSchema()


class NormsByScaleField(LinesField):
    """The norms of a group by the key of their scale.

    A line has the key, the mean and the standard deviation: `order 14.2 3.1`. A table has its
    measure, `lower` for a table of bands, and its rows: `order T 10=40 12=45`.
    """

    def format_lines(self, raw: Any) -> list[str] | None:
        if not isinstance(raw, dict):
            return None
        lines = [(key, _format_norm(norm)) for key, norm in raw.items()]
        if not all(isinstance(key, str) and text is not None for key, text in lines):
            return None
        return [f"{key} {text}".strip() for key, text in lines]

    def parse_lines(self, lines: list[str]) -> Any:
        pairs = [line.partition(" ") for line in lines]
        keys = [key for key, _, _ in pairs]
        # A repeated scale stays text, because a mapping would lose the first of the two.
        if len(set(keys)) < len(keys):
            return lines
        return {key: _parse_norm(text.strip()) for key, _, text in pairs}

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> dict[str, Norm]:
        if isinstance(value, list):
            raise ValidationError("should have each scale once")
        if not isinstance(value, dict) or not value:
            raise ValidationError("should be a mapping of the keys of scales to norms")
        norms: dict[str, Norm] = {}
        for key, norm in value.items():
            if isinstance(norm, str):
                advice = "should be the mean and the standard deviation, or the rows of a table"
                raise ValidationError({key: [advice]})
            has_table = isinstance(norm, dict) and "table" in norm
            try:
                norms[key] = (_TABLE_SCHEMA if has_table else _NORMAL_SCHEMA).load(norm)
            except ValidationError as error:
                raise ValidationError({key: error.messages}) from error
        return norms


def _format_norm(norm: Any) -> str | None:
    """Return a norm as a line has it; None for one that no line has."""
    if isinstance(norm, str):
        return norm if "\n" not in norm else None
    if not isinstance(norm, dict):
        return None
    if set(norm) == {"mean", "sd"} and all(map(_is_number, norm.values())):
        return f"{norm['mean']} {norm['sd']}"
    rows = norm.get("table")
    bands = [LOWER] if norm.get("between") == LOWER else []
    is_table = set(norm) == {"measure", "table", *(["between"] if bands else [])}
    if not is_table or norm["measure"] not in MEASURES or not isinstance(rows, list):
        return None
    if not all(
        isinstance(row, list) and len(row) == 2 and all(map(_is_number, row)) for row in rows
    ):
        return None
    return " ".join([norm["measure"], *bands, *(f"{figure}={value}" for figure, value in rows)])


def _parse_norm(text: str) -> Any:
    """Return the norm that a line has after the key; a text that is none stays text."""
    first, *words = text.split()[: MAX_ROWS + 2] or [""]
    numbers = [parse_number(word) for word in (first, *words)]
    if len(numbers) == 2 and all(map(_is_number, numbers)):
        return {"mean": numbers[0], "sd": numbers[1]}
    bands = {"between": LOWER} if words[:1] == [LOWER] else {}
    rows = [[parse_number(cell) for cell in word.split("=")] for word in words[len(bands) :]]
    is_table = rows and all(len(row) == 2 and all(map(_is_number, row)) for row in rows)
    if first in MEASURES and is_table:
        return {"measure": first, "table": rows} | bands
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class NormGroupSchema(DocumentSchema):
    """One of a test's `norms`."""

    key = Key(required=True)
    name = Title(50, required=True)
    n = Integer(2, 10**9, required=True)
    source = Text(500, load_default="")
    measures = ListOf(Choice(*MEASURES), "measures", 1, len(MEASURES), load_default=MEASURES)
    scales = NormsByScaleField(required=True)

    @validates_schema
    def _require_unique_measures(self, data: dict[str, Any], **_: Any) -> None:
        if len(set(data["measures"])) < len(data["measures"]):
            raise ValidationError("should name each measure once", "measures")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> NormGroup:
        measures = tuple(name for name in MEASURES if name in data["measures"])
        return NormGroup(**data | {"measures": measures})
