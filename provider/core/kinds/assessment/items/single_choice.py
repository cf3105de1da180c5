"""`single_choice`: one option out of several is right."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from provider.core.kinds.assessment.items.base import CORRECT, INCORRECT, ItemKind, require_single
from provider.core.kinds.assessment.items.options import Choice, ChoiceSchema


@dataclass(frozen=True, kw_only=True)
class SingleChoice(Choice):
    """One option out of several. The answer is the key of the option."""

    kind = "single_choice"

    def score(self, value: Any) -> Fraction:
        return CORRECT if value in self._correct_keys else INCORRECT

    def trial_answers(self) -> Iterator[Any]:
        yield from (option.key for option in self.options)

    def format_answer(self, value: Any) -> str:
        return self._join_texts({value})

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return (
            None if len(self._correct_keys) == 1 else ("options", "should have exactly one correct")
        )

    def _parse_values(self, values: list[str]) -> str:
        return self._require_known_keys([require_single(values)])[0]


class SingleChoiceSchema(ChoiceSchema):
    """`single_choice`: exactly one option is correct."""

    item_class = SingleChoice


KIND = ItemKind(
    SingleChoiceSchema(),
    {
        "kind": "single_choice",
        "key": "capital",
        "prompt": "Which city is the capital of **Australia**?",
        "points": 2,
        "required": True,
        "shuffle": True,
        "options": [
            {"key": "sydney", "text": "Sydney"},
            {"key": "canberra", "text": "Canberra", "correct": True},
            {"key": "perth", "text": "Perth"},
        ],
    },
)
