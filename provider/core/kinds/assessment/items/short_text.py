"""`short_text`: a few words, compared with the accepted texts."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from provider.core.kinds.assessment.items.base import (
    CORRECT,
    INCORRECT,
    MAX_TEXT_LENGTH,
    ItemKind,
    OneFieldItem,
    SolvableItemSchema,
    repeated_texts,
    require_single,
)
from provider.core.kinds.assessment.text_folding import fold, fold_key
from provider.core.products.schema_fields import Flag, ListOf, Text
from provider.errors import Invalid


@dataclass(frozen=True, kw_only=True)
class ShortText(OneFieldItem):
    """A few words. The answer is the text; `text_folding` compares it with the accepted ones."""

    kind = "short_text"
    accepted: tuple[str, ...] = ()
    case_sensitive: bool = False

    def score(self, value: Any) -> Fraction:
        is_strict = self.case_sensitive
        accepted_texts = {fold_key(text, case_sensitive=is_strict) for text in self.accepted}
        return CORRECT if self.fold(value) in accepted_texts else INCORRECT

    def fold(self, text: str) -> str:
        """Return the text in the form that answers to this item are compared in."""
        return fold(text, case_sensitive=self.case_sensitive)

    def trial_answers(self) -> Iterator[Any]:
        yield from (*self.accepted[:1], "A scripted answer")

    def text_warnings(self) -> Iterator[tuple[str, str]]:
        texts = [self.fold(text) for text in self.accepted]
        yield from repeated_texts(texts, "accepted[{}]", "is the same answer as one above")

    @property
    def solution(self) -> str | None:
        return " / ".join(self.accepted) or None

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        return None if self.accepted else ("accepted", "should have at least one text")

    def _parse_values(self, values: list[str]) -> str:
        text = " ".join(require_single(values).split())
        if len(text) > MAX_TEXT_LENGTH:
            raise Invalid(
                "This answer is too long. Write at most %(maximum)d characters",
                maximum=MAX_TEXT_LENGTH,
            )
        return text


class ShortTextSchema(SolvableItemSchema):
    """`short_text`: a few words, compared as `text_folding` says."""

    item_class = ShortText
    accepted = ListOf(Text(200), "texts", 1, 50, load_default=())
    case_sensitive = Flag(load_default=False)


KIND = ItemKind(
    ShortTextSchema(),
    {
        "kind": "short_text",
        "key": "radium",
        "prompt": "Who discovered radium together with Pierre Curie?",
        "accepted": ["Marie Curie", "Curie", "Marie Skłodowska-Curie"],
    },
)
