"""The profile of scales in a report: text and numbers, for the page and the PDF alike.

The axis of a norm group is z from -3 to 3. Positions on an axis are percentages of its width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp
from statistics import NormalDist
from typing import Any, NamedTuple

from provider.core.formats import format_number
from provider.core.kinds.assessment.cut_scores import RAW
from provider.core.kinds.assessment.norms import PERCENTILE, STEN, T_SCORE, Z_SCORE
from provider.core.labels import label_for
from provider.texts import gettext
from provider.texts import lazy_gettext as _

# A curve of a smaller group would claim more than is known about it.
MIN_CURVE_GROUP_SIZE = 100
AXIS_END = 3  # z at the right end
CURVE_POINT_COUNT = 61
MEASURE_LABELS = {
    RAW: _("Score"),
    PERCENTILE: _("Percentile"),
    STEN: _("Sten"),
    T_SCORE: _("T score"),
    Z_SCORE: _("z score"),
}
# The figures at z from -2 to 2, by measure.
_AXIS_FIGURES = {
    PERCENTILE: (2, 16, 50, 84, 98),
    STEN: (1.5, 3.5, 5.5, 7.5, 9.5),
    T_SCORE: (30, 40, 50, 60, 70),
    Z_SCORE: (-2, -1, 0, 1, 2),
}


class AxisMark(NamedTuple):
    """A label at a position of the axis."""

    label: str
    position: float


class ScaleRow(NamedTuple):
    """One scale. `position` is None for a scale without a figure, whose `note` says why.

    `figures` are (label, number) of the measures. `cuts` are the cut scores on the axis.
    """

    label: str
    value: str
    note: str
    position: float | None
    figures: tuple[tuple[str, str], ...] = ()
    cuts: tuple[AxisMark, ...] = ()


@dataclass(frozen=True)
class ScaleProfile:
    """The scales that a norm group has, or those that none has: then `group` is empty."""

    rows: tuple[ScaleRow, ...]
    group: str = ""
    source: str = ""
    axis: tuple[AxisMark, ...] = ()
    axis_label: str = ""
    has_curve: bool = False

    @property
    def title(self) -> str:
        if not self.group:
            return gettext("Scales")
        return gettext("Compared with %(group)s", group=self.group)

    @property
    def curve(self) -> tuple[tuple[float, float], ...]:
        """The bell curve as (x, y) in percent, y from the top; empty for a small group."""
        return bell_curve() if self.has_curve else ()

    @property
    def description(self) -> str:
        """The alternative text of the chart, for screen readers."""
        return f"{self.title}: {'; '.join(map(_describe_row, self.rows))}."


@cache
def bell_curve() -> tuple[tuple[float, float], ...]:
    """Return the density of the normal distribution from z = -3 to 3, with its top at y = 0."""
    last = CURVE_POINT_COUNT - 1
    zs = [AXIS_END * (2 * index / last - 1) for index in range(CURVE_POINT_COUNT)]
    return tuple((round(_position(z), 2), round(100 - 100 * exp(-z * z / 2), 2)) for z in zs)


def build_profiles(figures: Mapping[str, Any]) -> tuple[ScaleProfile, ...]:
    """Return a profile for each norm group, and one for the scales that no group has.

    `figures` are those that `scale_figures` has kept.
    """
    scales = figures.get("scales", ())
    profiles = []
    for number, group in enumerate(figures.get("groups", ())):
        if rows := tuple(_normed_rows(scales, number, group["measures"])):
            measure = group["measures"][0]
            profiles.append(
                ScaleProfile(
                    rows=rows,
                    group=format_group(group),
                    source=group["source"],
                    axis=tuple(_axis_marks(measure)),
                    axis_label=str(MEASURE_LABELS[measure]),
                    has_curve=group["n"] >= MIN_CURVE_GROUP_SIZE,
                )
            )
    if plain := [scale for scale in scales if not scale["normed_by"]]:
        profiles.append(ScaleProfile(tuple(map(_plain_row, plain))))
    return tuple(profiles)


def cut_score_facts(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the label and the value of a fact, where the grade depends on a scale."""
    for scale in figures.get("scales", ()):
        cuts = scale.get("cuts")
        if not cuts:
            continue
        measure = str(MEASURE_LABELS[cuts["measure"]])
        if (number := cuts.get("group")) is not None:
            measure = f"{measure}, {format_group(figures['groups'][number])}"
        text = "; ".join(_cut_label(grade, figure) for grade, figure in cuts["grades"].items())
        yield gettext("Cut scores on %(scale)s", scale=scale["name"]), f"{text} ({measure})"


def format_group(group: Mapping[str, Any]) -> str:
    """Return the name of a norm group and its number of people: `UK adults, n = 812`."""
    return gettext("%(group)s, n = %(n)s", group=group["name"], n=format_number(group["n"]))


def _plain_row(scale: Mapping[str, Any]) -> ScaleRow:
    marks = []
    if scale.get("cuts", {}).get("measure") == RAW:
        width = scale["highest"] - scale["lowest"]
        for grade, figure in scale["cuts"]["grades"].items():
            position = _limit(100 * (figure - scale["lowest"]) / width)
            marks.append(AxisMark(_cut_label(grade, figure), round(position, 2)))
    return ScaleRow(scale["name"], _value(scale), _note(scale), scale["percent"], (), tuple(marks))


def _normed_rows(
    scales: Sequence[Mapping[str, Any]], number: int, measures: Sequence[str]
) -> Iterator[ScaleRow]:
    for scale in scales:
        if number not in scale["normed_by"]:
            continue
        norms = [norm["measures"] for norm in scale["norms"] if norm["group"] == number]
        cuts = scale.get("cuts", {})
        has_cuts = cuts.get("group") == number
        yield ScaleRow(
            label=scale["name"],
            value=_value(scale),
            note=_note(scale),
            position=round(_position(norms[0][Z_SCORE]), 2) if norms else None,
            figures=tuple(
                (str(MEASURE_LABELS[name]), format_number(norm[name]))
                for norm in norms
                for name in measures
            ),
            cuts=tuple(_normed_cuts(cuts)) if has_cuts else (),
        )


def _normed_cuts(cuts: Mapping[str, Any]) -> Iterator[AxisMark]:
    for grade, figure in cuts["grades"].items():
        z = _lowest_z(cuts["measure"], figure)
        yield AxisMark(_cut_label(grade, figure), round(_position(z), 2))


def _lowest_z(measure: str, figure: float) -> float:
    """Return the lowest z whose rounded measure is `figure`."""
    if measure == PERCENTILE:
        return NormalDist().inv_cdf((figure - 0.5) / 100)
    if measure == STEN:
        return (figure - 0.5 - 5.5) / 2
    return (figure - 0.5 - 50) / 10 if measure == T_SCORE else figure - 0.005


def _cut_label(grade: str, figure: float) -> str:
    return gettext(
        "%(grade)s from %(percent)s",
        grade=label_for("grade", grade),
        percent=format_number(figure),
    )


def _axis_marks(measure: str) -> Iterator[AxisMark]:
    for z, figure in zip(range(-2, 3), _AXIS_FIGURES[measure], strict=True):
        yield AxisMark(format_number(figure), round(_position(z), 2))


def _position(z: float) -> float:
    return _limit(50 + 50 * z / AXIS_END)


def _limit(position: float) -> float:
    return min(100.0, max(0.0, position))


def _value(scale: Mapping[str, Any]) -> str:
    return "" if scale["value"] is None else format_number(scale["value"])


def _note(scale: Mapping[str, Any]) -> str:
    answered = gettext(
        "%(number)d of %(total)d answered", number=scale["answered"], total=scale["total"]
    )
    if scale["value"] is None:
        return gettext("No score: %(answered)s", answered=answered)
    ends = gettext(
        "from %(lowest)s to %(highest)s",
        lowest=format_number(scale["lowest"]),
        highest=format_number(scale["highest"]),
    )
    return ends if scale["answered"] == scale["total"] else f"{ends}; {answered}"


def _describe_row(row: ScaleRow) -> str:
    figures = [f"{label} {number}" for label, number in row.figures]
    return f"{row.label} {', '.join([row.value or row.note, *figures])}"
