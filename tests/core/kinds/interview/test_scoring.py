"""How ratings of several reviewers are averaged, rounded and described."""

from fractions import Fraction
from typing import Any

import pytest

from provider.core.kinds.interview.content import InterviewContent, Scale, parse
from provider.core.kinds.interview.scoring import Ratings, build_result, rate_together

SCALE = Scale(1, 5, ("Poor", "Weak", "Fair", "Good", "Excellent"))


def content(**fields: Any) -> InterviewContent:
    questions = [{"key": "why", "text": "Why?"}, {"key": "how", "text": "How?"}]
    return parse({"name": "Two", "questions": questions} | fields)


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ((4,), 4),
        ((4, 5), 4.5),
        ((3, 4, 4), 3.67),
        ((3, 3, 4), 3.33),
        ((1, 1, 1, 1, 1, 1, 1, 2), 1.13),  # 1.125 is rounded up
        ((0, 0), 0),
    ],
)
def test_rounded_mean_has_two_decimals_rounded_half_up(
    values: tuple[int, ...], mean: float
) -> None:
    assert Ratings(values).rounded_mean == mean


def test_text_has_a_label_only_for_a_common_rating() -> None:
    assert Ratings((4,)).text(SCALE) == "4 of 5, Good"
    assert Ratings((4, 4)).text(SCALE) == "4 of 5, Good"
    assert Ratings((3, 5)).text(SCALE) == "4 of 5"
    assert Ratings((3, 4, 4)).text(SCALE) == "3.67 of 5"


def test_spread_names_lowest_and_highest_of_several() -> None:
    assert Ratings((4,)).spread_text == ""
    assert Ratings((5, 2, 4)).spread_text == "3 reviewers, from 2 to 5"


def test_rate_together_leaves_missing_ratings_out() -> None:
    assert rate_together([None, 3]) == Ratings((3,))
    assert rate_together([None, None]) is None


def test_score_is_exact_until_it_is_rounded_once() -> None:
    # The means are 3 2/3 and 3 1/3: rounded before, they would give 62.4 or 62.6.
    ratings = {"why": Ratings((3, 4, 4)), "how": Ratings((3, 3, 4))}
    assert (ratings["why"].mean + ratings["how"].mean) / 2 == Fraction(7, 2)
    result = build_result(content(), ratings, None, "", None)
    assert result.score == 62.5
    assert [bar["percent"] for bar in result.figures["bars"]] == [66.7, 58.3]


def test_details_have_means_spread_and_overall_rating() -> None:
    ratings = {"why": Ratings((3, 4, 4)), "how": Ratings((3, 3, 4))}
    details = build_result(content(), ratings, Ratings((2, 3)), "", None).details
    assert details == {
        "Ratings": {"1. Why?": 3.67, "2. How?": 3.33},
        "Lowest and highest ratings": {"1. Why?": "3 to 4", "2. How?": "3 to 4"},
        "Overall rating": 2.5,
    }


def test_overall_rating_does_not_change_the_score() -> None:
    ratings = {"why": Ratings((5,)), "how": Ratings((5,))}
    results = [
        build_result(content(), ratings, overall, "", None) for overall in (None, Ratings((1,)))
    ]
    assert [result.score for result in results] == [100, 100]
    assert "Lowest and highest ratings" not in results[0].details
