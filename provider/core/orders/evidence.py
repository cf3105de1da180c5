"""The evidence of a result, as text and numbers that a report can show unchanged."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from provider.texts import gettext, ngettext, text_from_json


class Bar(NamedTuple):
    """One bar of the chart. `percent` is from 0 to 100. `section` is that of a trait."""

    label: str
    percent: float
    note: str = ""
    section: str = ""


class BarGroup(NamedTuple):
    """A bar with the bars of its traits. `bar` is None for a section that has traits only."""

    label: str
    bar: Bar | None
    traits: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """The evidence of one result. A kind adds its own fields in a subclass.

    `sentence` is shown for a result without a summary. `facts` are (label, value). `cut_scores` are
    (grade, its lowest percentage). A report is the key of a cache, so every field must be hashable.
    `score_facts` are those of `facts` that a report without the score leaves out; `shows_score`
    says whether the score, the grade and the summary are shown.
    """

    sentence: str = ""
    bars: tuple[Bar, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    cut_scores: tuple[tuple[str, float], ...] = ()
    score_facts: tuple[tuple[str, str], ...] = ()
    shows_score: bool = True

    @classmethod
    def from_figures(cls, figures: Mapping[str, Any], **fields: Any) -> Self:
        """Build the evidence from the key `bars` of a result's figures, and from `fields`."""
        bars = (
            Bar(
                text_from_json(bar["label"]),
                bar["percent"],
                text_from_json(bar.get("note", "")),
                bar.get("section", ""),
            )
            for bar in figures.get("bars", ())
        )
        return cls(bars=tuple(bars), **fields)

    @property
    def bar_groups(self) -> tuple[BarGroup, ...]:
        """The bars in their order, traits under their section."""
        groups: list[BarGroup] = []
        for bar in self.bars:
            if not bar.section:
                groups.append(BarGroup(bar.label, bar))
                continue
            if not groups or groups[-1].label != bar.section:
                groups.append(BarGroup(bar.section, None))
            groups[-1] = groups[-1]._replace(traits=(*groups[-1].traits, bar))
        return tuple(groups)

    @property
    def overall_result(self) -> tuple[str, str] | None:
        """The headline of a result without a grade, as (label family, value)."""
        return None

    @property
    def picture_keys(self) -> tuple[str, ...]:
        """The media keys of the pictures in the PDF."""
        return ()

    def without_answers(self) -> Self:
        """Return the evidence without the questions and the candidate's answers."""
        return self

    def shown_at(self, places: Set[str]) -> Self:
        """Return what a reader of `places` may see: of REPORT, PDF and SHARED."""
        return self

    def pdf_fields(self, pictures: Mapping[str, bytes]) -> dict[str, Any]:
        """Return the JSON that the kind's `report.typ` reads. `pictures` are by media key."""
        return {}


def questions_answered_sentence(number: int, total: int) -> str:
    return gettext("%(number)d of %(total)d questions answered.", number=number, total=total)


def questions_answered_fact(number: int, total: int) -> tuple[str, str]:
    """Return the label and the value of a fact."""
    value = gettext("%(number)d of %(total)d", number=number, total=total)
    return gettext("Questions answered"), value


def late_answers_facts(late_seconds: Sequence[int | None]) -> list[tuple[str, str]]:
    """Return a fact about answers that were given in time and arrived after the end, if any.

    `late_seconds` has a number for each answer: of seconds after the end, or None.
    """
    late = [seconds for seconds in late_seconds if seconds is not None]
    if not late:
        return []
    value = ngettext(
        "%(num)d answer, at most %(seconds)d s late",
        "%(num)d answers, at most %(seconds)d s late",
        len(late),
        seconds=max(late),
    )
    return [(gettext("Given in time, arrived after the end"), value)]
