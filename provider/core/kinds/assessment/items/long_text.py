"""`long_text`: a text of several lines, which a person marks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from provider.core.kinds.assessment.items.base import ItemKind, OneFieldItem, require_single
from provider.core.kinds.assessment.items.marked import MarkedItem, MarkedItemSchema
from provider.core.products.schema_fields import Integer
from provider.errors import Invalid

MAX_LENGTH = 20_000  # characters


@dataclass(frozen=True, kw_only=True)
class LongText(MarkedItem, OneFieldItem):
    """A long text. The answer is the text, with its lines.

    `max_length` is in characters. Words are what spaces separate.
    """

    kind = "long_text"
    max_length: int = 5000
    max_words: int | None = None

    def trial_answers(self) -> Iterator[Any]:
        yield "A scripted answer"

    def _parse_values(self, values: list[str]) -> str:
        lines = require_single(values).replace("\r\n", "\n").split("\n")
        text = "\n".join(line.rstrip() for line in lines)
        if len(text) > self.max_length:
            raise Invalid(
                "This answer is too long. Write at most %(maximum)d characters",
                maximum=self.max_length,
            )
        if self.max_words is not None and len(text.split()) > self.max_words:
            raise Invalid(
                "This answer has %(number)d words. Write at most %(maximum)d",
                number=len(text.split()),
                maximum=self.max_words,
            )
        return text


class LongTextSchema(MarkedItemSchema):
    """`long_text`: limits of the length."""

    item_class = LongText

    max_length = Integer(1, MAX_LENGTH, load_default=5000)
    max_words = Integer(1, 5000, load_default=None)


KIND = ItemKind(
    LongTextSchema(),
    {
        "kind": "long_text",
        "key": "reply",
        "prompt": "A parcel came late for the third time. Write a reply to the customer.",
        "points": 5,
        "max_length": 2000,
        "max_words": 150,
        "rubric": "- 2 points: says sorry and names the fault\n- 3 points: a fair offer",
        "markers": 2,
    },
)
