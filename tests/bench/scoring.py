"""How long one core takes to score many attempts at one test, in CPU time."""

import random
from collections.abc import Iterator
from time import process_time
from typing import Any

from provider.core.kinds.assessment import content
from provider.core.kinds.assessment.items import Item
from provider.core.kinds.assessment.results import build_result
from provider.core.products import ProductVersion
from tests.bench.table import Figure

MAX_SECONDS = 10
ITEM_COUNT, SECTION_COUNT, SCALE_COUNT = 60, 4, 5


def measure_scoring(attempt_count: int) -> Iterator[Figure]:
    """Score attempts at a test of 60 items of every kind, with scales and a norm group."""
    randomness = random.Random(60)
    document = _document()
    test = content.parse(document)
    version = ProductVersion(number=1, content=document)
    attempts = [
        {item.key: _answer(item, randomness) for item in test.items} for _ in range(attempt_count)
    ]
    started_at = process_time()
    results = [build_result(version, test, answers) for answers in attempts]
    seconds = process_time() - started_at
    scales = len(results[0].figures["scales"])
    yield Figure(
        f"{attempt_count:,} attempts of {ITEM_COUNT} items scored",
        seconds,
        MAX_SECONDS,
        "s",
        is_upper_limit=True,
        note=f"{scales} scales with norms; {seconds / attempt_count * 1e3:.2g} ms an attempt",
    )


def _document() -> dict[str, Any]:
    items = [_item(number) for number in range(ITEM_COUNT)]
    size = ITEM_COUNT // SECTION_COUNT
    likert_keys = [item["key"] for item in items if item["kind"] == "likert"]
    scales = [
        {
            "key": f"scale-{number}",
            "name": f"Scale {number}",
            "items": [
                {"key": key, "reversed": index % 2 == 0}
                for index, key in enumerate(likert_keys[number::SCALE_COUNT])
            ],
        }
        for number in range(SCALE_COUNT)
    ]
    norms = {scale["key"]: {"mean": 18, "sd": 3.5} for scale in scales}
    return {
        "name": "Sixty items",
        "grades": {"passed": 50, "excelled": 80},
        "sections": [
            {
                "key": f"section-{number}",
                "title": f"Section {number}",
                "items": items[number * size : (number + 1) * size],
            }
            for number in range(SECTION_COUNT)
        ],
        "scales": scales,
        "norms": [{"key": "all", "name": "All", "n": 500, "scales": norms}],
    }


def _item(number: int) -> dict[str, Any]:
    options = [{"key": f"o{option}", "text": f"Option {option}"} for option in range(5)]
    right = [option | {"correct": option["key"] in ("o0", "o1")} for option in options]
    fields: list[dict[str, Any]] = [
        {"kind": "single_choice", "options": [options[1] | {"correct": True}, *options[2:]]},
        {"kind": "multiple_choice", "options": right, "points": 2},
        {"kind": "true_false", "answer": True},
        {"kind": "numeric", "answer": 3.5, "tolerance": 0.1},
        {"kind": "short_text", "accepted": ["late", "tardy"]},
    ]
    likert = {"kind": "likert", "labels": ["Never", "Rarely", "Sometimes", "Often", "Always"]}
    # Every other item is on a scale; the rest are of the other kinds in turn.
    chosen = fields[number // 2 % len(fields)] if number % 2 else likert
    return {"key": f"item-{number}", "prompt": "?"} | chosen


def _answer(item: Item, randomness: random.Random) -> Any:
    match item.kind:
        case "likert":
            return randomness.randint(1, 5)
        case "true_false":
            return randomness.random() < 0.5
        case "numeric":
            return randomness.choice(["3.55", "4"])
        case "short_text":
            return randomness.choice(["Late", "early"])
    key = f"o{randomness.randrange(1, 5)}"
    return key if item.kind == "single_choice" else ["o0", key]
