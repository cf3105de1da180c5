"""`likert`: a position on a scale, from its first label to its last."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from marshmallow import post_load

from provider.core.kinds.assessment.items.base import (
    Item,
    ItemKind,
    ItemSchema,
    OneFieldItem,
    OutlineRow,
    require_single,
)
from provider.core.kinds.assessment.items.traits import TraitName
from provider.core.products.schema_fields import Choice, ListOf, Text
from provider.errors import Invalid


@dataclass(frozen=True, kw_only=True)
class Likert(OneFieldItem):
    """A scale. The answer is a position from 1. No position is wrong: each has its own score."""

    kind = "likert"
    labels: tuple[str, ...]
    reversed: bool = False
    trait: str | None = None

    def score(self, value: Any) -> Fraction:
        """Return 0 for the first position and 1 for the last, or the other way round."""
        share = Fraction(value - 1, len(self.labels) - 1)
        return 1 - share if self.reversed else share

    def trait_shares(self, value: Any) -> Iterator[tuple[str, Fraction]]:
        if self.trait:
            yield self.trait, self.score(value)

    def outline(self) -> Iterator[OutlineRow]:
        yield from map(OutlineRow, self.labels)

    def trial_answers(self) -> Iterator[Any]:
        yield from range(1, len(self.labels) + 1)

    def format_answer(self, value: Any) -> str:
        return str(self.labels[value - 1])

    def _parse_values(self, values: list[str]) -> int:
        positions = {str(position): position for position in range(1, len(self.labels) + 1)}
        if require_single(values) not in positions:
            raise Invalid("This is not on the scale. Reload the page and choose again")
        return positions[values[0]]


class LikertSchema(ItemSchema):
    """`likert`: a scale from its first label (0 %) to its last (100 %), or reversed."""

    item_class = Likert
    labels = ListOf(Text(100), "labels", 2, 11, required=True)
    direction = Choice("positive", "reversed", load_default="positive")
    trait = TraitName(load_default=None)

    @post_load
    def _build(self, data: dict[str, Any], **kwargs: Any) -> Item:
        data["reversed"] = data.pop("direction") == "reversed"
        item: Item = super()._build(data, **kwargs)
        return item


KIND = ItemKind(
    LikertSchema(),
    {
        "kind": "likert",
        "key": "unfinished",
        "prompt": "I leave tasks unfinished.",
        "labels": ["Strongly disagree", "Disagree", "Neutral", "Agree", "Strongly agree"],
        "direction": "reversed",
        "trait": "Conscientiousness",
    },
)
