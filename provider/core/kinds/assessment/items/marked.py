"""The parts of item types whose answers staff mark: the rubric, and no score of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

from marshmallow import ValidationError, post_load

from provider.core.kinds.assessment.items.base import (
    INCORRECT,
    Item,
    ItemSchema,
    OneFieldItem,
    OutlineRow,
)
from provider.core.marking import RubricRow, RubricRowSchema
from provider.core.products.schema_fields import Number, nested_list, require_unique


@dataclass(frozen=True, kw_only=True)
class MarkedItem(OneFieldItem):
    """An item whose points staff give. An answer earns nothing until it has a mark.

    With a `rubric` the points of the item are the sum of its rows.
    """

    needs_marking: ClassVar[bool] = True
    rubric: tuple[RubricRow, ...] = ()

    def score(self, value: Any) -> Fraction:
        return INCORRECT

    def describe_for_marker(self, value: Any) -> str:
        """Return an answer as a marker sees it, who does not know the candidate."""
        return self.format_answer(value)

    def outline(self) -> Iterator[OutlineRow]:
        for row in self.rubric:
            yield OutlineRow(row.text, f"Up to {row.points:f} points")
        if not self.rubric:
            yield OutlineRow("", f"Staff give 0 to {self.points:f} points")


class MarkedItemSchema(ItemSchema):
    """The fields of an item that staff mark."""

    points = Number(0, 1000, is_minimum_exclusive=True, load_default=None)
    rubric = nested_list(RubricRowSchema, "rows", 1, 20, load_default=())

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Item:
        rows = data["rubric"]
        require_unique([row.key for row in rows], "rubric")
        total = sum((row.points for row in rows), Decimal(0))
        if data["points"] is None:
            data["points"] = total or Decimal(1)
        elif rows and data["points"] != total:
            advice = f"should be left out: the points of the rubric make {total:f}"
            raise ValidationError({"points": [advice]})
        item: Item = super()._build(data)
        return item
