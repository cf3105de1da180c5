"""How the ratings of reviewers become the result of an interview.

The score is exact until its last step: each question counts with the mean of its ratings, and only
the percentage of all questions is rounded, half up, to one decimal. A mean that people or the ATS
see is rounded half up to two decimals. The overall rating does not change the score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from provider.core.formats import cut_at_word
from provider.core.kinds import grading
from provider.core.kinds.interview.content import InterviewContent, Scale
from provider.core.labels import MAX_DETAIL_LABEL_LENGTH
from provider.core.orders import Result
from provider.texts import LazyText, lazy_gettext, ngettext


@dataclass(frozen=True)
class Ratings:
    """The ratings of one thing by the reviewers whose scorecards count; at least one."""

    values: tuple[int, ...]

    @property
    def mean(self) -> Fraction:
        return Fraction(sum(self.values), len(self.values))

    @property
    def rounded_mean(self) -> int | float:
        """The mean with at most two decimals, rounded half up: 4, or 4.33."""
        return grading.to_number(
            Decimal(grading.round_half_up(self.mean.numerator * 100, self.mean.denominator)) / 100
        )

    def note(self, scale: Scale) -> LazyText:
        """Return the mean without a label: `4.33 of 5`."""
        if len(self.values) == 1:
            return scale.rating_note(self.values[0])
        return lazy_gettext(
            "%(number)s of %(total)d", number=str(self.rounded_mean), total=scale.max
        )

    def text(self, scale: Scale) -> str:
        """Return the mean as text. Only a rating that all have in common has a label."""
        if len(set(self.values)) == 1:
            return scale.rating_text(self.values[0])
        return str(self.note(scale))

    @property
    def spread_text(self) -> str:
        """The lowest and the highest rating as text; empty for one reviewer."""
        if len(self.values) == 1:
            return ""
        return ngettext(
            "%(num)d reviewer, from %(lowest)d to %(highest)d",
            "%(num)d reviewers, from %(lowest)d to %(highest)d",
            len(self.values),
            lowest=min(self.values),
            highest=max(self.values),
        )


def rate_together(values: Sequence[int | None]) -> Ratings | None:
    """Return the ratings that were given; None without any."""
    given = tuple(value for value in values if value is not None)
    return Ratings(given) if given else None


def build_result(
    content: InterviewContent,
    ratings: Mapping[str, Ratings],
    overall: Ratings | None,
    summary: str,
    duration: int | None,
) -> Result:
    """Score the ratings: the lowest is 0 %, the highest 100 %, a question without one 0 %."""
    scale = content.scale
    shares = {
        question.key: (ratings[question.key].mean - scale.min) / (scale.max - scale.min)
        if question.key in ratings
        else Fraction(0)
        for question in content.questions
    }
    percent = grading.to_percent(sum(shares.values(), Fraction(0)) / len(shares))
    grade = content.grades.grade_for(percent) if content.grades else None
    bars = [
        {
            "label": lazy_gettext("Question %(number)d", number=number).to_json(),
            "percent": float(grading.to_percent(shares[question.key])),
            "note": ratings[question.key].note(scale).to_json()
            if question.key in ratings
            else lazy_gettext("no answer").to_json(),
        }
        for number, question in enumerate(content.questions, 1)
    ]
    return Result(
        score=float(percent),
        grade=grade,
        summary=summary or (content.summaries or {}).get(grade or "") or "",
        details=_build_details(content, ratings, overall),
        figures={"bars": bars},
        duration=duration,
    )


def _build_details(
    content: InterviewContent, ratings: Mapping[str, Ratings], overall: Ratings | None
) -> dict[str, Any]:
    rated = {
        cut_at_word(question.numbered_text(number), MAX_DETAIL_LABEL_LENGTH): ratings[question.key]
        for number, question in enumerate(content.questions, 1)
        if question.key in ratings
    }
    details: dict[str, Any] = {
        "Ratings": {label: rating.rounded_mean for label, rating in rated.items()}
    }
    if any(len(rating.values) > 1 for rating in rated.values()):
        details["Lowest and highest ratings"] = {
            label: f"{min(rating.values)} to {max(rating.values)}"
            for label, rating in rated.items()
        }
    if overall:
        details["Overall rating"] = overall.rounded_mean
    return details
