"""The result of a test: made from its answers, and compared with an earlier one."""

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from provider.core.kinds.assessment import scoring
from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.retakes import ATTEMPT_LABEL
from provider.core.orders import Result
from provider.core.products import ProductVersion
from provider.texts import gettext_noop

# Of a result that another one replaced: its answers and typed texts by item, and its form.
ANSWERS_FIGURE = "answers"
POINTS_FIGURE = "points"  # of a result's figures: the points of each scored item, by its key
VERSION_FIGURE = "version"  # the number of the version whose keys made the result
SAME_RESULT_MESSAGE = gettext_noop("The result stays the same")


def build_result(
    version: ProductVersion,
    content: TestContent,
    answers: Mapping[str, Any],
    marks: Mapping[str, Fraction] = MappingProxyType({}),
) -> Result:
    """Return the result of answers by item key, scored by the content of a version.

    `marks` are as in `scoring.score`.
    """
    scored = scoring.score(content, answers, marks)
    # A later rule of scoring must not change the points that a report shows.
    points = {key: str(number) for key, number in scored.points.items()}
    return Result(
        score=None if scored.percent is None else float(scored.percent),
        grade=scored.grade,
        summary=scored.summary or "",
        details=scored.details,
        figures=scored.figures() | {POINTS_FIGURE: points, VERSION_FIGURE: version.number},
    )


def is_same_result(result: Result, other: Result) -> bool:
    """Whether another result says the same. Figures that `result` was made without do not count.

    Nor does what the details say about the person's other attempts.
    """
    is_equal = all(
        getattr(result, name) == getattr(other, name) for name in ("score", "grade", "summary")
    ) and _without_attempt(result.details) == _without_attempt(other.details)
    return is_equal and all(
        other.figures.get(name) == result.figures[name]
        for name in ("bars", "scales", "groups", POINTS_FIGURE)
        if name in result.figures
    )


def _without_attempt(details: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if name != ATTEMPT_LABEL}


def find_scored_version(version: ProductVersion, figures: Mapping[str, Any]) -> ProductVersion:
    """Return the version whose keys made a result; that of the order for results without it."""
    number = figures.get(VERSION_FIGURE, version.number)
    if number == version.number:
        return version
    return next(other for other in version.product.versions if other.number == number)
