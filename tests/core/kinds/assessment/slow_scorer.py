"""A second scorer of tests, written plainly, to compare with the program's.

It reads the document of a test as JSON, and shares no code with the program: it imports nothing of
it. The normal distribution is the error function, and its inverse a search by halves.
"""

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

Json = Any
MEASURE_LABELS = {"percentile": "Percentile", "sten": "Sten", "T": "T score", "z": "z score"}


def score(test: Json, answers: dict[str, Any]) -> dict[str, Any]:
    """Return `percent`, `grade` and `details` of the answers to a test."""
    items = {item["key"]: item for section in test["sections"] for item in section["items"]}
    details: dict[str, Any] = {}
    section_percents = []
    for section in test["sections"]:
        weight = number(section.get("weight", 1))
        figures: dict[str, Any] = {}
        if weight > 0:
            earned = possible = Fraction(0)
            for item in section["items"]:
                possible += number(item.get("points", 1))
                earned += points(item, answers.get(item["key"]))
            earned = max(earned, Fraction(0))
            section_percents.append((weight, earned / possible * 100))
            figures["Score"] = plain(rounded(earned / possible * 100, 10))
        answered = [
            item for item in section["items"] if is_complete(item, answers.get(item["key"]))
        ]
        figures["Answered"] = f"{len(answered)} of {len(section['items'])}"
        details[section["title"]] = figures
    raws, ranges = {}, {}
    for scale in test.get("scales", []):
        raws[scale["key"]] = raw_figure(scale, items, answers)
        ranges[scale["key"]] = figure_range(scale, items)
        details[scale["name"]] = scale_details(test, scale, raws[scale["key"]], answers)
    percent = overall_percent(test, section_percents, raws, ranges)
    shown = None if percent is None else rounded(percent, 10)
    return {"percent": shown, "grade": grade(test, shown, raws), "details": details}


def is_complete(item: Json, answer: Any) -> bool:
    """Tell whether nothing is left blank; a scale counts an answer that is not complete, too."""
    if answer is None:
        return False
    parts = {"matching": "pairs", "gap_fill": "gaps"}.get(item["kind"])
    return parts is None or len(answer) == len(item[parts])


def points(item: Json, answer: Any) -> Fraction:
    """Return the points that an answer earns."""
    if answer is None:
        return Fraction(0)
    share = Fraction(0)
    if item["kind"] == "single_choice":
        for option in item["options"]:
            if option["key"] == answer and option.get("correct"):
                share = Fraction(1)
    elif item["kind"] == "multiple_choice":
        right = wrong = all_right = 0
        for option in item["options"]:
            all_right += 1 if option.get("correct") else 0
            if option["key"] in answer:
                right += 1 if option.get("correct") else 0
                wrong += 0 if option.get("correct") else 1
        if right > wrong:
            share = Fraction(right - wrong, all_right)
    elif item["kind"] == "true_false":
        share = Fraction(1 if answer == item["answer"] else 0)
    elif item["kind"] == "numeric":
        low = number(item["answer"]) - number(item.get("tolerance", 0))
        high = number(item["answer"]) + number(item.get("tolerance", 0))
        share = Fraction(1 if low <= number(answer) <= high else 0)
    elif item["kind"] == "short_text":
        share = Fraction(1 if answer.lower() in [text.lower() for text in item["accepted"]] else 0)
    elif item["kind"] == "likert":
        share = Fraction(answer - 1, len(item["labels"]) - 1)
        if item.get("direction") == "reversed":
            share = 1 - share
    elif item["kind"] == "situational_judgement":
        scores = {option["key"]: number(option.get("score", 0)) for option in item["options"]}
        share = scores[answer] / max(scores.values())
    elif item["kind"] == "ordering":
        right = 0
        for place, option in enumerate(item["options"]):
            right += 1 if answer[place] == option["key"] else 0
        share = Fraction(right, len(item["options"]))
    elif item["kind"] == "matching":
        right = 0
        for pair in item["pairs"]:
            right += 1 if answer.get(pair["key"]) == pair["key"] else 0
        share = Fraction(right, len(item["pairs"]))
    elif item["kind"] == "gap_fill":
        right = 0
        for gap in item["gaps"]:
            text = answer.get(gap["key"], "")
            accepted = gap.get("accepted", [])
            accepted = accepted + [row["key"] for row in gap.get("options", []) if row["correct"]]
            right += 1 if text.lower() in accepted else 0
        share = Fraction(right, len(item["gaps"]))
    else:
        raise AssertionError(item["kind"])
    if share < 1 and not item.get("partial", True):
        share = Fraction(0)
    if share == 0:
        return -number(item.get("wrong_points", 0))
    return share * number(item.get("points", 1))


def raw_figure(scale: Json, items: Json, answers: dict[str, Any]) -> Fraction | None:
    """Return the figure of a scale; None where too many items have no answer."""
    values: list[Fraction] = []
    missing = 0
    has_likert = False
    for entry in scale["items"]:
        entry = entry if isinstance(entry, dict) else {"key": entry}
        item, answer = items[entry["key"]], answers.get(entry["key"])
        has_likert = has_likert or item["kind"] == "likert"
        if answer is None:
            missing += 1
        elif item["kind"] != "likert":
            values.append(points(item, answer))
        elif entry.get("reversed", item.get("direction") == "reversed"):
            values.append(Fraction(list(range(len(item["labels"]), 0, -1))[answer - 1]))
        else:
            values.append(Fraction(answer))
    settings = scale.get("missing", {})
    rule = settings.get("rule", "invalid" if has_likert else "zero")
    count = len(scale["items"])
    if rule == "invalid" and missing > 0:
        return None
    if "max" in settings and missing > settings["max"]:
        return None
    if "max_percent" in settings and missing * 100 > number(settings["max_percent"]) * count:
        return None
    if not values and rule != "zero":
        return None
    if rule == "mean":
        mean = sum(values) / Fraction(len(values))
        values = values + [mean] * missing
    elif rule == "zero":
        values = values + [Fraction(0)] * missing
    total = sum(values, Fraction(0))
    return total / len(values) if scale.get("method", "sum") == "mean" else total


def figure_range(scale: Json, items: Json) -> tuple[Fraction, Fraction]:
    low = high = Fraction(0)
    for entry in scale["items"]:
        item = items[entry["key"] if isinstance(entry, dict) else entry]
        low += 1 if item["kind"] == "likert" else 0
        is_likert = item["kind"] == "likert"
        high += len(item["labels"]) if is_likert else number(item.get("points", 1))
    divisor = len(scale["items"]) if scale.get("method", "sum") == "mean" else 1
    return low / divisor, high / divisor


def scale_details(
    test: Json, scale: Json, raw: Fraction | None, answers: dict[str, Any]
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if raw is not None:
        figures["Score"] = plain(rounded(raw, 100))
    keys = [entry["key"] if isinstance(entry, dict) else entry for entry in scale["items"]]
    answered = [key for key in keys if answers.get(key) is not None]
    figures["Answered"] = f"{len(answered)} of {len(keys)}"
    for group in test.get("norms", []):
        if raw is not None and scale["key"] in group["scales"]:
            normed = measures(group["scales"][scale["key"]], raw)
            for measure in ("percentile", "sten", "T", "z"):
                if measure in group.get("measures", MEASURE_LABELS):
                    label = f"{MEASURE_LABELS[measure]}, {group['name']} (n = {group['n']})"
                    figures[label] = plain(normed[measure])
    return figures


def measures(norm: Json, raw: Fraction) -> dict[str, Fraction]:
    """Return a figure of a scale as percentile, sten, T and z."""
    if "table" not in norm:
        z = (raw - number(norm["mean"])) / number(norm["sd"])
        percentile = 100 * below(z)
    else:
        value = look_up(norm, raw)
        if norm["measure"] == "percentile":
            z, percentile = z_with_below(value / 100), value
        else:
            z = {"sten": (value - Fraction("5.5")) / 2, "T": value / 10 - 5, "z": value}[
                norm["measure"]
            ]
            percentile = 100 * below(z)
    return {
        "percentile": max(Fraction(1), min(Fraction(99), rounded(percentile, 1))),
        "sten": max(Fraction(1), min(Fraction(10), rounded(z * 2 + Fraction("5.5"), 1))),
        "T": rounded(z * 10 + 50, 1),
        "z": rounded(z, 100),
    }


def look_up(norm: Json, raw: Fraction) -> Fraction:
    rows = [(number(figure), number(value)) for figure, value in norm["table"]]
    if raw <= rows[0][0]:
        return rows[0][1]
    if raw >= rows[-1][0]:
        return rows[-1][1]
    for (figure, value), (next_figure, next_value) in pairwise(rows):
        if figure <= raw < next_figure:
            if norm.get("between", "linear") == "lower":
                return value
            slope = (next_value - value) / (next_figure - figure)
            return value + slope * (raw - figure)
    raise AssertionError("a figure within the table is between two rows")


def below(z: Fraction) -> Fraction:
    """Return the share of the normal distribution below z."""
    return Fraction((1 + math.erf(float(z) / math.sqrt(2))) / 2)


def z_with_below(share: Fraction) -> Fraction:
    if share == Fraction(1, 2):
        return Fraction(0)
    low, high = -10.0, 10.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if below(Fraction(middle)) < share else (low, middle)
    return Fraction(low)


def overall_percent(
    test: Json,
    section_percents: list[tuple[Fraction, Fraction]],
    raws: dict[str, Fraction | None],
    ranges: dict[str, tuple[Fraction, Fraction]],
) -> Fraction | None:
    weighted = section_percents
    scales = [scale for scale in test.get("scales", []) if number(scale.get("weight", 0)) > 0]
    if scales:
        weighted = []
        for scale in scales:
            raw, (low, high) = raws[scale["key"]], ranges[scale["key"]]
            if raw is None:
                return None
            percent = (raw - low) / (high - low) * 100
            percent = max(Fraction(0), min(Fraction(100), percent))
            weighted.append((number(scale["weight"]), percent))
    if not weighted:
        return None
    total = sum((weight * percent for weight, percent in weighted), Fraction(0))
    return total / sum(weight for weight, _ in weighted)


def grade(test: Json, percent: Fraction | None, raws: dict[str, Fraction | None]) -> str | None:
    grades = test.get("grades")
    if not grades:
        return None
    figure = percent
    basis = grades.get("on", "percent")
    if basis != "percent":
        raw = raws[basis["scale"]]
        if raw is None:
            return None
        figure = rounded(raw, 100)
        if basis["measure"] != "raw":
            for group in test["norms"]:
                if (
                    basis["scale"] in group["scales"]
                    and basis.get("norm", group["key"]) == (group["key"])
                ):
                    figure = measures(group["scales"][basis["scale"]], raw)[basis["measure"]]
    if figure is None:
        return None
    if "excelled" in grades and figure >= number(grades["excelled"]):
        return "excelled"
    return "passed" if figure >= number(grades["passed"]) else "failed"


def number(value: Any) -> Fraction:
    return Fraction(str(value))


def rounded(value: Fraction, parts: int) -> Fraction:
    """Round to tenths, hundredths or whole numbers; a half becomes the higher one."""
    return Fraction(math.floor(value * parts + Fraction(1, 2)), parts)


def plain(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)
