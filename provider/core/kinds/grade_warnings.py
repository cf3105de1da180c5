"""Warnings on grades that no candidate can get, for every kind that is scored."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from provider.core.kinds.grading import Grades
from provider.core.products.documents import DocumentWarning


def find_grade_warnings(
    grades: Grades | None,
    summaries: Mapping[str, Any] | None,
    lowest: Decimal = Decimal(0),
    highest: Decimal = Decimal(100),
) -> Iterator[DocumentWarning]:
    """Yield a warning for each cut score and summary that concerns nobody.

    `lowest` and `highest` are the percentages of the worst and of the best answers.
    """
    if grades is None:
        return
    reachable = {grades.grade_for(lowest), grades.grade_for(highest)}
    if grades.passed <= lowest:
        problem = f"nobody can fail, because the worst answers get {lowest} %"
        yield DocumentWarning("grades.passed", problem)
    for name, cut_score in (("passed", grades.passed), ("excelled", grades.excelled)):
        if cut_score is not None and cut_score > highest:
            problem = f"nobody can reach it, because the best answers get {highest} %"
            yield DocumentWarning(f"grades.{name}", problem)
    if "failed" in reachable and "excelled" in reachable:
        reachable.add("passed")
    for name in summaries or {}:
        if name not in reachable:
            yield DocumentWarning(f"summaries.{name}", "is never shown: nobody gets this grade")
