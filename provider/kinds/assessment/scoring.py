"""How answers become a result: exact fractions inside, rounded once, where people read them.

Each item is worth its points times what its answer scores; unanswered is worth nothing. A
section's percentage is the share of its points, the total is the sections' by their weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from provider.kinds.assessment.content import ANSWERED, SCORE, Section, TestContent
from provider.kinds.assessment.items import Item, Likert
from provider.kinds.grading import number, percent
from provider.text import plain

Figure = int | float | str


@dataclass(frozen=True)
class SectionScore:
    """One section's figures; `percent` is None where nothing is scored; traits by name."""

    title: str
    percent: Decimal | None
    answered: int
    of: int
    traits: tuple[tuple[str, Decimal], ...] = ()

    @property
    def note(self) -> str:
        """How many items were answered, such as 4 of 5."""
        return f"{self.answered} of {self.of}"


@dataclass(frozen=True)
class Marked:
    """One item as the report shows it; `points` is None where the item is not scored."""

    section: str
    key: str
    prompt: str
    answer: str | None
    solution: str | None
    points: Decimal | None
    of: Decimal

    @property
    def worth(self) -> str:
        """The points as people read them, such as 1 of 2; empty where nothing is scored."""
        return "" if self.points is None else f"{number(self.points)} of {number(self.of)}"


@dataclass(frozen=True)
class Score:
    """A test's result: `percent` 0 to 100 with at most one decimal, None when nothing is scored."""

    percent: Decimal | None
    grade: str | None
    summary: str | None
    sections: tuple[SectionScore, ...]

    @property
    def details(self) -> dict[str, dict[str, Figure]]:
        """The figures of each section under its title, two levels, as the wire wants them."""
        return {section.title: dict(_details(section)) for section in self.sections}

    def figures(self) -> dict[str, Any]:
        """Return the bars of the report as JSON: label, percent 0 to 100, note."""
        return {"bars": [bar for section in self.sections for bar in _bars(section)]}


def score(content: TestContent, answers: Mapping[str, Any]) -> Score:
    """Score answers (item key to the value that `parse_answer` gave; None or absent is blank)."""
    total = _total(content, answers)
    grade = content.grades.of(total) if content.grades and total is not None else None
    summary = (content.summaries or {}).get(grade or "")
    sections = tuple(_section(section, answers) for section in content.sections)
    return Score(total, grade, summary, sections)


def marked(content: TestContent, answers: Mapping[str, Any]) -> tuple[Marked, ...]:
    """Return every item with its answer and points, in the test's order, for the report."""
    return tuple(
        _marked(section, item, answers.get(item.key))
        for section in content.sections
        for item in section.items
    )


def _total(content: TestContent, answers: Mapping[str, Any]) -> Decimal | None:
    scored = [section for section in content.sections if section.scored]
    if not scored:
        return None
    shares = [_share(section.items, answers) * Fraction(section.weight) for section in scored]
    weights = sum(section.weight for section in scored)
    return percent(sum(shares, Fraction(0)) / Fraction(weights))


def _share(items: Sequence[Item], answers: Mapping[str, Any]) -> Fraction:
    points = sum((Fraction(item.points) for item in items), Fraction(0))
    return sum((_gained(item, answers.get(item.key)) for item in items), Fraction(0)) / points


def _gained(item: Item, value: Any) -> Fraction:
    return Fraction(0) if value is None else Fraction(item.points) * item.score(value)


def _section(section: Section, answers: Mapping[str, Any]) -> SectionScore:
    answered = sum(answers.get(item.key) is not None for item in section.items)
    whole = percent(_share(section.items, answers)) if section.scored else None
    traits = tuple(_traits(section, answers))
    return SectionScore(section.title, whole, answered, len(section.items), traits)


def _traits(section: Section, answers: Mapping[str, Any]) -> Iterator[tuple[str, Decimal]]:
    # A trait describes: what was not answered says nothing about it, rather than 0.
    given: dict[str, list[Item]] = {}
    for item in section.items:
        if isinstance(item, Likert) and item.trait and answers.get(item.key) is not None:
            given.setdefault(item.trait, []).append(item)
    for trait, items in given.items():
        yield trait, percent(_share(items, answers))


def _details(section: SectionScore) -> Iterator[tuple[str, Figure]]:
    if section.percent is not None:
        yield SCORE, number(section.percent)
    yield ANSWERED, section.note
    for trait, value in section.traits:
        yield trait, number(value)


def _bars(section: SectionScore) -> Iterator[dict[str, Figure]]:
    if section.percent is not None:
        note = f"{section.note} answered"
        yield {"label": section.title, "percent": number(section.percent), "note": note}
    for trait, value in section.traits:
        yield {"label": trait, "percent": number(value), "note": section.title}


def _marked(section: Section, item: Item, value: Any) -> Marked:
    points = Decimal(0) if value is None else _rounded(_gained(item, value))
    return Marked(
        section=section.title,
        key=item.key,
        prompt=plain(item.prompt),
        answer=None if value is None else item.shown(value),
        solution=item.solution,
        points=points if section.scored else None,
        of=item.points,
    )


def _rounded(points: Fraction) -> Decimal:
    return percent(points / 10) / 10
