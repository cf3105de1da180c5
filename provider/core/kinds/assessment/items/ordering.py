"""`ordering`: options that the candidate puts into the right order.

A form has the field `answer.KEY` with the place of each option, from 1, once the candidate has
moved one. The buttons of the form send `move` with `up KEY`, `down KEY` or `keep`. The server
applies the move to the places, and before the first move to the order of the field `order`. So
the buttons work without scripts.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from marshmallow import validates_schema

from provider.core.kinds.assessment.items.base import (
    INCORRECT,
    UNREADABLE,
    ItemKind,
    KeyedFieldsItem,
    OutlineRow,
    PartialItemSchema,
    submitted_values,
)
from provider.core.kinds.assessment.items.options import (
    KeyedText,
    KeyedTextSchema,
    arrange_parts,
    require_unique_parts,
    same_looks,
    shuffle_parts,
)
from provider.core.products.schema_fields import nested_list
from provider.errors import Invalid

MOVE_FIELD = "move"
ORDER_FIELD = "order"  # the keys in the order that the page shows, with spaces between them
KEEP = "keep"
_STEPS = {"up": -1, "down": 1}


@dataclass(frozen=True, kw_only=True)
class Ordering(KeyedFieldsItem):
    """Options in the right order. The answer is the list of their keys."""

    kind = "ordering"
    options: tuple[KeyedText, ...]
    partial: bool = True

    @property
    def field_keys(self) -> tuple[str, ...]:
        return tuple(option.key for option in self.options)

    def options_to_show(self, fields: Mapping[str, Any], seed: str) -> tuple[KeyedText, ...]:
        """Return the options in the order of a form; before an answer, in a mixed one.

        The mixed order depends on `seed` alone, and is never the right one.
        """
        with suppress(Invalid):
            if keys := super().parse_answer(fields):
                by_key = {option.key: option for option in self.options}
                return tuple(by_key[key] for key in keys)
        if self.shown_order:
            return arrange_parts(self.options, self.shown_order)
        mixed = shuffle_parts(self.options, seed, self.key)
        return mixed if mixed != self.options else (*mixed[1:], mixed[0])

    def draw_order(self, seed: str, shuffle: bool) -> tuple[str, ...]:
        return tuple(option.key for option in self.options_to_show({}, seed))

    def parse_answer(self, raw: Mapping[str, Any]) -> Any:
        value = super().parse_answer(raw)
        move = next(submitted_values(raw, MOVE_FIELD), "")
        if not move:
            return value
        shown = next(submitted_values(raw, ORDER_FIELD), "").split()
        return self._move(move, self._require_all(value or shown))

    def form_fields(self, value: Any) -> list[tuple[str, str]]:
        return [
            (self.field_name(key), str(place)) for place, key in enumerate(value or (), start=1)
        ]

    def score(self, value: Any) -> Fraction:
        """Return the share of the options in their right places."""
        places = zip(value, self.field_keys, strict=True)
        share = Fraction(sum(key == right_key for key, right_key in places), len(self.options))
        return share if self.partial or share == 1 else INCORRECT

    def format_answer(self, value: Any) -> str:
        texts = {option.key: option.text for option in self.options}
        return "; ".join(f"{place}. {texts[key]}" for place, key in enumerate(value, start=1))

    @property
    def solution(self) -> str | None:
        return self.format_answer(self.field_keys)

    def trial_answers(self) -> Iterator[Any]:
        keys = list(self.field_keys)
        yield keys
        yield [*keys[1:], keys[0]]

    def outline(self) -> Iterator[OutlineRow]:
        for place, option in enumerate(self.options, start=1):
            yield OutlineRow(option.text, f"Place {place}")

    def text_warnings(self) -> Iterator[tuple[str, str]]:
        yield from same_looks(self.options, "options")

    def _parse_texts(self, texts: dict[str, str]) -> list[str]:
        keys = sorted(texts, key=lambda key: texts[key].zfill(4))
        if [texts[key] for key in keys] != [str(place + 1) for place in range(len(self.options))]:
            raise Invalid(UNREADABLE)
        return keys

    def _require_all(self, keys: list[str]) -> list[str]:
        if sorted(keys) != sorted(self.field_keys):
            raise Invalid(UNREADABLE)
        return keys

    def _move(self, move: str, keys: list[str]) -> list[str]:
        step, _, key = move.partition(" ")
        if move == KEEP:
            return keys
        if step not in _STEPS or key not in keys:
            raise Invalid(UNREADABLE)
        index = keys.index(key)
        others = [other for other in keys if other != key]
        target = min(max(index + _STEPS[step], 0), len(others))
        return [*others[:target], key, *others[target:]]


class OrderingSchema(PartialItemSchema):
    """`ordering`: the options in the right order."""

    item_class = Ordering

    options = nested_list(KeyedTextSchema, "options", 2, 12, required=True)

    @validates_schema
    def _require_unique_options(self, data: dict[str, Any], **_: Any) -> None:
        require_unique_parts(data["options"], "options")


KIND = ItemKind(
    OrderingSchema(),
    {
        "kind": "ordering",
        "key": "complaint",
        "prompt": "A customer complains at the desk. Put the steps into the right order.",
        "points": 3,
        "partial": True,
        "options": [
            {"key": "listen", "text": "Listen to the customer to the end"},
            {"key": "repeat", "text": "Say in your own words what went wrong"},
            {"key": "offer", "text": "Offer a solution"},
            {"key": "note", "text": "Write the complaint down"},
        ],
    },
)
