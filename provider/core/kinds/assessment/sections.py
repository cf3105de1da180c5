"""The sections of a test: their items or a bank of items, and how a candidate moves through them.

key, title, instructions?, weight? (1), items
draw?         {count, tags?}: each candidate gets `count` of the items, which are a bank; with
              tags, of those that have all the tags
order?        fixed (the default), or shuffled: each candidate gets the items in another order
time_limit?   minutes of the section; the limit of the test goes on, and the earlier end counts
navigation?   free or forward; left out: as in the test
practice?     true: not scored, and without any time limit
break?        minutes of a break after the section, at most; the time of the test stands still
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.formats import format_duration
from provider.core.kinds.assessment.items import Item, ItemField
from provider.core.products.schema_fields import (
    Choice,
    DocumentSchema,
    Flag,
    Integer,
    Key,
    ListOf,
    Number,
    Text,
    Title,
    nested,
)

MAX_ITEMS = 200
FREE, FORWARD = NAVIGATIONS = ("free", "forward")
FIXED, SHUFFLED = ORDERS = ("fixed", "shuffled")


@dataclass(frozen=True)
class Draw:
    """How many items of a bank each candidate gets, and which tags they have."""

    count: int
    tags: tuple[str, ...] = ()

    def accepts(self, item: Item) -> bool:
        return set(self.tags) <= set(item.tags)

    def raw_bank(self, items: list[Any]) -> list[Mapping[str, Any]]:
        """Return those of the items of a document, which may be incomplete, that can be drawn."""
        return [
            item for item in items if isinstance(item, dict) and set(self.tags) <= _raw_tags(item)
        ]


@dataclass(frozen=True)
class Section:
    """A part of a test. It has its own score, unless its weight is 0 or it is for practice.

    `items` are a bank, if there is a `draw`; in the form of one candidate they are the drawn ones.
    `time_limit` and `break_minutes` are in minutes. `navigation` is empty for that of the test.
    """

    key: str
    title: str
    items: tuple[Item, ...]
    instructions: str = ""
    weight: Decimal = Decimal(1)
    draw: Draw | None = None
    order: str = FIXED
    time_limit: int | None = None
    navigation: str = ""
    practice: bool = False
    break_minutes: int = 0

    @property
    def is_scored(self) -> bool:
        return self.weight > 0 and not self.practice

    @cached_property
    def max_points(self) -> Fraction:
        return sum((Fraction(item.points) for item in self.items), Fraction(0))

    @property
    def bank(self) -> tuple[Item, ...]:
        """The items that a candidate may get."""
        return tuple(item for item in self.items if self.draw is None or self.draw.accepts(item))

    @property
    def question_count(self) -> int:
        """The number of items that a candidate gets."""
        return self.draw.count if self.draw else len(self.items)

    def rules(self) -> Iterator[str]:
        """Yield what the section does beside showing its questions, for authors."""
        if self.practice:
            yield "For practice: no time runs, and it is not in the report."
        if self.draw:
            which = f" with the tags {', '.join(self.draw.tags)}" if self.draw.tags else ""
            yield f"Each candidate gets {self.draw.count} of {len(self.bank)} questions{which}."
        if self.order == SHUFFLED:
            yield "Each candidate gets the questions in another order."
        if self.time_limit:
            yield f"It takes {format_duration(self.time_limit * 60)} at most."
        if self.navigation:
            is_free = self.navigation == FREE
            yield f"Candidates {'can' if is_free else 'cannot'} go back to a question."
        if self.is_scored and self.weight != 1:
            yield f"It has the weight {self.weight}."
        if self.break_minutes:
            yield f"A break of up to {format_duration(self.break_minutes * 60)} follows."


class DrawSchema(DocumentSchema):
    """The `draw` of a section."""

    count = Integer(1, MAX_ITEMS, required=True)
    tags = ListOf(Key(), "tags", 1, 20, load_default=())

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Draw:
        return Draw(data["count"], tuple(data["tags"]))


class SectionSchema(DocumentSchema):
    """One of a test's `sections`."""

    key = Key(required=True)
    title = Title(120, required=True)
    instructions = Text(10_000, multiline=True, load_default="")
    weight = Number(0, 1000, load_default=Decimal(1))
    draw = nested(DrawSchema, load_default=None)
    order = Choice(*ORDERS, load_default=FIXED)
    time_limit = Integer(1, 1440, load_default=None)
    navigation = Choice(*NAVIGATIONS, load_default="")
    practice = Flag(load_default=False)
    break_minutes = Integer(1, 120, data_key="break", load_default=0)
    items = ListOf(ItemField(), "items", 1, MAX_ITEMS, required=True)

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        if data["practice"] and data["time_limit"]:
            raise ValidationError("should be left out of a section for practice", "time_limit")
        if data["weight"] and not data["practice"]:
            _require_scorable_items(data["items"])

    # A bank is too small even while some of its items are incomplete, so the raw ones are counted.
    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _require_large_bank(self, data: dict[str, Any], original: Any, **_: Any) -> None:
        draw = data.get("draw")
        if draw is None or not isinstance(original, dict):
            return
        items = raw_items(original)
        count = len(draw.raw_bank(items))
        if draw.count > count:
            which = f" with the tags {', '.join(draw.tags)}" if draw.tags else ""
            advice = f"should be at most {count}: the section has {count} items{which}"
            if not count:
                advice = f"has nothing to draw from: the section has no items{which}"
            raise ValidationError({"draw": {"count": [advice]}})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Section:
        return Section(**data | {"items": tuple(data["items"])})


def raw_items(section: Mapping[str, Any]) -> list[Any]:
    """Return the items of a section of a document, which may be incomplete."""
    items = section.get("items")
    return items if isinstance(items, list) else []


def _raw_tags(item: Mapping[str, Any]) -> set[str]:
    tags = item.get("tags")
    return {tag for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()


def describe_draw(section: Mapping[str, Any]) -> str:
    """Say what the draw of a section gives each candidate, for authors; empty without a draw.

    The section is one of a document, which may be incomplete.
    """
    try:
        draw = DrawSchema().load(section["draw"])
    except (KeyError, ValidationError):
        return ""
    items = raw_items(section)
    bank = draw.raw_bank(items)
    which = f" with the tags {', '.join(draw.tags)}" if draw.tags else ""
    if draw.count > len(bank):
        return f"The draw needs {draw.count} questions{which}, and there are {len(bank)}."
    if draw.count == len(bank):
        sentences = [f"Each candidate gets all {len(bank)} questions{which}."]
    else:
        share = round(100 * draw.count / len(bank))
        sentences = [
            f"Each candidate gets {draw.count} of {len(bank)} questions{which}. "
            f"A question is seen by {share}% of the candidates."
        ]
    if len({str(item.get("points", 1)) for item in bank}) > 1 and draw.count < len(bank):
        sentences.append("Their points differ, so that candidates can reach different points.")
    if left_out := len(items) - len(bank):
        noun = "1 question is" if left_out == 1 else f"{left_out} questions are"
        sentences.append(f"{noun} never drawn, for want of the tags.")
    return " ".join(sentences)


def describe_entry(list_name: str, entry: Mapping[str, Any]) -> str:
    """Say what an entry of a test's document gives, for authors: the draw of a section."""
    return describe_draw(entry) if list_name == "sections" else ""


def sum_item_seconds(section: Section) -> int:
    """Return the longest time that the limits of a candidate's items can give together."""
    seconds = sorted((item.time_limit_seconds or 0 for item in section.bank), reverse=True)
    return sum(seconds[: section.question_count])


def _require_scorable_items(items: list[Item]) -> None:
    problems = {
        index: {name: [advice]}
        for index, item in enumerate(items)
        if item.scoring_problem
        for name, advice in [item.scoring_problem]
    }
    if problems:
        raise ValidationError({"items": problems})
