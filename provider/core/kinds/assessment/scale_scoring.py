"""The figures of the scales of a test, and how they compare with norm groups.

Fractions are exact. The figure of a scale is rounded to two decimals, its percentage to one. Each
measure of a norm is computed from the exact figure, and rounded once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

from provider.core.kinds.assessment.cut_scores import RAW, CutScoreBasis
from provider.core.kinds.assessment.items import Item, Likert
from provider.core.kinds.assessment.norms import NormFigures, NormGroup, round_decimals
from provider.core.kinds.assessment.scales import (
    EXCLUDE,
    INVALID,
    MEAN,
    PRORATE,
    ZERO,
    Scale,
    ScaleItem,
)
from provider.core.kinds.grading import sum_fractions, to_percent

RAW_DECIMALS = 2


class NormedFigure(NamedTuple):
    """The figure of a scale in the measures of one norm group."""

    group: NormGroup
    figures: NormFigures


@dataclass(frozen=True)
class ScaleScore:
    """The figure of one scale. `exact` is None where too many items have no answer.

    `lowest` and `highest` are the least and the most that the answers can give.
    """

    scale: Scale
    exact: Fraction | None
    lowest: Fraction
    highest: Fraction
    answered: int
    norms: tuple[NormedFigure, ...] = ()

    @cached_property
    def raw(self) -> Decimal | None:
        return None if self.exact is None else round_decimals(self.exact, RAW_DECIMALS)

    @cached_property
    def share(self) -> Fraction | None:
        """The place of the figure between `lowest` and `highest`, from 0 to 1."""
        if self.exact is None:
            return None
        share = (self.exact - self.lowest) / (self.highest - self.lowest)
        return min(Fraction(1), max(Fraction(0), share))

    @property
    def percent(self) -> Decimal | None:
        return None if self.share is None else to_percent(self.share)

    def figure_for(self, basis: CutScoreBasis) -> Decimal | None:
        """Return the rounded figure that cut scores on this scale are compared with."""
        if basis.measure == RAW or self.exact is None:
            return self.raw
        [norm] = [norm for norm in self.norms if basis.norm in (None, norm.group.key)]
        return Decimal(norm.figures.get(basis.measure))


class BoundScale:
    """A scale with its items. What does not depend on the answers is computed once."""

    def __init__(self, scale: Scale, items: Mapping[str, Item]) -> None:
        self.scale = scale
        self.items = [(items[entry.key], _is_reversed(entry, items)) for entry in scale.items]
        self.lowest, self.highest = scale_range(scale, items)
        has_likert = any(isinstance(item, Likert) for item, _ in self.items)
        self.missing_rule = scale.missing.rule or (INVALID if has_likert else ZERO)

    def score(
        self,
        answers: Mapping[str, Any],
        points: Mapping[str, Fraction],
        norms: Sequence[NormGroup] = (),
    ) -> ScaleScore:
        """Score the scale. `points` are those that each item earns; both are by item key."""
        values = [
            _value(item, answer, points, is_reversed)
            for item, is_reversed in self.items
            if (answer := answers.get(item.key)) is not None
        ]
        exact = self._combine(values)
        normed = () if exact is None else tuple(_compare(self.scale.key, exact, norms))
        return ScaleScore(self.scale, exact, self.lowest, self.highest, len(values), normed)

    def _combine(self, values: Sequence[Fraction | int]) -> Fraction | None:
        rule, item_count = self.missing_rule, len(self.items)
        missing_count = item_count - len(values)
        if missing_count and rule == INVALID:
            return None
        if not self.scale.missing.allows(missing_count, item_count):
            return None
        if not values and rule != ZERO:
            return None
        total, divisor = sum_fractions(values), item_count
        if rule == PRORATE:
            total = total * item_count / len(values)
        elif rule == EXCLUDE:
            divisor = len(values)
        return total / divisor if self.scale.method == MEAN else total


def overall_share(scores: Iterable[ScaleScore]) -> Fraction | None:
    """Return the weighted mean of the scales with a weight; None if one of them has no figure."""
    weighted_sum, weights = Fraction(0), Fraction(0)
    for score in scores:
        if not score.scale.weight:
            continue
        if score.share is None:
            return None
        weighted_sum += score.share * Fraction(score.scale.weight)
        weights += Fraction(score.scale.weight)
    return weighted_sum / weights


def scale_range(scale: Scale, items: Mapping[str, Item]) -> tuple[Fraction, Fraction]:
    """Return the lowest and the highest figure that the answers to a scale's items can give."""
    ranges = [_value_range(items[entry.key]) for entry in scale.items]
    divisor = len(ranges) if scale.method == MEAN else 1
    lowest, highest = (sum_fractions(ends) / divisor for ends in zip(*ranges, strict=True))
    return lowest, highest


def _is_reversed(entry: ScaleItem, items: Mapping[str, Item]) -> bool:
    item = items[entry.key]
    if entry.reversed is not None:
        return entry.reversed
    return isinstance(item, Likert) and item.reversed


def _value(
    item: Item, answer: Any, points: Mapping[str, Fraction], is_reversed: bool
) -> Fraction | int:
    if not isinstance(item, Likert):
        return points[item.key]
    position: int = answer
    return len(item.labels) + 1 - position if is_reversed else position


def _value_range(item: Item) -> tuple[Fraction, Fraction]:
    if isinstance(item, Likert):
        return Fraction(1), Fraction(len(item.labels))
    return Fraction(0), Fraction(item.points)


def _compare(scale_key: str, exact: Fraction, norms: Iterable[NormGroup]) -> Iterator[NormedFigure]:
    for group in norms:
        if norm := group.scales.get(scale_key):
            yield NormedFigure(group, norm.convert(exact))
