"""Scoring: answers become percentages, a grade and the figures of a report.

An item earns its points times the score of its answer; a blank answer earns 0, and a wrong one may
cost points. The percentage of a section is its share of points, never below 0. The total is the
average of the sections, by weight; in a test whose scales have weights, that of the scales.
Fractions are exact; each percentage is rounded once, at the end (`to_percent` in
`core/kinds/grading.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from provider.core.formats import format_number
from provider.core.kinds.assessment.content import Section, TestContent
from provider.core.kinds.assessment.cut_scores import ScaleGrades
from provider.core.kinds.assessment.items import Item
from provider.core.kinds.assessment.items.traits import ANSWERED_LABEL, SCORE_LABEL
from provider.core.kinds.assessment.scale_figures import scale_details, scale_figures
from provider.core.kinds.assessment.scale_scoring import ScaleScore, overall_share
from provider.core.kinds.grading import sum_fractions, to_number, to_percent
from provider.core.markdown import TextPart
from provider.texts import gettext, lazy_gettext

Figure = int | float | str
RIGHT, PARTLY_RIGHT, WRONG = MARKS = ("right", "partly_right", "wrong")


@dataclass(frozen=True)
class SectionScore:
    """The figures of one section. `percent` is None for weight 0; `traits` are (name, percent)."""

    title: str
    percent: Decimal | None
    answered: int
    item_count: int
    traits: tuple[tuple[str, Decimal], ...] = ()

    @property
    def answered_text(self) -> str:
        """The number of answered items: `4 of 5`."""
        return f"{self.answered} of {self.item_count}"


@dataclass(frozen=True)
class ScoredItem:
    """One item as the report shows it. `points` is None in a section of weight 0.

    `answer` is None for a blank. It has a typed text that could not be read, without being
    answered.
    """

    section: str
    key: str
    prompt: str
    answer: str | None
    is_answered: bool
    solution: str | None
    points: Decimal | None
    max_points: Decimal
    file_id: str = ""
    prompt_parts: tuple[TextPart, ...] = ()

    @property
    def mark(self) -> str:
        """Whether the answer is right: one of MARKS.

        Empty for a blank, and for an item that is not scored or has no right answer.
        """
        if self.points is None or self.solution is None or not self.is_answered:
            return ""
        if self.points <= 0:
            return WRONG
        is_full = self.points >= _round_points(Fraction(self.max_points))
        return RIGHT if is_full else PARTLY_RIGHT

    @property
    def points_text(self) -> str:
        """The points as text: `1 of 2`. Empty for an item that is not scored."""
        return (
            ""
            if self.points is None
            else gettext(
                "%(points)s of %(max_points)s",
                points=format_number(to_number(self.points)),
                max_points=format_number(to_number(self.max_points)),
            )
        )


@dataclass(frozen=True)
class Score:
    """The result of a test. `percent` is 0 to 100; None for a test without scored sections.

    `points` are those of each scored item, by its key. `scale_figures` are kept with the result.
    """

    percent: Decimal | None
    grade: str | None
    summary: str | None
    sections: tuple[SectionScore, ...]
    scales: tuple[ScaleScore, ...] = ()
    points: Mapping[str, Decimal] = field(default_factory=dict)
    scale_figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def details(self) -> dict[str, dict[str, Figure]]:
        """The figures of each section by its title, and of each scale by its name.

        These are the two levels that the contract allows.
        """
        sections = {section.title: dict(_details(section)) for section in self.sections}
        return sections | dict(scale_details(self.scales))

    def figures(self) -> dict[str, Any]:
        """Return the bars of the report as JSON: label, percent (0 to 100), note or section.

        The note is a text that the report translates. A trait has the title of its section. The
        figures of scales are beside the bars.
        """
        bars = [bar for section in self.sections for bar in _bars(section)]
        return {"bars": bars, **self.scale_figures}


def score(
    content: TestContent,
    answers: Mapping[str, Any],
    marks: Mapping[str, Fraction] = MappingProxyType({}),
) -> Score:
    """Score answers: values of `parse_answer` by item key. None or an absent key is a blank.

    `marks` are the shares of the points, from 0 to 1, that staff gave to answers, by item key.
    """
    points = {
        item.key: Fraction(item.points) * marks[item.key]
        if item.needs_marking and item.key in marks
        else item.points_for(answers.get(item.key))
        for item in content.items
    }
    shares = {
        section.key: _section_share(section, points)
        for section in content.sections
        if section.is_scored
    }
    scales = tuple(scale.score(answers, points, content.norms) for scale in content.bound_scales)
    total = _total_share(content, shares, scales)
    percent = None if total is None else to_percent(total)
    grade = _find_grade(content, percent, scales)
    return Score(
        percent=percent,
        grade=grade,
        summary=(content.summaries or {}).get(grade or ""),
        sections=tuple(
            _score_section(section, answers, shares.get(section.key))
            for section in content.sections
        ),
        scales=scales,
        points={
            item.key: _round_points(points[item.key])
            for section in content.sections
            if section.is_scored
            for item in section.items
        },
        scale_figures=scale_figures(scales, content.norms, content.grades),
    )


def score_items(
    content: TestContent,
    answers: Mapping[str, Any],
    typed_texts: Mapping[str, str] = MappingProxyType({}),
    points: Mapping[str, Decimal] = MappingProxyType({}),
) -> tuple[ScoredItem, ...]:
    """Return each item with its points: those of `points`, by key, where it has the item."""
    return tuple(
        _score_item(
            section,
            item,
            answers.get(item.key),
            typed_texts.get(item.key),
            points.get(item.key),
        )
        for section in content.sections
        for item in section.items
    )


def _total_share(
    content: TestContent, shares: Mapping[str, Fraction], scales: Sequence[ScaleScore]
) -> Fraction | None:
    if any(scale.weight for scale in content.scales):
        return overall_share(scales)
    scored = [section for section in content.sections if section.is_scored]
    if not scored:
        return None
    weighted = [shares[section.key] * Fraction(section.weight) for section in scored]
    return sum(weighted, Fraction(0)) / Fraction(sum(section.weight for section in scored))


def _find_grade(
    content: TestContent, percent: Decimal | None, scales: Sequence[ScaleScore]
) -> str | None:
    grades, figure = content.grades, percent
    if isinstance(grades, ScaleGrades) and (basis := grades.on):
        [scale] = [scale for scale in scales if scale.scale.key == basis.scale]
        figure = scale.figure_for(basis)
    return grades.grade_for(figure) if grades and figure is not None else None


def _section_share(section: Section, points: Mapping[str, Fraction]) -> Fraction:
    earned = sum_fractions(points[item.key] for item in section.items)
    return max(Fraction(0), earned / section.max_points)


def _score_section(
    section: Section, answers: Mapping[str, Any], share: Fraction | None
) -> SectionScore:
    answered = sum(item.is_answered(answers.get(item.key)) for item in section.items)
    percent = None if share is None else to_percent(share)
    traits = tuple(_traits(section, answers))
    return SectionScore(section.title, percent, answered, len(section.items), traits)


def _traits(section: Section, answers: Mapping[str, Any]) -> Iterator[tuple[str, Decimal]]:
    # A blank answer does not count as 0: it tells nothing about the trait.
    earned_by_trait: dict[str, Fraction] = {}
    points_by_trait: dict[str, Fraction] = {}
    for item in section.items:
        value = answers.get(item.key)
        for trait, share in item.trait_shares(value) if value is not None else ():
            points = Fraction(item.points)
            earned_by_trait[trait] = earned_by_trait.get(trait, Fraction(0)) + share * points
            points_by_trait[trait] = points_by_trait.get(trait, Fraction(0)) + points
    for trait, earned in earned_by_trait.items():
        yield trait, to_percent(earned / points_by_trait[trait])


def _details(section: SectionScore) -> Iterator[tuple[str, Figure]]:
    if section.percent is not None:
        yield SCORE_LABEL, to_number(section.percent)
    yield ANSWERED_LABEL, section.answered_text
    for trait, value in section.traits:
        yield trait, to_number(value)


def _bars(section: SectionScore) -> Iterator[dict[str, Any]]:
    if section.percent is not None:
        note = lazy_gettext(
            "%(number)d of %(total)d answered", number=section.answered, total=section.item_count
        )
        percent = to_number(section.percent)
        yield {"label": section.title, "percent": percent, "note": note.to_json()}
    for trait, value in section.traits:
        yield {"label": trait, "percent": to_number(value), "section": section.title}


def _score_item(
    section: Section, item: Item, value: Any, typed: str | None, points: Decimal | None
) -> ScoredItem:
    if points is None:
        points = _round_points(item.points_for(value))
    return ScoredItem(
        section=section.title,
        key=item.key,
        prompt=item.prompt_text,
        answer=item.format_typed(value, typed) or None,
        is_answered=item.is_answered(value),
        solution=item.solution,
        points=points if section.is_scored else None,
        max_points=item.points,
        file_id=value["file"] if item.takes_file and value else "",
        prompt_parts=item.prompt_parts,
    )


def _round_points(points: Fraction) -> Decimal:
    return Decimal(points.numerator) if points.denominator == 1 else to_percent(points / 10) / 10
