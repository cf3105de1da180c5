"""Hypothesis strategies for documents of tests with items of every type."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from provider.core.kinds.assessment.items import ITEM_KINDS
from provider.core.products.documents import Document
from provider.core.products.schema_fields import find_unprintable

# Texts that YAML, Markdown or a form could take for something else.
HOSTILE_TEXTS = (
    "yes",
    "No",
    "null",
    "~",
    "007",
    "1e3",
    "12.50",
    "10:30",
    "- a\n- b",
    "# heading",
    "a: b",
    "'quoted'",
    '"',
    "{{gap}}",
    "2*3*4",
    "trailing\\",
    "  indented\n    more",
    "line\n\nline",
    "<b>&amp;",
    "مرحبا",
    "½ × ²",
    "---",
    "&anchor",
    "!tag",
    "%",
)
TEXTS = st.one_of(
    st.sampled_from(HOSTILE_TEXTS),
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), max_size=40),
).filter(lambda text: text.strip() == text != "" and find_unprintable(text) is None)
LINES = TEXTS.map(lambda text: " ".join(text.split())).filter(bool)
# The fields whose texts are free. The keys of an example, and what refers to them, stay.
FREE_TEXTS = ("prompt", "text", "unit", "trait")


@st.composite
def generated_tests(draw: Callable[..., Any]) -> Document:
    """A test of one to three sections; every item is one of the examples with other values."""
    numbers = iter(range(10_000))
    sections = [
        {
            "key": f"section-{number}",
            "title": f"{number} {draw(LINES)}"[:120].strip(),
            "weight": 0,
            "items": [_draw_item(draw, next(numbers)) for _ in range(draw(st.integers(1, 4)))],
        }
        for number in range(draw(st.integers(1, 3)))
    ]
    content: dict[str, Any] = {"schema": 1, "name": draw(LINES)[:120].strip()}
    for name in ("description", "instructions"):
        if draw(st.booleans()):
            content[name] = draw(TEXTS)
    if draw(st.booleans()):
        content["time_limit"] = draw(st.none() | st.integers(1, 1440))
    if draw(st.booleans()):
        content["shuffle"] = draw(st.booleans())
    return Document("assessment", "generated", content["name"], content | {"sections": sections})


def _draw_item(draw: Callable[..., Any], number: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(list(ITEM_KINDS.values())))
    item = deepcopy(dict(kind.example)) | {"key": f"item-{number}", "prompt": draw(TEXTS)}
    if draw(st.booleans()):
        item["points"] = draw(st.integers(1, 1000) | st.sampled_from([0.5, 2.25, 1e-3, "3.10"]))
    if draw(st.booleans()):
        item["required"] = draw(st.booleans())
    for part in item.get("options", []):
        # A number in front keeps the texts of the options different.
        part["text"] = f"{part['key']} {draw(TEXTS)}"
    return item
