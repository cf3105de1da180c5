"""Hypothesis strategies: documents of tests with scales and norms, and answers to them."""

from typing import Any

from hypothesis import strategies as st

from provider.core.kinds.assessment import content
from provider.errors import Invalid

Json = dict[str, Any]
POINTS = st.sampled_from([1, 2, 0.5, "0.333", 3])
WORDS = st.sampled_from(["late", "early", "red", "blue"])
DIRECTIONS = st.sampled_from(["positive", "reversed"])
COLOURS = ("red", "blue", "green")
PARTIAL = ("multiple_choice", "ordering", "matching", "gap_fill")
# The kinds of items with right and wrong answers.
SOLVABLE = (*PARTIAL, "single_choice", "true_false", "numeric", "short_text")
MEASURES = ("percentile", "sten", "T", "z")


@st.composite
def items(draw: st.DrawFn, key: str) -> Json:
    kind = draw(st.sampled_from([*SOLVABLE, "situational_judgement", *["likert"] * 4]))
    item: Json = {"kind": kind, "key": key, "prompt": "?", "points": draw(POINTS)}
    if kind in SOLVABLE and draw(st.booleans()):
        item["wrong_points"] = draw(POINTS)
    if kind in PARTIAL and draw(st.booleans()):
        item["partial"] = draw(st.booleans())
    if kind == "likert":
        item["labels"] = [f"label {number}" for number in range(draw(st.integers(2, 7)))]
        item["direction"] = draw(DIRECTIONS)
    elif kind == "true_false":
        item["answer"] = draw(st.booleans())
    elif kind == "numeric":
        item |= {"answer": draw(st.integers(-3, 3)), "tolerance": draw(st.sampled_from([0, 0.5]))}
    elif kind == "short_text":
        item["accepted"] = draw(st.lists(WORDS, min_size=1, max_size=2, unique=True))
    elif kind == "situational_judgement":
        scores = draw(st.lists(st.sampled_from([0, 1, 2, "2.5"]), min_size=1, max_size=4))
        item["options"] = [
            {"key": f"o{number}", "text": f"Option {number}", "score": score}
            for number, score in enumerate([3, *scores])
        ]
    elif kind == "ordering":
        item["options"] = [
            {"key": f"o{number}", "text": f"Step {number}"}
            for number in range(draw(st.integers(2, 5)))
        ]
    elif kind == "matching":
        item["pairs"] = [
            {"key": f"p{number}", "left": f"Left {number}", "right": f"Right {number}"}
            for number in range(draw(st.integers(2, 4)))
        ]
        item["extra"] = [{"key": "none", "text": "Belongs to none"}]
    elif kind == "gap_fill":
        item["text"] = "{{typed}} and {{chosen}}"
        options = [{"key": word, "text": word, "correct": word == "red"} for word in COLOURS]
        accepted = draw(st.lists(WORDS, min_size=1, max_size=2, unique=True))
        item["gaps"] = [
            {"key": "typed", "accepted": accepted},
            {"key": "chosen", "options": options},
        ]
    else:
        count = draw(st.integers(2, 5))
        right = draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=count))
        right = {min(right)} if kind == "single_choice" else right
        item["options"] = [
            {"key": f"o{number}", "text": f"Option {number}", "correct": number in right}
            for number in range(count)
        ]
    return item


def answers_to(item: Json) -> st.SearchStrategy[Any]:
    match item["kind"]:
        case "likert":
            return st.integers(1, len(item["labels"]))
        case "true_false":
            return st.booleans()
        case "numeric":
            return st.sampled_from(["-3", "0", "0.5", "1.5", "2", "3.50"])
        case "short_text":
            return WORDS | st.just("Late")
        case "matching":
            lefts = [pair["key"] for pair in item["pairs"]]
            right = st.sampled_from([*lefts, "none"])
            return st.dictionaries(st.sampled_from(lefts), right, min_size=1)
        case "gap_fill":
            typed, chosen = WORDS | st.just("Late"), st.sampled_from(COLOURS)
            return st.fixed_dictionaries({"typed": typed}, optional={"chosen": chosen})
        case "ordering":
            return st.permutations([option["key"] for option in item["options"]])
    keys = [option["key"] for option in item["options"]]
    one = st.sampled_from(keys)
    if item["kind"] != "multiple_choice":
        return one
    return st.lists(one, min_size=1, unique=True).map(sorted)


@st.composite
def scales(draw: st.DrawFn, key: str, all_items: list[Json]) -> Json:
    order = draw(st.permutations(all_items))
    chosen = order[: draw(st.integers(1, len(order)))]
    entries: list[Any] = []
    for item in chosen:
        is_reversed = draw(st.sampled_from([None, True, False]))
        if item["kind"] == "likert" and is_reversed is not None:
            entries.append({"key": item["key"], "reversed": is_reversed})
        else:
            entries.append(item["key"])
    scale: Json = {"key": key, "name": f"Scale {key}", "items": entries}
    if draw(st.booleans()):
        scale["method"] = draw(st.sampled_from(["sum", "mean"]))
    if draw(st.booleans()):
        scale["weight"] = draw(st.sampled_from([0, 1, "2.5"]))
    rules = ["invalid", "mean", "exclude"]
    if all(item["kind"] != "likert" for item in chosen):
        rules.append("zero")
    if draw(st.booleans()):
        scale["missing"] = {"rule": draw(st.sampled_from(rules))}
        if scale["missing"]["rule"] != "invalid":
            scale["missing"] |= draw(
                st.sampled_from([{}, {"max": 1}, {"max": 0}, {"max_percent": 25}])
            )
    return scale


@st.composite
def norms(draw: st.DrawFn) -> Json:
    if draw(st.booleans()):
        return {"mean": draw(st.integers(0, 30)), "sd": draw(st.sampled_from([1, 2.5, "7.125"]))}
    measure = draw(st.sampled_from(MEASURES))
    steps = {"percentile": 12, "sten": 1.5, "T": 8, "z": 0.7}
    lows = {"percentile": 3, "sten": 1, "T": 20, "z": -2}
    figures = draw(st.lists(st.integers(-2, 40), min_size=2, max_size=6, unique=True).map(sorted))
    table = [
        [figure, str(round(lows[measure] + steps[measure] * number, 3))]
        for number, figure in enumerate(figures)
    ]
    norm: Json = {"measure": measure, "table": table}
    if draw(st.booleans()):
        norm["between"] = draw(st.sampled_from(["linear", "lower"]))
    return norm


@st.composite
def tests(draw: st.DrawFn) -> Json:
    section_count = draw(st.integers(1, 3))
    sections: list[Json] = []
    for number in range(section_count):
        count = draw(st.sampled_from([3, 2, 1, 4]))
        keys = [f"s{number}i{index}" for index in range(count)]
        sections.append(
            {
                "key": f"s{number}",
                "title": f"Section {number}",
                "weight": draw(st.sampled_from([0, 1, 1, 2, "0.3"])),
                "items": [draw(items(key)) for key in keys],
            }
        )
    all_items = [item for section in sections for item in section["items"]]
    test: Json = {"name": "Generated", "sections": sections}
    test["scales"] = [
        draw(scales(f"k{number}", all_items))
        for number in range(draw(st.sampled_from([3, 2, 1, 0])))
    ]
    scale_keys = [scale["key"] for scale in test["scales"]]
    if scale_keys:
        test["norms"] = [
            {
                "key": f"g{number}",
                "name": f"Group {number}",
                "n": draw(st.sampled_from([2, 99, 100, 5000])),
                "measures": draw(st.lists(st.sampled_from(MEASURES), min_size=1, unique=True)),
                "scales": {
                    key: draw(norms())
                    for key in draw(st.lists(st.sampled_from(scale_keys), min_size=1, unique=True))
                },
            }
            for number in range(draw(st.integers(0, 2)))
        ]
    graded = test | draw(grades(test))
    try:
        content.parse(graded)
    except Invalid as error:
        if "cannot be reached" not in str(error):
            raise
        return test
    return graded


@st.composite
def grades(draw: st.DrawFn, test: Json) -> Json:
    has_percent = any(float(section["weight"]) > 0 for section in test["sections"]) or any(
        float(scale.get("weight", 0)) > 0 for scale in test["scales"]
    )
    bases: list[tuple[Any, tuple[Any, Any]]] = [("percent", (40, 75))] if has_percent else []
    bases += [({"scale": scale["key"], "measure": "raw"}, (0.5, 2)) for scale in test["scales"]]
    cuts: Json = {"percentile": (20, 60), "sten": (3, 6), "T": (38, 55), "z": (-1.2, "0.3")}
    bases += [
        ({"scale": key, "measure": measure, "norm": group["key"]}, cuts[measure])
        for group in test.get("norms", ())
        for key in group["scales"]
        for measure in MEASURES
    ]
    if not bases or draw(st.booleans()):
        return {}
    basis, (passed, excelled) = draw(st.sampled_from(bases))
    cut_scores = {"on": basis, "passed": passed}
    return {"grades": cut_scores | ({"excelled": excelled} if draw(st.booleans()) else {})}


@st.composite
def attempts(draw: st.DrawFn) -> tuple[Json, dict[str, Any]]:
    """Return a test, and answers to some of its items."""
    test = draw(tests())
    all_items = [item for section in test["sections"] for item in section["items"]]
    answers = {}
    for item in all_items:
        if draw(st.sampled_from([True, True, True, False])):
            answers[item["key"]] = draw(answers_to(item))
    return test, answers
