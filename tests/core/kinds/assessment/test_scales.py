"""Scales, norm groups and cut scores: figures reckoned by hand, and by an independent scorer."""

import json
import random
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import event, given, settings

from provider.core.kinds.assessment import content, scoring
from provider.core.kinds.assessment.norms import NormalNorm, TableNorm
from provider.core.kinds.assessment.results import POINTS_FIGURE
from provider.core.kinds.assessment.scale_profile import (
    bell_curve,
    build_profiles,
    cut_score_facts,
)
from provider.core.products.documents import Document, parse_documents, to_yaml
from provider.core.products.samples import load_sample_documents
from provider.errors import Invalid
from tests.core.kinds.assessment import slow_scorer
from tests.core.kinds.assessment.generated_tests import attempts

Json = dict[str, Any]
LABELS = ["Never", "Rarely", "Sometimes", "Often", "Always"]
# An invented group.
ADULTS: Json = {
    "key": "adults",
    "name": "Adults",
    "n": 812,
    "scales": {"calm": {"mean": 9, "sd": 2}},
}


def survey(**more: Any) -> Json:
    """Return a test of three statements and a question, with the scale Calm."""
    statements = [
        {"kind": "likert", "key": f"c{number}", "prompt": "?", "labels": LABELS}
        for number in (1, 2, 3)
    ]
    question = {"kind": "true_false", "key": "q", "prompt": "?", "answer": True, "points": 4}
    section = {"key": "s", "title": "Statements", "weight": 0, "items": [*statements, question]}
    calm: Json = {
        "key": "calm",
        "name": "Calm",
        "items": ["c1", {"key": "c2", "reversed": True}, "c3"],
    }
    return {"name": "Survey", "sections": [section], "scales": [calm]} | more


def changed(**fields: Any) -> Json:
    """Return the survey with other fields of its scale."""
    test = survey()
    test["scales"][0] |= fields
    return test


def score(test: Json, answers: Mapping[str, Any]) -> scoring.Score:
    return scoring.score(content.parse(test), answers)


def calm(test: Json, *answers: int | None) -> Json:
    keyed = {f"c{number}": answer for number, answer in enumerate(answers, 1)}
    return score(test, keyed).details["Calm"]


def parse_error(test: Json) -> str:
    with pytest.raises(Invalid) as caught:
        content.parse(test)
    return str(caught.value)


@settings(deadline=None, max_examples=200)
@given(attempts())
def test_scores_agree_with_an_independent_scorer(attempt: tuple[Json, dict[str, Any]]) -> None:
    test, answers = attempt
    parsed = content.parse(test)
    expected = slow_scorer.score(test, answers)
    event(f"grade {expected['grade']}, {len(test['scales'])} scales")
    scored = scoring.score(parsed, answers)
    percent = None if scored.percent is None else Fraction(scored.percent)
    assert (percent, scored.grade) == (expected["percent"], expected["grade"])
    assert scored.details == expected["details"]
    for figures in (scored.details, scored.figures()):
        assert json.loads(json.dumps(figures)) == figures
    # What a report shows of any figures: it has every scale, and every position is on the axis.
    profiles = build_profiles(scored.figures())
    rows = [row for profile in profiles for row in profile.rows]
    assert {row.label for row in rows} == {scale["name"] for scale in test["scales"]}
    positions = [row.position for row in rows if row.position is not None]
    positions += [mark.position for row in rows for mark in row.cuts]
    assert all(0 <= position <= 100 for position in positions)
    basis = test.get("grades", {}).get("on", "percent")
    assert bool(list(cut_score_facts(scored.figures()))) == (basis != "percent")


@settings(deadline=None)
@given(attempts())
def test_export_and_import_of_a_test_is_the_identity(attempt: tuple[Json, dict[str, Any]]) -> None:
    test, answers = attempt
    document = Document("assessment", "generated", test["name"], test)
    [read] = parse_documents(to_yaml(document), "generated.yaml")
    assert read == document
    assert score(read.content, answers).details == score(test, answers).details


def test_scale_sums_positions_and_reverses_items() -> None:
    assert calm(survey(), 5, 2, 3) == {"Score": 12, "Answered": "3 of 3"}  # 5 + (6 - 2) + 3
    assert calm(changed(method="mean"), 5, 2, 3)["Score"] == 4
    assert calm(changed(items=["c1", "c2", "c3"]), 5, 2, 3)["Score"] == 10


def test_scale_follows_the_direction_of_an_item_unless_it_says_otherwise() -> None:
    test = changed(items=["c1", {"key": "c2", "reversed": False}, "c3"])
    for item in test["sections"][0]["items"][:2]:
        item["direction"] = "reversed"
    assert calm(test, 5, 2, 3)["Score"] == 6  # (6 - 5) + 2 + 3


def test_scale_of_points_counts_a_blank_as_zero() -> None:
    test = changed(items=["q"])
    assert score(test, {}).details["Calm"] == {"Score": 0, "Answered": "0 of 1"}
    assert score(test, {"q": True}).details["Calm"] == {"Score": 4, "Answered": "1 of 1"}


@pytest.mark.parametrize(
    ("missing", "answers", "expected"),
    [
        (None, (5, 2, None), None),  # a likert item without an answer has no position
        ({"rule": "invalid"}, (5, 2, None), None),
        ({"rule": "mean"}, (5, 2, None), 13.5),  # 9 of two items, so 13.5 of three
        ({"rule": "exclude"}, (5, 2, None), 9),
        ({"rule": "mean", "max": 1}, (5, 2, None), 13.5),
        ({"rule": "mean", "max": 1}, (5, None, None), None),
        ({"rule": "mean", "max_percent": 33}, (5, 2, None), None),  # one of three is more
        ({"rule": "mean", "max_percent": "33.4"}, (5, 2, None), 13.5),
        ({"rule": "mean"}, (None, None, None), None),
        ({"rule": "exclude"}, (None, None, None), None),
    ],
)
def test_scale_with_missing_answers_follows_its_rule(
    missing: Json | None, answers: tuple[int | None, ...], expected: float | None
) -> None:
    test = changed(**({"missing": missing} if missing else {}))
    assert calm(test, *answers).get("Score") == expected


@pytest.mark.parametrize("rule", ["mean", "exclude"])
def test_mean_of_a_scale_is_that_of_the_answered_items(rule: str) -> None:
    test = changed(method="mean", missing={"rule": rule})
    assert calm(test, 5, 2, None)["Score"] == 4.5
    test = changed(method="mean", items=["q", "r"])
    test["sections"][0]["items"].append(test["sections"][0]["items"][-1] | {"key": "r"})
    assert score(test, {"q": True}).details["Calm"]["Score"] == 2  # the blank one counts as 0


def test_scale_weights_make_the_score_of_the_test() -> None:
    # Calm 12 of 3 to 15 is 75 %, Knowledge 4 of 0 to 4 is 100 %; 3 × 75 + 1 × 100 over 4.
    test = changed(weight=3) | {"grades": {"passed": "81.3"}}
    test["scales"].append({"key": "k", "name": "Knowledge", "items": ["q"], "weight": 1})
    answers = {"c1": 5, "c2": 2, "c3": 3, "q": True}
    result = score(test, answers)
    assert (result.percent, result.grade) == (Decimal("81.3"), "passed")
    del answers["c1"]
    result = score(test, answers)
    assert (result.percent, result.grade, result.summary) == (None, None, None)


@pytest.mark.parametrize(
    ("raw", "percentile", "sten", "t_score", "z"),
    [
        (9, 50, 6, 50, "0"),  # a sten of 5.5 is rounded up
        (11, 84, 8, 60, "1"),
        (7, 16, 4, 40, "-1"),
        (Fraction(19, 2), 60, 6, 53, "0.25"),  # T 52.5, sten 6: half up
        (Fraction(17, 2), 40, 5, 48, "-0.25"),  # T 47.5
        (30, 99, 10, 155, "10.5"),  # nobody is above 99 % or sten 10
        (-20, 1, 1, -95, "-14.5"),
    ],
)
def test_normal_norm_gives_published_figures(
    raw: Fraction, percentile: int, sten: int, t_score: int, z: str
) -> None:
    figures = NormalNorm(Decimal(9), Decimal(2)).convert(Fraction(raw))
    assert (figures.percentile, figures.sten, figures.T, figures.z) == (
        percentile,
        sten,
        t_score,
        Decimal(z),
    )


def test_table_norm_interpolates_and_holds_beyond_its_ends() -> None:
    rows = ((Decimal(10), Decimal(20)), (Decimal(20), Decimal(45)), (Decimal(30), Decimal(70)))
    linear, lower = TableNorm("T", rows), TableNorm("T", rows, "lower")
    raws = (0, 10, 14, 20, 25, 30, 99)
    assert [linear.convert(Fraction(raw)).T for raw in raws] == [20, 20, 30, 45, 58, 70, 70]
    assert [lower.convert(Fraction(raw)).T for raw in raws] == [20, 20, 20, 45, 45, 70, 70]
    figures = linear.convert(Fraction(20))
    assert (figures.z, figures.sten, figures.percentile) == (Decimal("-0.5"), 5, 31)


def test_table_of_percentiles_gives_the_other_measures() -> None:
    norm = TableNorm("percentile", ((Decimal(1), Decimal("15.9")), (Decimal(3), Decimal("97.5"))))
    low, high = norm.convert(Fraction(1)), norm.convert(Fraction(3))
    assert (low.percentile, low.z, low.T, low.sten) == (16, Decimal("-1"), 40, 4)
    assert (high.percentile, high.z, high.T, high.sten) == (98, Decimal("1.96"), 70, 9)


def test_grade_on_a_norm_is_computed_from_the_rounded_figure() -> None:
    grades = {"on": {"scale": "calm", "measure": "percentile"}, "passed": 50, "excelled": 84}
    test = survey(norms=[ADULTS], grades=grades, summaries={"passed": "Calm enough."})
    assert [score(test, {"c1": a, "c2": 3, "c3": 3}).grade for a in (2, 3, 5)] == [
        "failed",
        "passed",  # 9 is the mean: percentile 50
        "excelled",  # 11 is one standard deviation above: 84.1
    ]
    result = score(test, {"c1": 3, "c2": 3, "c3": 3})
    assert (result.percent, result.summary) == (None, "Calm enough.")
    assert score(test, {"c1": 3}).grade is None


def test_details_name_the_group_and_its_number_of_people() -> None:
    group = ADULTS | {"measures": ["T", "percentile"]}
    assert calm(survey(norms=[group]), 5, 3, 3) == {
        "Score": 11,
        "Answered": "3 of 3",
        "Percentile, Adults (n = 812)": 84,
        "T score, Adults (n = 812)": 60,
    }


def test_profile_has_a_row_for_each_scale_and_the_lines_of_the_cut_scores() -> None:
    grades = {"on": {"scale": "calm", "measure": "sten"}, "passed": 7}
    test = survey(norms=[ADULTS | {"source": "Invented"}], grades=grades)
    test["scales"].append({"key": "k", "name": "Knowledge", "items": ["q"]})
    figures = score(test, {"c1": 5, "c2": 3, "c3": 3, "q": True}).figures()
    normed, plain = build_profiles(figures)
    assert (normed.group, normed.source) == ("Adults, n\u00a0=\u00a0812", "Invented")
    [row] = normed.rows
    assert row.figures == (("Percentile", "84"), ("Sten", "8"), ("T score", "60"), ("z score", "1"))
    assert (row.value, row.note, row.position) == ("11", "from 3 to 15", 66.67)
    # Sten 7 begins at z 0.5, where 5.5 + 2 z is rounded up to 7.
    assert row.cuts == (("Passed from 7", 58.33),)
    assert [(mark.label, mark.position) for mark in normed.axis][2] == ("50", 50)
    assert (plain.group, plain.rows[0].value, plain.rows[0].position) == ("", "4", 100)
    assert list(cut_score_facts(figures)) == [
        ("Cut scores on Calm", "Passed from 7 (Sten, Adults, n\u00a0=\u00a0812)")
    ]
    assert normed.description == (
        "Compared with Adults, n\u00a0=\u00a0812: "
        "Calm 11, Percentile 84, Sten 8, T score 60, z score 1."
    )


@pytest.mark.parametrize(("n", "has_curve"), [(99, False), (100, True)])
def test_bell_curve_needs_a_group_of_100(n: int, has_curve: bool) -> None:
    figures = score(survey(norms=[ADULTS | {"n": n}]), {"c1": 5, "c2": 3, "c3": 3}).figures()
    [profile] = build_profiles(figures)
    assert bool(profile.curve) == has_curve


def test_bell_curve_is_symmetric_with_its_top_at_the_mean() -> None:
    points = bell_curve()
    assert points[30] == (50, 0)
    assert [(round(100 - x, 2), y) for x, y in reversed(points)] == list(points)
    assert dict(points)[66.67] == pytest.approx(100 - 60.65, abs=0.01)  # e ** -0.5 at z = 1


def test_scale_without_enough_answers_has_a_row_that_says_so() -> None:
    [profile] = build_profiles(score(survey(norms=[ADULTS]), {"c1": 5}).figures())
    [row] = profile.rows
    assert (row.value, row.position, row.figures) == ("", None, ())
    assert row.note == "No score: 1 of 3 answered"


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (changed(items=[]), "scales[0].items: should have at least one item"),
        (changed(items=["c1", "x"]), "scales[0].items[1]: x is not the key of an item"),
        (changed(items=["c1", "c1"]), "scales[0].items[1].key: is already used above"),
        (changed(items=["c1", 5]), "scales[0].items[1]: should be small letters"),
        (
            changed(items=[{"key": "q", "reversed": True}]),
            "scales[0].items[0].reversed: should be left out: only a likert item",
        ),
        (changed(name="STATEMENTS"), "scales[0].name: is already the title of a section"),
        (changed(method="median"), "scales[0].method: should be one of sum, mean"),
        (changed(missing={"rule": "zero"}), "scales[0].missing.rule: should not be zero"),
        (
            changed(missing={"rule": "mean", "max": 1, "max_percent": 5}),
            "scales[0].missing.max_percent: should be left out beside max",
        ),
        (
            changed(missing={"rule": "invalid", "max": 1}),
            "scales[0].missing.max: should be left out",
        ),
        (survey(scales=[]), None),
        (survey(norms=[ADULTS | {"n": 1}]), "norms[0].n: should be between 2 and"),
        (survey(norms=[ADULTS, ADULTS]), "norms[1].key: is already used above"),
        (
            survey(norms=[ADULTS | {"scales": {"x": {"mean": 1, "sd": 1}}}]),
            "norms[0].scales.x: is not the key of a scale",
        ),
        (
            survey(norms=[ADULTS | {"scales": {"calm": {"mean": 1, "sd": 0}}}]),
            "norms[0].scales.calm.sd: should be more than 0",
        ),
        (survey(norms=[ADULTS | {"scales": {}}]), "norms[0].scales: should be a mapping"),
        (survey(norms=[ADULTS | {"measures": ["T", "T"]}]), "norms[0].measures: should name each"),
        (survey(norms=[ADULTS | {"measures": ["IQ"]}]), "norms[0].measures[0]: should be one of"),
        (survey(grades={"passed": 50}), "grades: should be left out when no section is scored"),
        (survey(grades={"on": "calm", "passed": 5}), "grades.on: should be percent, or a mapping"),
        (
            survey(grades={"on": {"scale": "x", "measure": "raw"}, "passed": 5}),
            "grades.on.scale: is not the key of a scale",
        ),
        (
            survey(grades={"on": {"scale": "calm", "measure": "raw"}, "passed": 16}),
            "grades.passed: cannot be reached: the highest figure is 15",
        ),
        (
            survey(grades={"on": {"scale": "calm", "measure": "T"}, "passed": 50}),
            "grades.on.norm: should be the key of a norm group that has this scale",
        ),
        (
            survey(
                norms=[ADULTS],
                grades={"on": {"scale": "calm", "measure": "T"}, "passed": 50, "excelled": 81},
            ),
            "grades.excelled: cannot be reached: the highest figure is 80",
        ),
        (
            survey(
                norms=[ADULTS, ADULTS | {"key": "b", "name": "B"}],
                grades={"on": {"scale": "calm", "measure": "z"}, "passed": 0},
            ),
            "grades.on.norm: should be provided: several norm groups have this scale",
        ),
        (
            survey(
                norms=[ADULTS],
                grades={"on": {"scale": "calm", "measure": "sten"}, "passed": 11},
            ),
            "grades.passed: should be between 1 and 10",
        ),
    ],
)
def test_error_of_scales_names_the_path(test: Json, expected: str | None) -> None:
    if expected is None:
        content.parse(test)
    else:
        assert parse_error(test).startswith(expected)


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ({"measure": "T", "table": [[1, 20]]}, "table: should be a list of 2 to 500 rows"),
        ({"measure": "T", "table": [[1, 20], [1, 30]]}, "table[1]: should begin with more than"),
        ({"measure": "T", "table": [[1, 20], [2, 10]]}, "table[1]: should not end with less than"),
        ({"measure": "T", "table": [[1, 20], [2]]}, "table[1]: should be two numbers"),
        ({"measure": "T", "table": [[1, 20], [2, "x"]]}, "table[1]: should be a number"),
        ({"measure": "sten", "table": [[1, 0], [2, 5]]}, "table[0]: should end with 1 to 10"),
        (
            {"measure": "percentile", "table": [[1, 5], [2, 100]]},
            "table[1]: should end with more than 0 and less than 100",
        ),
        ({"table": [[1, 20], [2, 30]]}, "measure: should be provided"),
    ],
)
def test_error_of_a_norm_table_names_the_row(norm: Json, expected: str) -> None:
    error = parse_error(survey(norms=[ADULTS | {"scales": {"calm": norm}}]))
    assert error.startswith(f"norms[0].scales.calm.{expected}")


def published_big_five(answers: list[int]) -> dict[str, int]:
    """Return the scores of the IPIP's Big-Five markers by the formula of a published form.

    It is the scoring of https://openpsychometrics.org/printable/big-five-personality-test.pdf: each
    item is added or subtracted, and a constant lets every scale begin with 0.
    """
    q = [0, *answers]
    return {
        "Extraversion": 20
        + q[1] - q[6] + q[11] - q[16] + q[21] - q[26] + q[31] - q[36] + q[41] - q[46],
        "Agreeableness": 14
        - q[2] + q[7] - q[12] + q[17] - q[22] + q[27] - q[32] + q[37] + q[42] + q[47],
        "Conscientiousness": 14
        + q[3] - q[8] + q[13] - q[18] + q[23] - q[28] + q[33] - q[38] + q[43] + q[48],
        "Emotional stability": 38
        - q[4] + q[9] - q[14] + q[19] - q[24] - q[29] - q[34] - q[39] - q[44] - q[49],
        "Intellect and imagination": 8
        + q[5] - q[10] + q[15] - q[20] + q[25] - q[30] + q[35] + q[40] + q[45] + q[50],
    }  # fmt: skip


def test_ipip_sample_agrees_with_the_published_scoring() -> None:
    [document] = [row for row in load_sample_documents() if row.key == "ipip-big-five-markers"]
    test = content.parse(document.content)
    randomness = random.Random(1992)
    sheets = [[1] * 50, [5] * 50, [randomness.randint(1, 5) for _ in range(50)]]
    for answers in sheets:
        keyed = {f"q{number}": answer for number, answer in enumerate(answers, 1)}
        details = scoring.score(test, keyed).details
        # The published scores are from 0 to 40, the sums of ten answers from 10 to 50.
        assert {name: details[name]["Score"] - 10 for name in published_big_five(answers)} == (  # type: ignore[operator]
            published_big_five(answers)
        )
    assert [scale.highest for scale in test.bound_scales] == [50] * 5


def test_points_of_a_score_are_those_of_its_items() -> None:
    test = content.parse(
        survey() | {"scales": []} | {"sections": [survey()["sections"][0] | {"weight": 1}]}
    )
    answers = {"c1": 2, "q": True}
    items = scoring.score_items(test, answers)
    assert scoring.score(test, answers).points == {item.key: item.points for item in items}
    assert POINTS_FIGURE not in scoring.score(test, answers).figures()
