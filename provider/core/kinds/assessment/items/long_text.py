"""`long_text`: a text of several lines, which staff mark."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from provider.core.kinds.assessment.items.base import ItemKind, require_single
from provider.core.kinds.assessment.items.marked import MarkedItem, MarkedItemSchema
from provider.core.kinds.text_length import require_length
from provider.core.products.schema_fields import Integer

# A page that is being closed sends at most 64 kB, and a character may need four bytes.
MAX_CHARACTERS = 10_000


@dataclass(frozen=True, kw_only=True)
class LongText(MarkedItem):
    """A text of several lines. The answer is the text, with `\\n` between its lines."""

    kind = "long_text"
    max_characters: int = 5000
    max_words: int | None = None

    def trial_answers(self) -> Iterator[Any]:
        yield "A scripted answer"[: self.max_characters]

    def _parse_values(self, values: list[str]) -> str:
        text = require_single(values).replace("\r\n", "\n").replace("\r", "\n").strip()
        require_length(text, self.max_characters, self.max_words)
        return text


class LongTextSchema(MarkedItemSchema):
    """`long_text`: a text of several lines, which staff mark."""

    item_class = LongText
    max_characters = Integer(1, MAX_CHARACTERS, load_default=5000)
    max_words = Integer(1, MAX_CHARACTERS, load_default=None)


KIND = ItemKind(
    LongTextSchema(),
    {
        "kind": "long_text",
        "key": "late-parcel",
        "prompt": "A customer writes that her parcel is three weeks late. Write your reply.",
        "max_characters": 2000,
        "max_words": 300,
        "rubric": [
            {"key": "tone", "text": "The reply is friendly and takes the blame.", "points": 2},
            {"key": "steps", "text": "The customer learns what happens next.", "points": 3},
        ],
    },
)
