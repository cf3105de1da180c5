"""Hypothesis strategies for documents of interview templates with every way to answer."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from provider.core.kinds.interview.content import OVERRIDES
from provider.core.kinds.interview.questions import ANSWERS, CHOICE, FILE, RECORDED, TEXT
from provider.core.products.documents import Document
from tests.product_documents import LINES, TEXTS

Draw = Callable[..., Any]


@st.composite
def generated_templates(draw: Draw) -> Document:
    """A template of one to four questions; each optional field is there or left out."""
    content: dict[str, Any] = {"schema": 1, "name": draw(LINES)[:120].strip()}
    for name in ("description", "instructions"):
        if draw(st.booleans()):
            content[name] = draw(TEXTS)
    for name in ("introduction", "closing"):
        if draw(st.booleans()):
            content[name] = {"text": draw(TEXTS)} | _draw_media(draw)
    if draw(st.booleans()):
        content["practice"] = {"text": draw(TEXTS)} | _draw_media(draw)
        content["practice"] |= _draw_times(draw, draw(st.sampled_from(RECORDED)))
    if draw(st.booleans()):
        content["time_limit"] = draw(st.integers(1, 1440))
        content["may_be_paused"] = draw(st.booleans())
    if draw(st.booleans()):
        content["sound_only"] = draw(st.booleans())
    if draw(st.booleans()):
        content["preferences"] = draw(st.lists(st.sampled_from(OVERRIDES), unique=True))
    count = draw(st.integers(1, 4))
    content["questions"] = [_draw_question(draw, number) for number in range(count)]
    if draw(st.booleans()):
        content["scale"] = {"min": 0, "max": 1, "labels": [draw(LINES)[:60].strip(), "Yes"]}
    return Document("interview", "generated", content["name"], content)


def _draw_question(draw: Draw, number: int) -> dict[str, Any]:
    question = {"key": f"question-{number}", "text": draw(TEXTS)} | _draw_media(draw)
    if draw(st.booleans()):
        question["plain"] = draw(st.booleans())
    answer = draw(st.sampled_from(ANSWERS))
    if answer == TEXT and draw(st.booleans()):
        question |= {"max_words": draw(st.integers(1, 500)), "max_characters": 2000}
    elif answer == FILE and draw(st.booleans()):
        question |= {"types": ["pdf"], "max_megabytes": 1}
    elif answer == CHOICE:
        # A number in front keeps the options different.
        count = draw(st.integers(2, 5))
        question["options"] = [f"{index} {draw(LINES)}" for index in range(count)]
    elif answer in RECORDED:
        return question | _draw_times(draw, answer) | {"takes": draw(st.integers(1, 10))}
    return question | {"answer": answer}


def _draw_times(draw: Draw, answer: str) -> dict[str, Any]:
    times = {
        "answer": answer,
        "think_seconds": draw(st.none() | st.integers(0, 600)),
        "answer_seconds": draw(st.integers(10, 1800)),
    }
    return {name: value for name, value in times.items() if draw(st.booleans())}


def _draw_media(draw: Draw) -> dict[str, Any]:
    choices = [
        {},
        {"media": {"video": "anna.mp4"}},
        {"media": {"video": "anna.mp4", "transcript": draw(TEXTS)}},
        {"media": {"picture": "shop.png", "alt": draw(TEXTS)}},
    ]
    media: dict[str, Any] = draw(st.sampled_from(choices))
    return media
