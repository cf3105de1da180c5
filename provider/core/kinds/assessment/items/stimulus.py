"""The stimulus of an item: what a question is about, in its parts.

A part is one of these mappings:

    {text: Markdown}
    {table: [[cell, …], …], header? (true), caption?}    cells are texts or numbers
    {picture: FILE, alt}
    {audio: FILE, transcript?}                           the transcript is Markdown
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.assessment.number_parsing import format_number
from provider.core.products.files import AUDIO, PICTURE, FileName, FileSlot
from provider.core.products.schema_fields import (
    DocumentSchema,
    Flag,
    ListOf,
    PartChoice,
    StrictField,
    Text,
    find_unprintable,
)

MAX_PARTS, MAX_ROWS, MAX_COLUMNS = 10, 100, 20
MAX_CELL_LENGTH = 500  # characters


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """One part of a stimulus. `kind` is the field of the document that it is known by."""

    kind: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class TextStimulus(Stimulus):
    """A text in Markdown."""

    kind = "text"
    text: str


@dataclass(frozen=True, kw_only=True)
class TableStimulus(Stimulus):
    """A table of texts. With `header` the first row names the columns."""

    kind = "table"
    table: tuple[tuple[str, ...], ...]
    header: bool = True
    caption: str = ""

    @property
    def head(self) -> tuple[str, ...]:
        return self.table[0] if self.header else ()

    @property
    def body(self) -> tuple[tuple[str, ...], ...]:
        return self.table[1:] if self.header else self.table


@dataclass(frozen=True, kw_only=True)
class PictureStimulus(Stimulus):
    """A picture, by the name of its file, and what it shows for those who do not see it."""

    kind = PICTURE
    picture: str
    alt: str


@dataclass(frozen=True, kw_only=True)
class AudioStimulus(Stimulus):
    """A sound, by the name of its file. The transcript is Markdown."""

    kind = AUDIO
    audio: str
    transcript: str = ""


class Cell(StrictField[str]):
    """A text, which may be empty, or a number."""

    def _parse(self, value: Any) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return format_number(Decimal(str(value)))
        if not isinstance(value, str):
            raise ValidationError("should be text or a number; put true or false in quotes")
        text = value.strip()
        if len(text) > MAX_CELL_LENGTH:
            raise ValidationError(f"should have at most {MAX_CELL_LENGTH} characters")
        if find_unprintable(text) is not None:
            raise ValidationError("should not hold control characters")
        return text


class AlternativeText(Text):
    """The words for a picture, which candidates who cannot see it hear instead."""

    ADVICE = "should say what the picture shows, for candidates who cannot see it"
    default_error_messages = {"required": ADVICE}  # noqa: RUF012

    def _parse(self, value: Any) -> str:
        if isinstance(value, str) and not value.strip():
            raise ValidationError(self.ADVICE)
        return super()._parse(value)


class StimulusSchema(DocumentSchema):
    """A part of a stimulus."""

    stimulus_class: type[Stimulus]

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Stimulus:
        return self.stimulus_class(**data)


class TextStimulusSchema(StimulusSchema):
    """A part with a `text`."""

    stimulus_class = TextStimulus

    text = Text(10_000, multiline=True, required=True)


class TableStimulusSchema(StimulusSchema):
    """A part with a `table`."""

    stimulus_class = TableStimulus

    table = ListOf(ListOf(Cell(), "cells", 1, MAX_COLUMNS), "rows", 1, MAX_ROWS, required=True)
    header = Flag(load_default=True)
    caption = Text(200, load_default="")

    @validates_schema
    def _require_equal_rows(self, data: dict[str, Any], **_: Any) -> None:
        width = len(data["table"][0])
        for index, row in enumerate(data["table"]):
            if len(row) != width:
                problem = f"should have {width} cells, as the first row has"
                raise ValidationError({"table": {index: [problem]}})
        if data["header"] and len(data["table"]) == 1:
            raise ValidationError("should have a row below the header", "table")

    @post_load
    def _build(self, data: dict[str, Any], **kwargs: Any) -> Stimulus:
        rows = tuple(tuple(row) for row in data["table"])
        table: Stimulus = super()._build(data | {"table": rows}, **kwargs)
        return table


class PictureStimulusSchema(StimulusSchema):
    """A part with a `picture`."""

    stimulus_class = PictureStimulus

    picture = FileName(required=True)
    alt = AlternativeText(1000, multiline=True, required=True)


class AudioStimulusSchema(StimulusSchema):
    """A part with an `audio`."""

    stimulus_class = AudioStimulus

    audio = FileName(required=True)
    transcript = Text(10_000, multiline=True, load_default="")


STIMULUS_SCHEMAS: dict[str, StimulusSchema] = {
    schema.stimulus_class.kind: schema
    for schema in (
        TextStimulusSchema(),
        TableStimulusSchema(),
        PictureStimulusSchema(),
        AudioStimulusSchema(),
    )
}


class StimulusField(PartChoice):
    """A part of a stimulus."""

    schemas = STIMULUS_SCHEMAS


def stimulus_field() -> ListOf:
    return ListOf(StimulusField(), "parts", 1, MAX_PARTS, load_default=())


def stimulus_texts(parts: tuple[Stimulus, ...]) -> Iterator[tuple[str, str]]:
    """Yield each Markdown text of a stimulus, with its path within the item."""
    for index, part in enumerate(parts):
        if isinstance(part, TextStimulus):
            yield f"stimulus[{index}].text", part.text
        if isinstance(part, AudioStimulus) and part.transcript:
            yield f"stimulus[{index}].transcript", part.transcript


def find_file_slots(content: dict[str, Any]) -> Iterator[FileSlot]:
    """Yield the places of a test's content that name files. The content may be incomplete."""
    for section_index, section in _mappings(content, "sections"):
        for item_index, item in _mappings(section, "items"):
            for index, part in _mappings(item, "stimulus"):
                path = f"sections[{section_index}].items[{item_index}].stimulus[{index}]"
                for name in (PICTURE, AUDIO):
                    if isinstance(part.get(name), str) and part[name]:
                        yield FileSlot(part, name, f"{path}.{name}")


def _mappings(node: dict[str, Any], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the entries of a list that are mappings, each with its index."""
    entries = node.get(name)
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            yield index, entry
