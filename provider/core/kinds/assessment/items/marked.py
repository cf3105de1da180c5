"""What the types of item share whose answers a person marks."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from provider.core.kinds.assessment.items.base import Item, ItemSchema, OutlineRow
from provider.core.products.schema_fields import Integer, Text


@dataclass(frozen=True, kw_only=True)
class MarkedItem(Item):
    """An item without an automatic score. Its answer earns the points that markers give.

    `rubric` is Markdown that only the markers see. `markers` is how many of them must agree.
    """

    needs_marking: ClassVar[bool] = True
    rubric: str = ""
    markers: int = 1

    def score(self, value: Any) -> Fraction | None:
        return None

    def outline(self) -> Iterator[OutlineRow]:
        note = "Marked by two people" if self.markers == 2 else "Marked by a person"
        yield OutlineRow(self.rubric, note)

    def markdown_texts(self) -> Iterator[tuple[str, str]]:
        yield from super().markdown_texts()
        if self.rubric:
            yield "rubric", self.rubric


class MarkedItemSchema(ItemSchema):
    """An item that people mark."""

    rubric = Text(10_000, multiline=True, load_default="")
    markers = Integer(1, 2, load_default=1)
