"""The figures of scales as JSON: in the details that an ATS gets, and kept with the result.

What is kept has everything that a report shows, so that a later rule of scoring changes no report:

    value, lowest, highest      the figure of the scale and its range; value is None without one
    percent                     the place of the figure in its range, from 0 to 100
    answered, total             how many items have an answer, and how many there are
    normed_by                   the places in `groups` of those that have a norm of this scale
    norms                       [{group, measures}]: the place of a group, and the figures of each
                                measure; empty for a scale without a figure
    cuts                        {group?, measure, grades: {grade: figure}}, where the grade depends
                                on this scale

    groups                      [{name, n, source, measures}]: of a test, beside its `scales`
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from provider.core.kinds.assessment.cut_scores import RAW, ScaleGrades
from provider.core.kinds.assessment.norms import MEASURES, NormGroup, round_decimals
from provider.core.kinds.assessment.scale_scoring import RAW_DECIMALS, ScaleScore
from provider.core.kinds.grading import Grades, to_number

Figure = int | float | str
# The keys of a scale's figures in the details.
RAW_LABEL, ANSWERED_LABEL = "Score", "Answered"
DETAIL_LABELS = {"percentile": "Percentile", "sten": "Sten", "T": "T score", "z": "z score"}


def scale_details(scores: Iterable[ScaleScore]) -> Iterator[tuple[str, dict[str, Figure]]]:
    """Yield the name of each scale with its figures. A label of a norm names its group and n."""
    for score in scores:
        figures: dict[str, Figure] = {}
        if score.raw is not None:
            figures[RAW_LABEL] = to_number(score.raw)
        figures[ANSWERED_LABEL] = f"{score.answered} of {len(score.scale.items)}"
        for group, normed in score.norms:
            for measure in group.measures:
                label = f"{DETAIL_LABELS[measure]}, {group.name} (n = {group.n})"
                figures[label] = _to_json(normed.get(measure))
        yield score.scale.name, figures


def scale_figures(
    scores: Sequence[ScaleScore], norms: Sequence[NormGroup], grades: Grades | None
) -> dict[str, Any]:
    """Return what is kept with the result; empty for a test without scales."""
    if not scores:
        return {}
    return {
        "scales": [_figures(score, norms, grades) for score in scores],
        "groups": [
            {
                "name": group.name,
                "n": group.n,
                "source": group.source,
                "measures": list(group.measures),
            }
            for group in norms
        ],
    }


def _figures(
    score: ScaleScore, norms: Sequence[NormGroup], grades: Grades | None
) -> dict[str, Any]:
    numbers = {group.key: number for number, group in enumerate(norms)}
    normed_by = [numbers[group.key] for group in norms if score.scale.key in group.scales]
    figures: dict[str, Any] = {
        "name": score.scale.name,
        "value": None if score.raw is None else to_number(score.raw),
        "lowest": _round_range(score.lowest),
        "highest": _round_range(score.highest),
        "percent": None if score.percent is None else to_number(score.percent),
        "answered": score.answered,
        "total": len(score.scale.items),
        "normed_by": normed_by,
        "norms": [
            {
                "group": numbers[norm.group.key],
                "measures": {name: _to_json(norm.figures.get(name)) for name in MEASURES},
            }
            for norm in score.norms
        ],
    }
    if isinstance(grades, ScaleGrades) and grades.on and grades.on.scale == score.scale.key:
        figures["cuts"] = {
            "measure": grades.on.measure,
            "grades": {grade: to_number(figure) for grade, figure in grades.lowest_figures},
        }
        if grades.on.measure != RAW:
            group = numbers[grades.on.norm] if grades.on.norm else normed_by[0]
            figures["cuts"]["group"] = group
    return figures


def _round_range(value: Fraction) -> int | float:
    return to_number(round_decimals(value, RAW_DECIMALS))


def _to_json(value: int | Decimal) -> int | float:
    return value if isinstance(value, int) else to_number(value)
