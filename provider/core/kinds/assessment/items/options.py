"""The parts of item types with options: the options, their order and their schema."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from marshmallow import post_load, validates_schema

from provider.core.kinds.assessment.items.base import (
    CORRECT_NOTE,
    ItemSchema,
    OneFieldItem,
    OutlineRow,
    SolvableItemSchema,
    repeated_texts,
)
from provider.core.kinds.assessment.text_folding import visible_text
from provider.core.products.schema_fields import (
    DocumentSchema,
    Flag,
    Key,
    Text,
    nested_list,
    require_unique,
)
from provider.errors import Invalid
from provider.texts import gettext_noop

UNKNOWN_OPTION = gettext_noop("This is not one of the choices. Reload the page and choose again")


@dataclass(frozen=True)
class KeyedText:
    """A part of an item that a candidate reads, such as an option. It is no Markdown."""

    key: str
    text: str


@dataclass(frozen=True)
class Option(KeyedText):
    """One option of a single_choice or a multiple_choice."""

    correct: bool = False


KeyedTextT = TypeVar("KeyedTextT", bound=KeyedText)


@dataclass(frozen=True, kw_only=True)
class OptionsItem(OneFieldItem):
    """An item with options, of which a candidate chooses some."""

    options: tuple[KeyedText, ...]
    shuffle: bool | None = None

    def shuffled_options(self, seed: str, shuffle: bool) -> tuple[KeyedText, ...]:
        """Return the options in the order to show."""
        if self.shown_order:
            return arrange_parts(self.options, self.shown_order)
        if not (shuffle if self.shuffle is None else self.shuffle):
            return self.options
        return shuffle_parts(self.options, seed, self.key)

    def draw_order(self, seed: str, shuffle: bool) -> tuple[str, ...]:
        return tuple(option.key for option in self.shuffled_options(seed, shuffle))

    def text_warnings(self) -> Iterator[tuple[str, str]]:
        yield from same_looks(self.options, "options")

    def _join_texts(self, keys: set[str]) -> str:
        return "; ".join(option.text for option in self.options if option.key in keys)

    def _require_known_keys(self, values: Sequence[str]) -> list[str]:
        if set(values) - {option.key for option in self.options}:
            raise Invalid(UNKNOWN_OPTION)
        return [option.key for option in self.options if option.key in values]


@dataclass(frozen=True, kw_only=True)
class Choice(OptionsItem):
    """An item with options, of which some are correct."""

    options: tuple[Option, ...]

    def outline(self) -> Iterator[OutlineRow]:
        for option in self.options:
            yield OutlineRow(option.text, CORRECT_NOTE if option.correct else "", option.correct)

    @property
    def solution(self) -> str | None:
        return self._join_texts(self._correct_keys) or None

    @property
    def _correct_keys(self) -> set[str]:
        return {option.key for option in self.options if option.correct}


class KeyedTextSchema(DocumentSchema):
    """A part of an item with a key and a text."""

    part_class: type[KeyedText] = KeyedText

    key = Key(required=True)
    text = Text(1000, multiline=True, required=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> KeyedText:
        return self.part_class(**data)


class OptionSchema(KeyedTextSchema):
    """One of the `options` of a choice."""

    part_class = Option

    correct = Flag(load_default=False)


class OptionsSchema(ItemSchema):
    """The options of an item; their keys and texts are unique."""

    options = nested_list(KeyedTextSchema, "options", 2, 30, required=True)
    shuffle = Flag(load_default=None)

    @validates_schema
    def _require_unique_options(self, data: dict[str, Any], **_: Any) -> None:
        require_unique_parts(data["options"], "options")


class ChoiceSchema(OptionsSchema, SolvableItemSchema):
    """Options of which some are correct."""

    options = nested_list(OptionSchema, "options", 2, 30, required=True)


def shuffle_parts(parts: Sequence[KeyedTextT], seed: str, item_key: str) -> tuple[KeyedTextT, ...]:
    """Return the parts in an order that depends on `seed` alone, so a reload does not change it."""

    def position(part: KeyedText) -> bytes:
        return sha256(f"{seed}/{item_key}/{part.key}".encode()).digest()

    return tuple(sorted(parts, key=position))


def arrange_parts(parts: Sequence[KeyedTextT], keys: Sequence[str]) -> tuple[KeyedTextT, ...]:
    """Return the parts in the order of their keys."""
    parts_by_key = {part.key: part for part in parts}
    return tuple(parts_by_key[key] for key in keys)


def require_unique_parts(parts: Sequence[KeyedText], name: str) -> None:
    """Raise ValidationError for a repeated key or text; `name` is the field of the parts."""
    require_unique([part.key for part in parts], name)
    require_unique([part.text for part in parts], name, "text", ignore_case=False)


def same_looks(parts: Sequence[KeyedText], name: str) -> Iterator[tuple[str, str]]:
    """Yield a warning for each part that looks the same as one before it."""
    texts = [visible_text(part.text) for part in parts]
    yield from repeated_texts(texts, f"{name}[{{}}].text", "looks the same as one above")
