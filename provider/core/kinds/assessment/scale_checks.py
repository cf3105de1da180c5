"""The checks of a test's scales, norm groups and cut scores against its items.

Each raises ValidationError with the path of what is wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from marshmallow import ValidationError

from provider.core.kinds.assessment.cut_scores import RAW, CutScoreBasis, ScaleGrades
from provider.core.kinds.assessment.items import Item, Likert
from provider.core.kinds.assessment.norms import NormGroup
from provider.core.kinds.assessment.scale_scoring import scale_range
from provider.core.kinds.assessment.scales import ZERO, Scale
from provider.core.kinds.grading import Grades
from provider.core.products.schema_fields import require_unique


def check_scales(
    scales: Sequence[Scale], items: Mapping[str, Item], section_titles: Iterable[str]
) -> None:
    require_unique([scale.key for scale in scales], "scales")
    require_unique([scale.name for scale in scales], "scales", "name")
    titles = {title.casefold() for title in section_titles}
    for index, scale in enumerate(scales):
        if scale.name.casefold() in titles:  # both are labels in the details of a result
            raise _error("scales", index, {"name": ["is already the title of a section"]})
        _check_items(index, scale, items)


def check_norms(norms: Sequence[NormGroup], scales: Sequence[Scale]) -> None:
    require_unique([group.key for group in norms], "norms")
    require_unique([group.name for group in norms], "norms", "name")
    scale_keys = {scale.key for scale in scales}
    for index, group in enumerate(norms):
        for key in group.scales:
            if key not in scale_keys:
                raise _error("norms", index, {"scales": {key: ["is not the key of a scale"]}})


def check_grades(
    grades: Grades | None,
    scales: Sequence[Scale],
    norms: Sequence[NormGroup],
    items: Mapping[str, Item],
) -> None:
    """Check that the figure of the cut scores exists, and that it can be as high as they are."""
    if not isinstance(grades, ScaleGrades) or grades.on is None:
        return
    scale = next((scale for scale in scales if scale.key == grades.on.scale), None)
    if scale is None:
        raise ValidationError({"grades": {"on": {"scale": ["is not the key of a scale"]}}})
    highest = _highest_figure(grades.on, scale, norms, items)
    for grade, figure in grades.lowest_figures:
        if figure > highest:
            advice = f"cannot be reached: the highest figure is {float(highest):g}"
            raise ValidationError({"grades": {grade: [advice]}})


def _check_items(index: int, scale: Scale, items: Mapping[str, Item]) -> None:
    for item_index, entry in enumerate(scale.items):
        item = items.get(entry.key)
        advice: Any = None
        if item is None:
            advice = [f"{entry.key} is not the key of an item that every candidate answers"]
        elif item.scoring_problem:
            advice = [f"{entry.key} has no right answer, so it has no points"]
        elif entry.reversed is not None and not isinstance(item, Likert):
            advice = {"reversed": ["should be left out: only a likert item has two ends"]}
        elif scale.missing.rule == ZERO and isinstance(item, Likert):
            advice = ["should not be zero: the positions of a likert item begin with 1"]
            raise _error("scales", index, {"missing": {"rule": advice}})
        if advice:
            raise _error("scales", index, {"items": {item_index: advice}})


def _highest_figure(
    basis: CutScoreBasis, scale: Scale, norms: Sequence[NormGroup], items: Mapping[str, Item]
) -> Fraction:
    _, highest = scale_range(scale, items)
    if basis.measure == RAW:
        return highest
    groups = [
        group for group in norms if scale.key in group.scales and basis.norm in (None, group.key)
    ]
    if len(groups) != 1:
        problem = (
            "should be the key of a norm group that has this scale"
            if not groups
            else "should be provided: several norm groups have this scale"
        )
        raise ValidationError({"grades": {"on": {"norm": [problem]}}})
    return Fraction(groups[0].scales[scale.key].convert(highest).get(basis.measure))


def _error(name: str, index: int, advice: Any) -> ValidationError:
    return ValidationError({name: {index: advice}})
