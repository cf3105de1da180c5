"""Hypothesis strategies for documents of packages with screenings of every type."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from provider.core.kinds.check.packages.countries import COUNTRY_CODES
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.packages.legal_text_slots import PURPOSES
from provider.core.kinds.check.packages.screening_options import SCREENING_OPTIONS
from provider.core.kinds.check.packages.screening_types import (
    CONNECTOR,
    PERFORMERS,
    SCREENING_TYPES,
)
from provider.core.products.documents import Document
from tests.product_documents import LINES, TEXTS

Draw = Callable[..., Any]


def example_of(type_name: str) -> dict[str, Any]:
    """Return the smallest entry of a type: a choice is made where an option has no default."""
    options = {
        name: next(iter(SCREENING_OPTIONS[name].choices))
        for name in SCREENING_TYPES[type_name].options
        if not SCREENING_OPTIONS[name].default
    }
    return {"type": type_name, "key": type_name, "name": f"Screening {type_name}"} | options


@st.composite
def generated_packages(draw: Draw) -> Document:
    """A package of one to four screenings; each optional field is there or left out."""
    content: dict[str, Any] = {"schema": 1, "name": draw(LINES)[:120].strip()}
    if draw(st.booleans()):
        content["description"] = draw(TEXTS)
    content["screenings"] = [
        _draw_screening(draw, number) for number in range(draw(st.integers(1, 4)))
    ]
    content["disclosure"] = {"key": "terms", "version": draw(LINES)[:40].strip()} | _draw_text(draw)
    if draw(st.booleans()):
        texts = [_draw_legal_text(draw, number) for number in range(draw(st.integers(0, 3)))]
        content["legal_texts"] = texts
        keys = [text["key"] for text in texts]
        for screening in content["screenings"]:
            if draw(st.booleans()):
                screening["consent_texts"] = [key for key in keys if draw(st.booleans())]
    return Document("check", "generated", content["name"], content)


def _draw_screening(draw: Draw, number: int) -> dict[str, Any]:
    # A number in front keeps the names of the screenings different.
    name = f"{number} {draw(LINES)}"[:120].strip()
    screening = example_of(draw(st.sampled_from(list(SCREENING_TYPES))))
    screening |= {"key": f"screening-{number}", "name": name}
    optional: dict[str, Any] = {
        "description": TEXTS,
        "reason": LINES.map(lambda line: line[:300].strip()),
        "asks": st.lists(st.sampled_from(list(DETAIL_FIELDS)), unique=True),
        "documents": st.lists(st.sampled_from(list(DOCUMENT_SLOTS)), unique=True),
        "working_days": st.integers(1, 250),
        "performer": st.sampled_from(PERFORMERS),
    }
    for field, values in optional.items():
        if draw(st.booleans()):
            screening[field] = draw(values)
    if screening.get("performer") == CONNECTOR:
        screening["connector"] = "vendor-1"
    return screening


def _draw_legal_text(draw: Draw, number: int) -> dict[str, Any]:
    text = {
        "key": f"text-{number}",
        "version": "1",
        "purpose": draw(st.sampled_from(PURPOSES)),
        "title": draw(LINES)[:120].strip(),
    } | _draw_text(draw)
    if draw(st.booleans()):
        text["countries"] = draw(st.lists(st.sampled_from(COUNTRY_CODES), max_size=5, unique=True))
    return text


def _draw_text(draw: Draw) -> dict[str, Any]:
    text: dict[str, Any] = {"text": draw(TEXTS)}
    if draw(st.booleans()):
        text["sample"] = draw(st.booleans())
    return text
