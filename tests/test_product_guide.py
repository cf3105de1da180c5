"""The examples of docs/product-documents.md are documents that an import takes."""

import re
from pathlib import Path

from provider.core.kinds import KINDS, document_warnings
from provider.core.kinds.assessment.items import ITEM_KINDS
from provider.core.kinds.check.packages.legal_text_slots import PURPOSES
from provider.core.kinds.check.packages.screening_types import SCREENING_TYPES
from provider.core.products.documents import Document, parse_documents, to_yaml

GUIDE = Path(__file__).parents[1] / "docs" / "product-documents.md"


def examples() -> list[Document]:
    blocks = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [document for block in blocks for document in parse_documents(block, GUIDE.name)]


def test_every_documented_example_is_imported_without_a_warning() -> None:
    documents = examples()
    for document in documents:
        # The legal texts of the examples are no legal texts.
        warnings = document_warnings(document)
        assert all(".sample: is a sample" in warning for warning in warnings)
        assert parse_documents(to_yaml(document), "a.yaml") == [document]


def test_examples_have_every_type_of_screening_and_every_purpose() -> None:
    packages = [document.content for document in examples() if document.kind == "check"]
    screenings = [entry for content in packages for entry in content["screenings"]]
    assert {entry["type"] for entry in screenings} == set(SCREENING_TYPES)
    texts = [text for content in packages for text in content.get("legal_texts", ())]
    assert {text["purpose"] for text in texts} == set(PURPOSES)


def test_examples_have_every_kind_and_every_type_of_item() -> None:
    documents = examples()
    assert {document.kind for document in documents} == set(KINDS)
    items = [
        item
        for document in documents
        if document.kind == "assessment"
        for section in document.content["sections"]
        for item in section["items"]
    ]
    assert {item["kind"] for item in items} == set(ITEM_KINDS)
