"""`situational_judgement`: one option out of several, each of which has its own score."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from provider.core.kinds.assessment.items.base import (
    INCORRECT,
    ItemKind,
    OutlineRow,
    require_single,
)
from provider.core.kinds.assessment.items.options import (
    KeyedText,
    KeyedTextSchema,
    OptionsItem,
    OptionsSchema,
)
from provider.core.kinds.assessment.number_parsing import format_number
from provider.core.products.schema_fields import Number, nested_list


@dataclass(frozen=True)
class RatedOption(KeyedText):
    """One option. The option with the highest score earns all points of the item."""

    score: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class SituationalJudgement(OptionsItem):
    """One option out of several. The answer is its key. No option is simply right or wrong."""

    kind = "situational_judgement"
    options: tuple[RatedOption, ...]

    def score(self, value: Any) -> Fraction:
        """Return the option's score divided by the highest one."""
        highest = max(option.score for option in self.options)
        if not highest:
            return INCORRECT
        scores = {option.key: option.score for option in self.options}
        return Fraction(scores[value]) / Fraction(highest)

    def format_answer(self, value: Any) -> str:
        return self._join_texts({value})

    def trial_answers(self) -> Iterator[Any]:
        yield from (option.key for option in self.options)

    def outline(self) -> Iterator[OutlineRow]:
        for option in self.options:
            yield OutlineRow(option.text, f"Score {format_number(option.score)}")

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        if any(option.score for option in self.options):
            return None
        return "options", "should have at least one with a score above 0"

    def _parse_values(self, values: list[str]) -> str:
        return self._require_known_keys([require_single(values)])[0]


class RatedOptionSchema(KeyedTextSchema):
    """One of the `options`."""

    part_class = RatedOption

    score = Number(0, 1000, load_default=Decimal(0))


class SituationalJudgementSchema(OptionsSchema):
    """`situational_judgement`: each option has its own score."""

    item_class = SituationalJudgement

    options = nested_list(RatedOptionSchema, "options", 2, 30, required=True)


KIND = ItemKind(
    SituationalJudgementSchema(),
    {
        "kind": "situational_judgement",
        "key": "double-booking",
        "prompt": "Two customers booked the same room for the same hour. What do you do first?",
        "points": 3,
        "options": [
            {
                "key": "offer",
                "text": "Offer one of them a larger room at the same price",
                "score": 3,
            },
            {"key": "manager", "text": "Ask the manager to decide", "score": 1},
            {"key": "wait", "text": "Wait until one of them gives way"},
        ],
    },
)
