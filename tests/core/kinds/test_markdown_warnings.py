"""A document is warned about wherever Markdown changes an expression of its author."""

from typing import Any

import pytest
import yaml

from provider.core import kinds
from provider.core.products.documents import parse_documents
from tests import factories

ODD = "How much is 2*3*4?"
CONTENTS: dict[str, dict[str, Any]] = {
    "assessment": {
        "description": ODD,
        "instructions": ODD,
        "sections": [
            {
                "key": "one",
                "title": "One",
                "instructions": ODD,
                "items": [
                    {"key": "a", "kind": "true_false", "prompt": ODD, "answer": True},
                    {
                        "key": "b",
                        "kind": "true_false",
                        "prompt": ODD,
                        "answer": True,
                        "plain": True,
                    },
                ],
            }
        ],
    },
    "interview": factories.INTERVIEW_CONTENT
    | {
        "description": ODD,
        "instructions": ODD,
        "questions": [{"key": "a", "text": ODD}, {"key": "b", "text": ODD, "plain": True}],
    },
    "check": factories.PACKAGE_CONTENT
    | {
        "description": ODD,
        "sections": [{"key": "one", "title": "One", "text": ODD}],
        "screenings": [{"key": "a", "name": "A", "description": ODD}],
        "disclosure": {"key": "record", "version": "1", "text": ODD},
    },
}
PATHS = {
    "assessment": [
        "description",
        "instructions",
        "sections[0].instructions",
        "sections[0].items[0].prompt",
    ],
    "interview": ["description", "instructions", "questions[0].text"],
    "check": ["description", "disclosure.text", "sections[0].text", "screenings[0].description"],
}


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_markdown_text_of_a_document_is_looked_at(kind: str) -> None:
    source = yaml.safe_dump({"kind": kind, "key": "odd", "name": "Odd"} | CONTENTS[kind])
    (document,) = parse_documents(source, "odd.yaml")
    warnings = kinds.document_warnings(document)
    assert [warning.split(": ")[0].partition(", ")[2] for warning in warnings] == PATHS[kind]
    assert all("backslash before the character" in warning for warning in warnings)


def test_markdown_warnings_advice_fits_the_change_and_the_entry() -> None:
    content = CONTENTS["interview"] | {
        "description": "x\n\n    5 - 3",
        "instructions": "x",
        "questions": [{"key": "a", "text": r"A dot: \."}],
    }
    source = yaml.safe_dump({"kind": "interview", "key": "odd", "name": "Odd"} | content)
    (document,) = parse_documents(source, "odd.yaml")
    in_description, in_question = kinds.document_warnings(document)
    assert in_description.endswith("make it code; write at most three spaces before the line")
    assert in_question.endswith(
        "write `plain: true` for the question, or backticks around the text"
    )
