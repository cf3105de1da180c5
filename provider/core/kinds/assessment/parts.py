"""The parts of a test: where a candidate can go back, and where not.

Sections among which a candidate moves freely are one part together. A section is a part of its own
with a time limit, with navigation forward, or for practice; a break ends a part. A part that the
candidate has left cannot be opened again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.items import Item
from provider.core.kinds.assessment.sections import FORWARD, Section


@dataclass(frozen=True)
class Part:
    """One part. `first` and `last` are the numbers of its questions in the form, from 1."""

    index: int
    sections: tuple[Section, ...]
    first: int
    last: int
    is_forward: bool = False

    @property
    def is_practice(self) -> bool:
        return self.sections[0].practice

    @property
    def time_limit_seconds(self) -> int:
        """The limit of the part itself; 0 for none."""
        return (self.sections[0].time_limit or 0) * 60

    @property
    def break_seconds(self) -> int:
        """The length of the break after the part; 0 for none."""
        return self.sections[-1].break_minutes * 60

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(item for section in self.sections for item in section.items)

    @property
    def opens_by_itself(self) -> bool:
        """Whether nothing must be read before the first question."""
        return not self.is_practice and not self.time_limit_seconds

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def item(self, number: int) -> Item:
        return self.find(number)[1]

    def find(self, number: int) -> tuple[Section, Item]:
        """Return a question of this part, and its section."""
        index = number - self.first
        for section in self.sections:
            if index < len(section.items):
                return section, section.items[index]
            index -= len(section.items)
        raise IndexError(number)

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last


class Structure(NamedTuple):
    """The facts about the parts that a candidate reads before the start."""

    has_parts: bool
    is_forward: bool
    has_practice: bool
    has_breaks: bool


def describe_structure(parts: Sequence[Part]) -> Structure:
    return Structure(
        has_parts=len(parts) > 1,
        is_forward=any(part.is_forward for part in parts),
        has_practice=any(part.is_practice for part in parts),
        has_breaks=any(part.break_seconds for part in parts),
    )


def split_parts(content: TestContent) -> tuple[Part, ...]:
    """Return the parts of a candidate's test, in order."""
    parts: list[Part] = []
    first = 1
    for sections in _group_sections(content):
        last = first + sum(len(section.items) for section in sections) - 1
        is_forward = _navigation(content, sections[0]) == FORWARD
        parts.append(Part(len(parts), tuple(sections), first, last, is_forward))
        first = last + 1
    return tuple(parts)


def _group_sections(content: TestContent) -> Iterator[list[Section]]:
    group: list[Section] = []
    for section in content.sections:
        if group and (_is_alone(content, section) or _is_alone(content, group[-1])):
            yield group
            group = []
        group.append(section)
        if section.break_minutes:
            yield group
            group = []
    if group:
        yield group


def _is_alone(content: TestContent, section: Section) -> bool:
    is_limited = section.practice or section.time_limit is not None
    return is_limited or _navigation(content, section) == FORWARD


def _navigation(content: TestContent, section: Section) -> str:
    return section.navigation or content.navigation
