"""The parts that every type of item shares: the class, its schema, and the reading of a form.

A form sends the answer to an item in the field `answer`, with one or several values, or in fields
whose names begin with `answer.`, with one value each.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from marshmallow import post_load

from provider.core.kinds.assessment.items.stimulus import Stimulus, stimulus_field, stimulus_texts
from provider.core.kinds.assessment.text_folding import remove_invisible
from provider.core.markdown import (
    TextPart,
    literal_html,
    markdown_to_parts,
    markdown_to_text,
    render_markdown,
    shorten_parts,
)
from provider.core.products.schema_fields import (
    DocumentSchema,
    Flag,
    Integer,
    Key,
    ListOf,
    Number,
    Text,
    clean_text,
)
from provider.errors import Invalid
from provider.texts import gettext_noop

# The library is imported at the first use, as in `core/markdown.py`.
if TYPE_CHECKING:
    from markupsafe import Markup

ANSWER_FIELD = "answer"
FIELD_PREFIX = f"{ANSWER_FIELD}."
UNREADABLE = gettext_noop("This answer could not be read. Reload the page and answer again")
MAX_TEXT_LENGTH = 200  # characters of a short_text answer, and of a typed text that is kept
CORRECT, INCORRECT = Fraction(1), Fraction(0)
CORRECT_NOTE = "Correct"


class Reading(NamedTuple):
    """How a number that can mean two numbers was read. `numbers` are both, the read one first."""

    note: str
    numbers: tuple[str, str]


class OutlineRow(NamedTuple):
    """A line below the prompt in the preview for authors, in English.

    `note` is what only authors see of it.
    """

    text: str
    note: str = ""
    is_correct: bool = False


@dataclass(frozen=True, kw_only=True)
class Item(ABC):
    """One question of a test. An answer is a JSON value that `parse_answer` returned.

    `plain` says that the prompt is no Markdown: every character is shown as it was written.
    `wrong_points` are subtracted for an answer without any points. A blank answer costs nothing.
    `tags` are what a section draws items by. `shown_order` has the keys of the parts as one
    candidate sees them; it is empty in a document, and comes from the form of an attempt.
    """

    kind: ClassVar[str]
    needs_marking: ClassVar[bool] = False  # whether staff give the points
    takes_file: ClassVar[bool] = False  # whether the answer is a file
    key: str
    prompt: str
    points: Decimal = Decimal(1)
    wrong_points: Decimal = Decimal(0)
    required: bool = False
    plain: bool = False
    stimulus: tuple[Stimulus, ...] = ()
    tags: tuple[str, ...] = ()
    time_limit_seconds: int | None = None
    shown_order: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """The file name of the template with the item's form."""
        return f"{self.kind}.html"

    @property
    def prompt_html(self) -> "Markup":
        return literal_html(self.prompt) if self.plain else render_markdown(self.prompt)

    @property
    def prompt_text(self) -> str:
        """The prompt for tables and reports."""
        return self.prompt if self.plain else markdown_to_text(self.prompt)

    @property
    def prompt_parts(self) -> tuple[TextPart, ...]:
        """The prompt for tables and reports that show formulas; empty for one without formulas."""
        return () if self.plain else markdown_to_parts(self.prompt)

    def prompt_start(self, length: int) -> Iterator[TextPart]:
        """Yield the beginning of the prompt, for a list of questions."""
        return shorten_parts(self.prompt_parts or (TextPart(self.prompt_text),), length)

    def draw_order(self, seed: str, shuffle: bool) -> tuple[str, ...]:
        """Return the keys of the parts in the order that an attempt with this seed shows.

        Empty for an item whose parts have one order for everybody.
        """
        return ()

    @abstractmethod
    def parse_answer(self, raw: Mapping[str, Any]) -> Any:
        """Return the answer in a form; None for a blank one.

        Raises Invalid with a sentence for the candidate.
        """

    def typed_text(self, raw: Mapping[str, Any]) -> str | None:
        """Return the text of a form that is kept beside the answer, as it was typed.

        None for a blank, and for an item whose answer is all that was typed.
        """
        return None

    def reading(self, typed: str | None) -> Reading | None:
        """Return how a typed text was read; None for a text that has one meaning."""
        return None

    def find_problem(self, typed: str | None) -> Invalid | None:
        """Return the advice on a typed text that cannot be read; None for another."""
        return None

    @abstractmethod
    def score(self, value: Any) -> Fraction:
        """Return the share of the points that an answer earns, from 0 to 1."""

    def is_answered(self, value: Any) -> bool:
        """Tell whether an answer is complete. One that is not is saved, and the item is open."""
        return value is not None

    def points_for(self, value: Any) -> Fraction:
        """Return the points that an answer earns, below 0 for a wrong one; 0 for a blank."""
        if value is None:
            return INCORRECT
        share = self.score(value)
        if not share:
            return -Fraction(self.wrong_points) if self.wrong_points else INCORRECT
        # Most answers earn all or nothing, which needs no multiplication.
        return self.max_points if share == 1 else self.max_points * share

    @cached_property
    def max_points(self) -> Fraction:
        return Fraction(self.points)

    def trait_shares(self, value: Any) -> Iterator[tuple[str, Fraction]]:
        """Yield each trait that an answer tells about, with its share of the item's points."""
        yield from ()

    def format_typed(self, value: Any, typed: str | None) -> str:
        """Return an answer, and the typed text where the answer alone would hide something."""
        return "" if value is None else self.format_answer(value)

    def format_answer(self, value: Any) -> str:
        """Return an answer as the report shows it."""
        return str(value)

    @abstractmethod
    def form_fields(self, value: Any) -> list[tuple[str, str]]:
        """Return the fields, as names and values, that a form sends to give this answer again."""

    @abstractmethod
    def trial_answers(self) -> Iterator[Any]:
        """Yield answers. One of them earns the most points, and one the fewest."""

    @property
    def solution(self) -> str | None:
        """The right answer as the report shows it; None for an item without one."""
        return None

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        """The field that prevents scoring, and advice on it; None when scoring is possible."""
        return None

    def outline(self) -> Iterator[OutlineRow]:
        """Yield what the preview for authors shows of the item beside its prompt."""
        if self.solution:
            yield OutlineRow(self.solution, CORRECT_NOTE, is_correct=True)

    def markdown_texts(self) -> Iterator[tuple[str, str]]:
        """Yield each Markdown text of the item, with its path within the item."""
        if not self.plain:
            yield "prompt", self.prompt
        yield from stimulus_texts(self.stimulus)

    def text_warnings(self) -> Iterator[tuple[str, str]]:
        """Yield the path of each probably unintended text within the item, and its problem."""
        yield from ()


@dataclass(frozen=True, kw_only=True)
class OneFieldItem(Item):
    """An item whose form has the one field `answer`."""

    def parse_answer(self, raw: Mapping[str, Any]) -> Any:
        values = list(submitted_values(raw))
        return self._parse_values(values) if values else None

    def form_fields(self, value: Any) -> list[tuple[str, str]]:
        values = value if isinstance(value, list) else [value]
        return [(ANSWER_FIELD, to_text(form_value)) for form_value in values if value is not None]

    @abstractmethod
    def _parse_values(self, values: list[str]) -> Any:
        """Return the answer that the values mean; there is at least one, and none is blank."""


@dataclass(frozen=True, kw_only=True)
class KeyedFieldsItem(Item):
    """An item whose form has a field for each of its parts: `answer.KEY`.

    The answer is a mapping of the keys to the texts of the fields that are not blank.
    """

    @property
    @abstractmethod
    def field_keys(self) -> tuple[str, ...]:
        """The keys of the parts, in the order of the document."""

    def field_name(self, key: str) -> str:
        return f"{FIELD_PREFIX}{key}"

    def parse_answer(self, raw: Mapping[str, Any]) -> Any:
        names = {self.field_name(key) for key in self.field_keys}
        if any(name.startswith(FIELD_PREFIX) and name not in names for name in raw):
            raise Invalid(UNREADABLE)
        texts = {
            key: require_single(values)
            for key in self.field_keys
            if (values := list(submitted_values(raw, self.field_name(key))))
        }
        return self._parse_texts(texts) if texts else None

    def form_fields(self, value: Any) -> list[tuple[str, str]]:
        return [(self.field_name(key), text) for key, text in (value or {}).items()]

    @abstractmethod
    def _parse_texts(self, texts: dict[str, str]) -> Any:
        """Return the answer that the texts, by key, mean; there is at least one."""


class ItemSchema(DocumentSchema):
    """The fields that every item has."""

    item_class: type[Item]

    kind = Text(40, required=True)
    key = Key(required=True)
    prompt = Text(10_000, multiline=True, required=True)
    points = Number(0, 1000, is_minimum_exclusive=True, load_default=Decimal(1))
    required = Flag(load_default=False)
    plain = Flag(load_default=False)
    stimulus = stimulus_field()
    tags = ListOf(Key(), "tags", 1, 20, load_default=())
    time_limit_seconds = Integer(5, 86_400, load_default=None)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Item:
        del data["kind"]
        tuples = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return self.item_class(**data | tuples)


class SolvableItemSchema(ItemSchema):
    """An item whose answer can be wrong."""

    wrong_points = Number(0, 1000, load_default=Decimal(0))


class PartialItemSchema(SolvableItemSchema):
    """An item whose answer can be right in part."""

    # The metaclass takes the field out of the class, so marshmallow's own attribute stays as it is.
    partial = Flag(load_default=True)  # type: ignore[assignment]


@dataclass(frozen=True)
class ItemKind:
    """A type of item. `example` is a complete item of a product document."""

    schema: ItemSchema
    example: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.schema.item_class.kind


def submitted_values(raw: Mapping[str, Any], name: str = ANSWER_FIELD) -> Iterator[str]:
    """Yield the values of a field that are not blank, cleaned."""
    # A form is a MultiDict. JSON and tests give plain mappings.
    getlist = getattr(raw, "getlist", None)
    values = getlist(name) if getlist else raw.get(name)
    for value in values if isinstance(values, list) else [values]:
        text = to_text(value)
        if remove_invisible(text).strip():
            yield text


def to_text(value: Any) -> str:
    """Return a value of a form as text. Raises Invalid for a list or a mapping."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise Invalid(UNREADABLE)
    return clean_text(str(value))


def require_single(values: list[str]) -> str:
    if len(values) > 1:
        raise Invalid("Give one answer only")
    return values[0]


def repeated_texts(texts: list[str], path: str, problem: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the problem of each text that is in the list before it."""
    for index, text in enumerate(texts):
        if text in texts[:index]:
            yield path.format(index), problem
