"""`forced_choice`: of a block of statements, the one most and the one least like the candidate."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from marshmallow import post_load, validates_schema

from provider.core.kinds.assessment.items.base import (
    INCORRECT,
    ItemKind,
    ItemSchema,
    KeyedFieldsItem,
    OutlineRow,
)
from provider.core.kinds.assessment.items.options import (
    UNKNOWN_OPTION,
    KeyedText,
    KeyedTextSchema,
    arrange_parts,
    require_unique_parts,
    same_looks,
    shuffle_parts,
)
from provider.core.kinds.assessment.items.traits import TraitName
from provider.core.products.schema_fields import Choice, Flag, nested_list
from provider.errors import Invalid
from provider.texts import gettext

MOST, LEAST = "most", "least"
# The share of a trait: of the statement that is most and least like the candidate, and of others.
_SHARES = {MOST: Fraction(1), LEAST: Fraction(0)}
_OTHER_SHARE = Fraction(1, 2)


@dataclass(frozen=True)
class Statement(KeyedText):
    """One statement of a block. A reversed one tells the opposite about its trait."""

    trait: str | None = None
    reversed: bool = False


@dataclass(frozen=True, kw_only=True)
class ForcedChoice(KeyedFieldsItem):
    """A block of statements. The answer has the key of a statement for `most` and for `least`.

    An answer with one of the two is saved, and is not complete. No answer is right or wrong, so the
    item belongs to a section that is not scored. It tells about the traits of its statements.
    """

    kind = "forced_choice"
    statements: tuple[Statement, ...]
    shuffle: bool | None = None

    @property
    def field_keys(self) -> tuple[str, ...]:
        return (MOST, LEAST)

    def shuffled_statements(self, seed: str, shuffle: bool) -> tuple[Statement, ...]:
        """Return the statements in the order to show."""
        if self.shown_order:
            return arrange_parts(self.statements, self.shown_order)
        if not (shuffle if self.shuffle is None else self.shuffle):
            return self.statements
        return shuffle_parts(self.statements, seed, self.key)

    def draw_order(self, seed: str, shuffle: bool) -> tuple[str, ...]:
        return tuple(statement.key for statement in self.shuffled_statements(seed, shuffle))

    def is_answered(self, value: Any) -> bool:
        return value is not None and set(value) == {MOST, LEAST}

    def score(self, value: Any) -> Fraction:
        return INCORRECT

    def trait_shares(self, value: Any) -> Iterator[tuple[str, Fraction]]:
        if not self.is_answered(value):
            return
        choices = {key: choice for choice, key in value.items()}
        for statement in self.statements:
            if statement.trait:
                choice = choices.get(statement.key)
                share = _SHARES[choice] if choice else _OTHER_SHARE
                yield statement.trait, 1 - share if statement.reversed else share

    def format_answer(self, value: Any) -> str:
        texts = {statement.key: statement.text for statement in self.statements}
        most, least = (texts.get(value.get(choice), "–") for choice in (MOST, LEAST))
        return gettext("Most: %(most)s; least: %(least)s", most=most, least=least)

    def trial_answers(self) -> Iterator[Any]:
        first, *_, last = self.statements
        yield {MOST: first.key, LEAST: last.key}
        yield {MOST: last.key, LEAST: first.key}

    def outline(self) -> Iterator[OutlineRow]:
        for statement in self.statements:
            note = f"{statement.trait}, reversed" if statement.reversed else statement.trait
            yield OutlineRow(statement.text, note or "")

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return "kind", "has no score: put the item into a section with weight 0"

    def text_warnings(self) -> Iterator[tuple[str, str]]:
        yield from same_looks(self.statements, "statements")

    def _parse_texts(self, texts: dict[str, str]) -> dict[str, str]:
        if set(texts.values()) - {statement.key for statement in self.statements}:
            raise Invalid(UNKNOWN_OPTION)
        if texts.get(MOST) == texts.get(LEAST):
            raise Invalid("Choose two different statements: one for most, and one for least")
        return texts


class StatementSchema(KeyedTextSchema):
    """One of the `statements`."""

    part_class = Statement

    trait = TraitName(load_default=None)
    direction = Choice("positive", "reversed", load_default="positive")

    @post_load
    def _build(self, data: dict[str, Any], **kwargs: Any) -> KeyedText:
        data["reversed"] = data.pop("direction") == "reversed"
        statement: KeyedText = super()._build(data, **kwargs)
        return statement


class ForcedChoiceSchema(ItemSchema):
    """`forced_choice`: three to six statements."""

    item_class = ForcedChoice

    statements = nested_list(StatementSchema, "statements", 3, 6, required=True)
    shuffle = Flag(load_default=None)

    @validates_schema
    def _require_unique_statements(self, data: dict[str, Any], **_: Any) -> None:
        require_unique_parts(data["statements"], "statements")


KIND = ItemKind(
    ForcedChoiceSchema(),
    {
        "kind": "forced_choice",
        "key": "at-work",
        "prompt": "Think of an ordinary day at work.",
        "statements": [
            {"key": "plans", "text": "I plan my day before I begin.", "trait": "Order"},
            {"key": "helps", "text": "I help others before they ask.", "trait": "Teamwork"},
            {"key": "new", "text": "I look for new ways to do a task.", "trait": "Openness"},
            {
                "key": "late",
                "text": "I often begin later than I meant to.",
                "trait": "Order",
                "direction": "reversed",
            },
        ],
    },
)
