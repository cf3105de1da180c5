"""`matching`: pairs, of which the candidate finds the right side for each left side."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.assessment.items.base import (
    INCORRECT,
    ItemKind,
    KeyedFieldsItem,
    OutlineRow,
    PartialItemSchema,
)
from provider.core.kinds.assessment.items.options import (
    UNKNOWN_OPTION,
    KeyedText,
    KeyedTextSchema,
    arrange_parts,
    require_unique_parts,
    shuffle_parts,
)
from provider.core.products.schema_fields import (
    DocumentSchema,
    Key,
    Text,
    nested_list,
    require_unique,
)
from provider.errors import Invalid


@dataclass(frozen=True)
class Pair:
    """A left side with its right side."""

    key: str
    left: str
    right: str


@dataclass(frozen=True, kw_only=True)
class Matching(KeyedFieldsItem):
    """Pairs to find. The answer has the key of a right side for the key of each left side.

    The right side of a pair has the pair's key; one of `extra` belongs to no left side.
    """

    kind = "matching"
    pairs: tuple[Pair, ...]
    extra: tuple[KeyedText, ...] = ()
    partial: bool = True

    @property
    def field_keys(self) -> tuple[str, ...]:
        return tuple(pair.key for pair in self.pairs)

    def right_sides(self, seed: str) -> tuple[KeyedText, ...]:
        """Return all right sides in an order that depends on `seed` alone."""
        if self.shown_order:
            return arrange_parts(self._right_sides, self.shown_order)
        return shuffle_parts(self._right_sides, seed, self.key)

    def draw_order(self, seed: str, shuffle: bool) -> tuple[str, ...]:
        return tuple(side.key for side in self.right_sides(seed))

    def is_answered(self, value: Any) -> bool:
        return value is not None and len(value) == len(self.pairs)

    def score(self, value: Any) -> Fraction:
        """Return the share of the left sides with their right sides."""
        right_count = sum(value.get(pair.key) == pair.key for pair in self.pairs)
        share = Fraction(right_count, len(self.pairs))
        return share if self.partial or share == 1 else INCORRECT

    def format_answer(self, value: Any) -> str:
        rights = {side.key: side.text for side in self._right_sides}
        return "; ".join(
            f"{pair.left} – {rights[value[pair.key]]}" for pair in self.pairs if pair.key in value
        )

    @property
    def solution(self) -> str | None:
        return self.format_answer({pair.key: pair.key for pair in self.pairs})

    def trial_answers(self) -> Iterator[Any]:
        keys = self.field_keys
        yield dict(zip(keys, keys, strict=True))
        yield dict(zip(keys, [*keys[1:], keys[0]], strict=True))

    def outline(self) -> Iterator[OutlineRow]:
        for pair in self.pairs:
            yield OutlineRow(f"{pair.left} – {pair.right}")
        for side in self.extra:
            yield OutlineRow(side.text, "Belongs to none")

    def _parse_texts(self, texts: dict[str, str]) -> dict[str, str]:
        if set(texts.values()) - {side.key for side in self._right_sides}:
            raise Invalid(UNKNOWN_OPTION)
        return texts

    @property
    def _right_sides(self) -> tuple[KeyedText, ...]:
        return (*(KeyedText(pair.key, pair.right) for pair in self.pairs), *self.extra)


class PairSchema(DocumentSchema):
    """One of the `pairs`."""

    key = Key(required=True)
    left = Text(500, required=True)
    right = Text(200, required=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Pair:
        return Pair(**data)


class ExtraSchema(KeyedTextSchema):
    """One of the `extra` right sides."""

    text = Text(200, required=True)


class MatchingSchema(PartialItemSchema):
    """`matching`: two to twelve pairs, and right sides that belong to none."""

    item_class = Matching

    pairs = nested_list(PairSchema, "pairs", 2, 12, required=True)
    extra = nested_list(ExtraSchema, "texts", 1, 12, load_default=())

    @validates_schema
    def _require_unique_sides(self, data: dict[str, Any], **_: Any) -> None:
        pairs, extra = data["pairs"], data["extra"]
        for name in ("key", "left", "right"):
            values = [getattr(pair, name) for pair in pairs]
            require_unique(values, "pairs", name, ignore_case=False)
        require_unique_parts(extra, "extra")
        used = {"key": {pair.key for pair in pairs}, "text": {pair.right for pair in pairs}}
        for index, side in enumerate(extra):
            for name, used_values in used.items():
                if getattr(side, name) in used_values:
                    problem = {name: ["is already used by a pair"]}
                    raise ValidationError({"extra": {index: problem}})


KIND = ItemKind(
    MatchingSchema(),
    {
        "kind": "matching",
        "key": "currencies",
        "prompt": "Which currency belongs to which country?",
        "points": 3,
        "partial": True,
        "pairs": [
            {"key": "japan", "left": "Japan", "right": "Yen"},
            {"key": "india", "left": "India", "right": "Rupee"},
            {"key": "poland", "left": "Poland", "right": "Złoty"},
        ],
        "extra": [{"key": "krone", "text": "Krone"}],
    },
)
