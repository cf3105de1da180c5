"""YAML restricted to the types of JSON: mappings, lists, text, numbers, true, false and null.

The reader works on the events of the parser, so it refuses a hostile file early. Anchors (whose
expansion could exhaust the memory), tags, deep nesting and duplicate keys are errors. Only plain
decimal numbers are numbers: `No`, `10:30`, `007` and `2024-01-01` are text.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from provider.core.products.odd_characters import find_odd_character, name_character
from provider.core.products.schema_fields import find_unprintable
from provider.errors import Invalid

MAX_DOCUMENT_BYTES = 1_000_000
_MAX_NESTING = 12  # levels
_MAX_NUMBER_LENGTH = 30  # characters
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_LITERALS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_LITERALS |= {"true": True, "True": True, "TRUE": True}
_LITERALS |= {"false": False, "False": False, "FALSE": False}
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


@dataclass(frozen=True)
class Tree:
    """One document of a file. `line_numbers` has the line of every path in it.

    `block_lines` has the first line of the text of every literal block (`|`).
    """

    value: Any
    line: int
    line_numbers: dict[str, int] = field(default_factory=dict)
    block_lines: dict[str, int] = field(default_factory=dict)


def parse_trees(text: str, source: str) -> list[Tree]:
    """Return the documents that are not empty. Raises Invalid with `source` and the line."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_DOCUMENT_BYTES or len(text.encode("utf-8", "replace")) > MAX_DOCUMENT_BYTES:
        raise Invalid(f"{source}: is too large; split it into files of at most 1 MB")
    position = find_unprintable(text)
    if position is not None:
        line = text.count("\n", 0, position) + 1
        raise Invalid(
            f"{source} line {line}: holds a control character, {name_character(text[position])}; "
            "remove it"
        )
    try:
        return [tree for tree in _Reader(text, source).read_trees() if tree.value is not None]
    except yaml.YAMLError as error:
        raise Invalid(_syntax_message(error, text, source)) from error


def dump(value: dict[str, Any] | list[Any]) -> str:
    """Return YAML that `parse_trees` reads as an equal value. Long text becomes a block."""
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=96)


def child_path(path: str, step: str | int) -> str:
    """Append a name or the index of a list to a path."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


class _Reader:
    """Builds the values from the events of the parser, and records the line of each path."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self.line_numbers: dict[str, int] = {}
        self.block_lines: dict[str, int] = {}

    def read_trees(self) -> Iterator[Tree]:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.line_numbers, self.block_lines = {}, {}
                first = next(self.events)
                value = self.read_value(first, "", 0)
                yield Tree(value, _line_number(first), self.line_numbers, self.block_lines)

    def read_value(self, event: Any, path: str, level: int) -> Any:
        self.line_numbers.setdefault(path, _line_number(event))
        self.reject_unsupported(event, path, level)
        if isinstance(event, yaml.MappingStartEvent):
            return self.read_mapping(path, level + 1)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.read_sequence(path, level + 1)
        return self.read_scalar(event, path)

    def read_mapping(self, path: str, level: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            name = self.read_name(event, path)
            if name in result:
                self.fail(event, child_path(path, name), "is given twice; keep one")
            self.line_numbers[child_path(path, name)] = _line_number(event)
            result[name] = self.read_value(next(self.events), child_path(path, name), level)
        return result

    def read_sequence(self, path: str, level: int) -> list[Any]:
        result: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            result.append(self.read_value(event, child_path(path, len(result)), level))
        return result

    def read_name(self, event: Any, path: str) -> str:
        self.reject_unsupported(event, path, 0)
        if not isinstance(event, yaml.ScalarEvent):
            self.fail(event, path, "a name should be plain text, not a list or a mapping")
        if len(event.value) > 100 or find_unprintable(event.value) is not None:
            self.fail(event, path, "a name should be short and printable")
        return str(event.value)

    def read_scalar(self, event: Any, path: str) -> Any:
        if find_unprintable(event.value) is not None:
            character = event.value[find_unprintable(event.value)]
            name = name_character(character)
            self.fail(event, path, f"holds a control character, {name}; remove it")
        if event.style == "|":
            self.block_lines[path] = _line_number(event) + 1
        if event.style or not event.implicit[0]:
            return event.value
        if event.value in _LITERALS:
            return _LITERALS[event.value]
        return self.parse_number(event, path) if _NUMBER.fullmatch(event.value) else event.value

    def parse_number(self, event: Any, path: str) -> int | float:
        if len(event.value) > _MAX_NUMBER_LENGTH:
            self.fail(event, path, "is too long for a number; put text in quotes")
        if event.value.lstrip("+-").isdigit():
            return int(event.value)
        number = float(event.value)
        if math.isinf(number):
            self.fail(event, path, "is too large for a number; put text in quotes")
        return number

    def reject_unsupported(self, event: Any, path: str, level: int) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            self.fail(
                event, path, "anchors and aliases are not read; put text with & or * in quotes"
            )
        if event.tag:
            self.fail(event, path, "tags are not read; put text that begins with ! in quotes")
        if level >= _MAX_NESTING:
            self.fail(event, path, f"is nested more than {_MAX_NESTING} levels deep")

    def fail(self, event: Any, path: str, problem: str) -> NoReturn:
        raise Invalid(
            f"{self.source} line {_line_number(event)}{', ' if path else ''}{path}: {problem}"
        )


class _Writer(yaml.SafeDumper):
    """Quotes text that `_Reader` would read as another type."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _represent_text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if text in _LITERALS or _NUMBER.fullmatch(text):
        style = "'"
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style)


_Writer.add_representer(str, _represent_text)


def _line_number(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _syntax_message(error: yaml.YAMLError, text: str, source: str) -> str:
    mark = getattr(error, "problem_mark", None)
    lines = text.splitlines()
    # A missing end is reported after the last line.
    number = min(mark.line + 1 if mark else 1, len(lines))
    problem = getattr(error, "problem", None) or "is not YAML"
    return f"{source} line {number}: {problem}; {_hint(lines, number)}"


def _hint(lines: list[str], number: int) -> str:
    # The parser stops at the line of the character, or at one of the next lines.
    odd = find_odd_character(lines, (number, number - 1, number - 2))
    if "\t" in lines[number - 1]:
        return f"use spaces, not tabs, to indent{f' ({odd})' if odd else ''}"
    if odd:
        return f"{odd}; write a plain space, quote or colon instead"
    return "check the indentation, and put text in quotes when it holds ': ' or begins with a sign"
