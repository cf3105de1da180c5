"""What the types of item with options share: the options, their order and their schema."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from marshmallow import post_load, validates_schema

from provider.core.kinds.assessment.items.base import (
    CORRECT_NOTE,
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


@dataclass(frozen=True)
class Option:
    """One option of a single_choice or a multiple_choice."""

    key: str
    text: str
    correct: bool = False


@dataclass(frozen=True, kw_only=True)
class Choice(OneFieldItem):
    """An item with options, of which some are correct."""

    options: tuple[Option, ...]
    shuffle: bool | None = None

    def shuffled_options(self, seed: str, shuffle: bool) -> tuple[Option, ...]:
        """Return the options in the order to show.

        The order of shuffled options depends on `seed` alone, so a reload does not change it.
        """
        if not (shuffle if self.shuffle is None else self.shuffle):
            return self.options
        return tuple(
            sorted(self.options, key=lambda option: _shuffle_key(seed, self.key, option.key))
        )

    @property
    def solution(self) -> str | None:
        return self._join_texts(self._correct_keys) or None

    def outline(self) -> Iterator[OutlineRow]:
        for option in self.options:
            yield OutlineRow(option.text, CORRECT_NOTE if option.correct else "", option.correct)

    def text_warnings(self) -> Iterator[tuple[str, str]]:
        texts = [visible_text(option.text) for option in self.options]
        yield from repeated_texts(texts, "options[{}].text", "looks the same as one above")

    def _join_texts(self, keys: set[str]) -> str:
        return "; ".join(option.text for option in self.options if option.key in keys)

    def _require_known_keys(self, values: Sequence[str]) -> list[str]:
        if set(values) - {option.key for option in self.options}:
            raise Invalid("This is not one of the choices. Reload the page and choose again")
        return [option.key for option in self.options if option.key in values]

    @property
    def _correct_keys(self) -> set[str]:
        return {option.key for option in self.options if option.correct}


class OptionSchema(DocumentSchema):
    """One of an item's `options`."""

    key = Key(required=True)
    text = Text(1000, multiline=True, required=True)
    correct = Flag(load_default=False)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Option:
        return Option(**data)


class ChoiceSchema(SolvableItemSchema):
    """The options of a choice; their keys and texts are unique."""

    options = nested_list(OptionSchema, "options", 2, 30, required=True)
    shuffle = Flag(load_default=None)

    @validates_schema
    def _require_unique_options(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([option.key for option in data["options"]], "options")
        require_unique(
            [option.text for option in data["options"]], "options", "text", ignore_case=False
        )


def _shuffle_key(seed: str, item_key: str, option_key: str) -> bytes:
    return sha256(f"{seed}/{item_key}/{option_key}".encode()).digest()
