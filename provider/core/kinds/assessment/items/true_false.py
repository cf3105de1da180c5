"""`true_false`: a statement that is true or false."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from provider.core.kinds.assessment.items.base import (
    CORRECT,
    INCORRECT,
    ItemKind,
    OneFieldItem,
    SolvableItemSchema,
    require_single,
)
from provider.core.products.schema_fields import Flag
from provider.errors import Invalid
from provider.texts import gettext


@dataclass(frozen=True, kw_only=True)
class TrueFalse(OneFieldItem):
    """A statement that is true or false. The answer is a boolean."""

    kind = "true_false"
    answer: bool | None = None

    def score(self, value: Any) -> Fraction:
        return CORRECT if value is self.answer else INCORRECT

    def format_answer(self, value: Any) -> str:
        return gettext("True") if value else gettext("False")

    def trial_answers(self) -> Iterator[Any]:
        yield from (True, False)

    @property
    def solution(self) -> str | None:
        return None if self.answer is None else self.format_answer(self.answer)

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return ("answer", "should be true or false") if self.answer is None else None

    def _parse_values(self, values: list[str]) -> bool:
        if require_single(values) not in ("true", "false"):
            raise Invalid("Choose true or false")
        return values[0] == "true"


class TrueFalseSchema(SolvableItemSchema):
    """`true_false`: a statement that is true or false."""

    item_class = TrueFalse
    answer = Flag(load_default=None)


KIND = ItemKind(
    TrueFalseSchema(),
    {
        "kind": "true_false",
        "key": "square",
        "prompt": "Every square is a rectangle.",
        "answer": True,
    },
)
