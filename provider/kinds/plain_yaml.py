"""YAML that says only what JSON can: mappings, lists, text, numbers, true, false and null.

Read from the parser's events, so that a hostile file is refused while it is read: no anchors
(whose expansion could fill the memory), no tags, no deep nesting, no key twice. Only numbers in
the plain form are numbers: `No`, `10:30`, `007` and `2024-01-01` stay the text they look like.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from provider.errors import Invalid
from provider.kinds.fields import unprintable

MOST_BYTES = 1_000_000
_MOST_LEVELS = 12
_MOST_DIGITS = 30
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True}
_WORDS |= {"false": False, "False": False, "FALSE": False}
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


@dataclass(frozen=True)
class Tree:
    """One document of a file: its value, its first line, and the line of every path inside."""

    value: Any
    line: int
    lines: dict[str, int] = field(default_factory=dict)


def trees(text: str, origin: str) -> list[Tree]:
    """Return the documents of `text` that are not empty; raise Invalid with `origin` and line."""
    text = text.removeprefix("\ufeff")
    if len(text) > MOST_BYTES or len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise Invalid(f"{origin}: is too large; split it into files of at most 1 MB")
    place = unprintable(text)
    if place is not None:
        line = text.count("\n", 0, place) + 1
        raise Invalid(f"{origin} line {line}: holds a control character; remove it")
    try:
        return [tree for tree in _Reader(text, origin).trees() if tree.value is not None]
    except yaml.YAMLError as error:
        raise Invalid(_syntax(error, text, origin)) from error


def dump(value: dict[str, Any]) -> str:
    """Return YAML that `trees` reads back as an equal value; long text in readable blocks."""
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=96)


def below(path: str, step: str | int) -> str:
    """Return the path of what `step` (a name or a list's index) leads to."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


class _Reader:
    """Walks the parser's events once and keeps the line of each path."""

    def __init__(self, text: str, origin: str) -> None:
        self.origin = origin
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self.lines: dict[str, int] = {}

    def trees(self) -> Iterator[Tree]:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.lines = {}
                first = next(self.events)
                yield Tree(self.value(first, "", 0), _line(first), self.lines)

    def value(self, event: Any, path: str, level: int) -> Any:
        self.lines.setdefault(path, _line(event))
        self.refuse(event, path, level)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path, level + 1)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path, level + 1)
        return self.scalar(event, path)

    def mapping(self, path: str, level: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            name = self.name(event, path)
            if name in result:
                self.fail(event, below(path, name), "is given twice; keep one")
            self.lines[below(path, name)] = _line(event)
            result[name] = self.value(next(self.events), below(path, name), level)
        return result

    def sequence(self, path: str, level: int) -> list[Any]:
        result: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            result.append(self.value(event, below(path, len(result)), level))
        return result

    def name(self, event: Any, path: str) -> str:
        self.refuse(event, path, 0)
        if not isinstance(event, yaml.ScalarEvent):
            self.fail(event, path, "a name should be plain text, not a list or a mapping")
        if len(event.value) > 100 or unprintable(event.value) is not None:
            self.fail(event, path, "a name should be short and printable")
        return str(event.value)

    def scalar(self, event: Any, path: str) -> Any:
        if unprintable(event.value) is not None:
            self.fail(event, path, "holds a control character; remove it")
        if event.style or not event.implicit[0]:
            return event.value
        if event.value in _WORDS:
            return _WORDS[event.value]
        return self.number(event, path) if _NUMBER.fullmatch(event.value) else event.value

    def number(self, event: Any, path: str) -> int | float:
        if len(event.value) > _MOST_DIGITS:
            self.fail(event, path, "is too long for a number; put text in quotes")
        if event.value.lstrip("+-").isdigit():
            return int(event.value)
        number = float(event.value)
        if math.isinf(number):
            self.fail(event, path, "is too large for a number; put text in quotes")
        return number

    def refuse(self, event: Any, path: str, level: int) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            self.fail(
                event, path, "anchors and aliases are not read; put text with & or * in quotes"
            )
        if event.tag:
            self.fail(event, path, "tags are not read; put text that begins with ! in quotes")
        if level >= _MOST_LEVELS:
            self.fail(event, path, f"is nested more than {_MOST_LEVELS} levels deep")

    def fail(self, event: Any, path: str, problem: str) -> NoReturn:
        raise Invalid(f"{self.origin} line {_line(event)}{', ' if path else ''}{path}: {problem}")


class _Writer(yaml.SafeDumper):
    """Writes text so that our reader, whose plain forms are fewer than YAML's, reads it back."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if text in _WORDS or _NUMBER.fullmatch(text):
        style = "'"
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style)


_Writer.add_representer(str, _text)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _syntax(error: yaml.YAMLError, text: str, origin: str) -> str:
    mark = getattr(error, "problem_mark", None)
    lines = text.splitlines()
    number = min(mark.line + 1 if mark else 1, len(lines))  # an end is missed after the last line
    problem = getattr(error, "problem", None) or "is not YAML"
    return f"{origin} line {number}: {problem}; {_hint(lines[number - 1])}"


def _hint(line: str) -> str:
    if "\t" in line:
        return "use spaces, not tabs, to indent"
    return "check the indentation, and put text in quotes when it holds ': ' or begins with a sign"
