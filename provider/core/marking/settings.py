"""What a product document says about marking: the markers of an answer, and its rubric."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marshmallow import post_load

from provider.core.products.schema_fields import DocumentSchema, Flag, Integer, Key, Number, Text


@dataclass(frozen=True)
class RubricRow:
    """One line of a rubric: what an answer earns up to `points` for."""

    key: str
    text: str
    points: Decimal


class RubricRowSchema(DocumentSchema):
    """One of an item's `rubric`."""

    key = Key(required=True)
    text = Text(1000, required=True)
    points = Number(0, 1000, is_minimum_exclusive=True, required=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> RubricRow:
        return RubricRow(**data)


@dataclass(frozen=True)
class MarkingSettings:
    """How many people mark an answer, and by how many points their marks may differ.

    With `blind` the second marker does not see the mark of the first one.
    """

    markers: int = 1
    blind: bool = True
    tolerance: Decimal = Decimal(0)


ONE_MARKER = MarkingSettings()


class MarkingSchema(DocumentSchema):
    """`marking` of a product document."""

    markers = Integer(1, 2, load_default=1)
    blind = Flag(load_default=True)
    tolerance = Number(0, 1000, load_default=Decimal(0))

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> MarkingSettings:
        return MarkingSettings(**data)
