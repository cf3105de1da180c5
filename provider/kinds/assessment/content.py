"""What a test's content says (schema 1).

    name, description?, instructions?     description and instructions are Markdown
    time_limit?                           minutes, 1 to 1440; left out or null: no limit
    shuffle?                              true mixes the options, the same for one order each time
    grades?                               {passed: 50, excelled: 80}, cut scores in percent
    summaries?                            {failed: …, passed: …, excelled: …}, a sentence per grade
    sections                              [{key, title, instructions?, weight? (1), items}]

An item has `kind`, `key` (unique in the test), `prompt` (Markdown), `points` (1), `required`
(false), and what its kind adds:

    single_choice, multiple_choice        options: [{key, text, correct?}], shuffle?
    true_false                            answer: true or false
    numeric                               answer, tolerance? (0), unit?
    short_text                            accepted: [text, …]
    likert                                labels: [text, …], direction? (positive, reversed), trait?

A section of weight 0 is asked and shown but not scored; its items need no right answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, post_load, validates_schema

from provider.kinds.assessment.items import (
    Item,
    Likert,
    MultipleChoice,
    Numeric,
    Option,
    ShortText,
    SingleChoice,
    TrueFalse,
)
from provider.kinds.document import load
from provider.kinds.fields import (
    Choice,
    Flag,
    Key,
    Many,
    Number,
    Shape,
    Text,
    Whole,
    part,
    parts,
    unlike,
)
from provider.kinds.grading import Grades, GradesShape, SummariesShape, summaries_need_grades

MOST_ITEMS = 200
SCORE, ANSWERED = "Score", "Answered"  # the figures of a section; a trait may not be called so


@dataclass(frozen=True)
class Section:
    """A part of a test with a score of its own; of weight 0 it has none."""

    key: str
    title: str
    items: tuple[Item, ...]
    instructions: str = ""
    weight: Decimal = Decimal(1)

    @property
    def scored(self) -> bool:
        """Whether the section counts."""
        return self.weight > 0


@dataclass(frozen=True)
class TestContent:
    """A test, ready to be asked and scored; `time_limit` in minutes, None for no limit."""

    __test__ = False  # for pytest this is no test

    name: str
    sections: tuple[Section, ...]
    description: str = ""
    instructions: str = ""
    time_limit: int | None = None
    shuffle: bool = False
    grades: Grades | None = None
    summaries: Mapping[str, str] | None = None

    @property
    def items(self) -> Iterator[Item]:
        """All items in their order."""
        return (item for section in self.sections for item in section.items)

    def item(self, key: str) -> Item | None:
        """Return the item with this key, None when there is none."""
        return next((item for item in self.items if item.key == key), None)

    def missing(self, answers: Mapping[str, Any]) -> list[Item]:
        """Return the required items that have no answer."""
        return [item for item in self.items if item.required and answers.get(item.key) is None]


class OptionShape(Shape):
    """One of an item's `options`."""

    key = Key(required=True)
    text = Text(1000, lines=True, required=True)
    correct = Flag(load_default=False)

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Option:
        return Option(**data)


class ItemShape(Shape):
    """What every item has."""

    makes: type[Item]

    kind = Text(20, required=True)
    key = Key(required=True)
    prompt = Text(10_000, lines=True, required=True)
    points = Number(0, 1000, above=True, load_default=Decimal(1))
    required = Flag(load_default=False)

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Item:
        del data["kind"]
        tuples = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return self.makes(**data | tuples)


class ChoiceShape(ItemShape):
    """A choice among options, each told apart by key and by text."""

    options = parts(OptionShape, "options", 2, 30, required=True)
    shuffle = Flag(load_default=None)

    @validates_schema
    def _unlike(self, data: dict[str, Any], **_: Any) -> None:
        unlike([option.key for option in data["options"]], "options")
        unlike([option.text for option in data["options"]], "options", "text")


class SingleChoiceShape(ChoiceShape):
    """`single_choice`: exactly one option is correct."""

    makes = SingleChoice


class MultipleChoiceShape(ChoiceShape):
    """`multiple_choice`: at least one option is correct."""

    makes = MultipleChoice


class TrueFalseShape(ItemShape):
    """`true_false`: a statement to judge."""

    makes = TrueFalse
    answer = Flag(load_default=None)


class NumericShape(ItemShape):
    """`numeric`: a number within a tolerance, both ends included."""

    makes = Numeric
    answer = Number(load_default=None)
    tolerance = Number(0, load_default=Decimal(0))
    unit = Text(20, load_default="")


class ShortTextShape(ItemShape):
    """`short_text`: a few words, compared without regard to case and spacing."""

    makes = ShortText
    accepted = Many(Text(200), "texts", 1, 50, load_default=())


class LikertShape(ItemShape):
    """`likert`: a scale from its first label (0 %) to its last (100 %), or reversed."""

    makes = Likert
    labels = Many(Text(100), "labels", 2, 11, required=True)
    direction = Choice("positive", "reversed", load_default="positive")
    trait = Text(60, load_default=None)

    @validates_schema
    def _no_figure(self, data: dict[str, Any], **_: Any) -> None:
        if data["trait"] in (SCORE, ANSWERED):
            raise ValidationError(f"should not be {SCORE} or {ANSWERED}", "trait")

    @post_load
    def _made(self, data: dict[str, Any], **more: Any) -> Item:
        data["reversed"] = data.pop("direction") == "reversed"
        item: Item = super()._made(data, **more)
        return item


_ITEM_SHAPES: dict[str, ItemShape] = {
    shape.makes.kind: shape
    for shape in (
        SingleChoiceShape(),
        MultipleChoiceShape(),
        TrueFalseShape(),
        NumericShape(),
        ShortTextShape(),
        LikertShape(),
    )
}


class ItemField(fields.Field[Item]):
    """An item of the shape that its `kind` names."""

    def _deserialize(self, value: Any, *_args: Any, **_more: Any) -> Item:
        if not isinstance(value, dict):
            raise ValidationError("should be a mapping of names to values")
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in _ITEM_SHAPES:
            raise ValidationError({"kind": [f"should be one of {', '.join(_ITEM_SHAPES)}"]})
        item: Item = _ITEM_SHAPES[kind].load(value)
        return item


class SectionShape(Shape):
    """One of a test's `sections`."""

    key = Key(required=True)
    title = Text(120, required=True)
    instructions = Text(10_000, lines=True, load_default="")
    weight = Number(0, 1000, load_default=Decimal(1))
    items = Many(ItemField(), "items", 1, MOST_ITEMS, required=True)

    @validates_schema
    def _can_be_scored(self, data: dict[str, Any], **_: Any) -> None:
        flaws = {index: item.flaw for index, item in enumerate(data["items"]) if item.flaw}
        if data["weight"] and flaws:
            index, (name, advice) = next(iter(flaws.items()))
            raise ValidationError({"items": {index: {name: [advice]}}})

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Section:
        return Section(**data | {"items": tuple(data["items"])})


class TestShape(Shape):
    """A test's content."""

    __test__ = False

    schema = Whole(1, 1, load_default=1)
    name = Text(120, required=True)
    description = Text(10_000, lines=True, load_default="")
    instructions = Text(10_000, lines=True, load_default="")
    time_limit = Whole(1, 1440, load_default=None)
    shuffle = Flag(load_default=False)
    grades = part(GradesShape, load_default=None)
    summaries = part(SummariesShape, load_default=None)
    sections = parts(SectionShape, "sections", 1, 50, required=True)

    @validates_schema
    def _agrees(self, data: dict[str, Any], **_: Any) -> None:
        unlike([section.key for section in data["sections"]], "sections")
        unlike([section.title for section in data["sections"]], "sections", "title")
        summaries_need_grades(data)
        _keys_are_unlike(data["sections"])
        if data["grades"] and not any(section.scored for section in data["sections"]):
            raise ValidationError("should be left out when no section is scored", "grades")

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> TestContent:
        del data["schema"]
        return TestContent(**data | {"sections": tuple(data["sections"])})


SCHEMA = TestShape()


def parse(content: Mapping[str, Any]) -> TestContent:
    """Return the typed test of a version's content; raise Invalid with the path of the error."""
    test: TestContent = load(content, SCHEMA)
    return test


def _keys_are_unlike(sections: list[Section]) -> None:
    seen: set[str] = set()
    for place, section in enumerate(sections):
        for index, item in enumerate(section.items):
            if item.key in seen:
                advice = {"key": ["is already used above; a key is unique in the test"]}
                raise ValidationError({"sections": {place: {"items": {index: advice}}}})
            seen.add(item.key)
