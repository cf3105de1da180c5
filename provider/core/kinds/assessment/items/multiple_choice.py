"""`multiple_choice`: any number of options is right."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from provider.core.kinds.assessment.items.base import (
    CORRECT,
    INCORRECT,
    ItemKind,
    PartialItemSchema,
)
from provider.core.kinds.assessment.items.options import Choice, ChoiceSchema


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Choice):
    """Any number of options. The answer is the list of their keys."""

    kind = "multiple_choice"
    partial: bool = True

    def score(self, value: Any) -> Fraction:
        """Return (right − wrong) / number of correct options, never below 0.

        Without partial marks only the exact answer earns points.
        """
        correct_keys = self._correct_keys
        if not correct_keys:
            return INCORRECT
        if not self.partial:
            return CORRECT if set(value) == correct_keys else INCORRECT
        right_count = len(correct_keys & set(value))
        wrong_count = len(set(value) - correct_keys)
        return max(INCORRECT, Fraction(right_count - wrong_count, len(correct_keys)))

    def format_answer(self, value: Any) -> str:
        """Return the texts of the options, in the order of the document."""
        return self._join_texts(set(value))

    def trial_answers(self) -> Iterator[Any]:
        correct_keys = [option.key for option in self.options if option.correct]
        if correct_keys:
            yield correct_keys
        yield from ([option.key] for option in self.options)

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return None if self._correct_keys else ("options", "should have at least one correct")

    def _parse_values(self, values: list[str]) -> list[str]:
        return self._require_known_keys(values)


class MultipleChoiceSchema(ChoiceSchema, PartialItemSchema):
    """`multiple_choice`: at least one option is correct."""

    item_class = MultipleChoice


KIND = ItemKind(
    MultipleChoiceSchema(),
    {
        "kind": "multiple_choice",
        "key": "primes",
        "prompt": "Which of these numbers are prime?",
        "partial": False,
        "wrong_points": 0.5,
        "options": [
            {"key": "two", "text": "2", "correct": True},
            {"key": "nine", "text": "9"},
            {"key": "eleven", "text": "11", "correct": True},
        ],
    },
)
