"""The scales of a test (schema 1): each is one figure of the answers to several items.

    key, name                             both unique; the name differs from every section's title
    items                                 [key of an item, or {key, reversed?}]
    method?                               sum or mean of the items' values; sum if left out
    missing?                              {rule, max?, max_percent?}: items without an answer
    weight?                               above 0 where the scale counts in the test's score

The value of a likert item is the position of the answer, from 1. The value of another item is the
number of points that the answer earns. `reversed` counts a likert item from its other end, so 1
becomes 5 of 5 labels. Without it, the item's own `direction` decides.

The rules for items without an answer:

    invalid     the scale has no figure
    mean        each counts as the mean of the answered ones, so a sum is prorated
    exclude     the sum or the mean of the answered ones
    zero        each counts as 0; not for likert items, whose positions begin with 1

Left out, the rule is invalid for a scale with likert items, and zero for another one. With more
than `max` items without an answer, or more than `max_percent` of them, the scale has no figure.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.products.line_fields import LineField
from provider.core.products.schema_fields import (
    Choice,
    DocumentSchema,
    Flag,
    Integer,
    Key,
    ListOf,
    Number,
    Title,
    nested,
    require_unique,
)

MAX_SCALES = 60
REVERSED, NOT_REVERSED = "reversed", "not reversed"  # in a line of the editor
MAX_SCALE_ITEMS = 200
SUM, MEAN = METHODS = ("sum", "mean")
INVALID, PRORATE, EXCLUDE, ZERO = MISSING_RULES = ("invalid", "mean", "exclude", "zero")


@dataclass(frozen=True)
class ScaleItem:
    """An item of a scale. With None, the item's own direction decides."""

    key: str
    reversed: bool | None = None


@dataclass(frozen=True)
class MissingAnswers:
    """What a scale does with items without an answer. A rule of None depends on the items."""

    rule: str | None = None
    max: int | None = None
    max_percent: Decimal | None = None

    def allows(self, missing_count: int, item_count: int) -> bool:
        """Whether so many items may be without an answer."""
        if self.max is not None and missing_count > self.max:
            return False
        return self.max_percent is None or (
            Fraction(missing_count * 100, item_count) <= Fraction(self.max_percent)
        )


@dataclass(frozen=True)
class Scale:
    """One scale. `weight` is its share in the score of the test; 0: it does not count there."""

    key: str
    name: str
    items: tuple[ScaleItem, ...]
    method: str = SUM
    missing: MissingAnswers = MissingAnswers()
    weight: Decimal = Decimal(0)


class ScaleItemSchema(DocumentSchema):
    """An item of a scale that has more than a key."""

    key = Key(required=True)
    reversed = Flag(load_default=None)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> ScaleItem:
        return ScaleItem(**data)


class ScaleItemField(LineField):
    """The key of an item, or a mapping with it. Its line is the key, and `reversed` after it."""

    def format_line(self, raw: Any) -> str | None:
        if isinstance(raw, str):
            return raw if raw.strip() and "\n" not in raw else None
        if not isinstance(raw, dict) or set(raw) != {"key", "reversed"}:
            return None
        is_whole = isinstance(raw["key"], str) and isinstance(raw["reversed"], bool)
        word = REVERSED if raw["reversed"] else NOT_REVERSED
        return f"{raw['key']} {word}" if is_whole else None

    def parse_line(self, line: str) -> Any:
        key, _, word = line.partition(" ")
        if word.strip() in (REVERSED, NOT_REVERSED):
            return {"key": key, "reversed": word.strip() == REVERSED}
        return line

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> ScaleItem:
        if isinstance(value, dict):
            item: ScaleItem = _SCALE_ITEM_SCHEMA.load(value)
            return item
        return ScaleItem(Key().deserialize(value))


class MissingAnswersSchema(DocumentSchema):
    """`missing` of a scale."""

    rule = Choice(*MISSING_RULES, required=True)
    max = Integer(0, MAX_SCALE_ITEMS, load_default=None)
    max_percent = Number(0, 100, load_default=None)

    @validates_schema
    def _require_one_limit(self, data: dict[str, Any], **_: Any) -> None:
        if data["max"] is not None and data["max_percent"] is not None:
            raise ValidationError("should be left out beside max", "max_percent")
        for name in ("max", "max_percent"):
            if data["rule"] == INVALID and data[name] is not None:
                raise ValidationError("should be left out: no item may be without an answer", name)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> MissingAnswers:
        return MissingAnswers(**data)


class ScaleSchema(DocumentSchema):
    """One of a test's `scales`."""

    key = Key(required=True)
    name = Title(60, required=True)
    items = ListOf(ScaleItemField(), "items", 1, MAX_SCALE_ITEMS, required=True)
    method = Choice(*METHODS, load_default=SUM)
    missing = nested(MissingAnswersSchema, load_default=MissingAnswers())
    weight = Number(0, 1000, load_default=Decimal(0))

    @validates_schema
    def _require_unique_items(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([item.key for item in data["items"]], "items")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Scale:
        return Scale(**data | {"items": tuple(data["items"])})


_SCALE_ITEM_SCHEMA = ScaleItemSchema()
