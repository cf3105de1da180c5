"""A document that is exported and imported again is the same document."""

from hypothesis import given, settings

from provider.core.kinds import KINDS
from provider.core.kinds.assessment import content
from provider.core.kinds.check import Package
from provider.core.kinds.document_check import check_content
from provider.core.products.documents import Document, content_digest, parse_documents, to_yaml
from tests.package_documents import generated_packages
from tests.product_documents import generated_tests


@settings(deadline=None)
@given(document=generated_tests())
def test_export_and_import_of_any_test_is_the_identity(document: Document) -> None:
    [imported] = parse_documents(to_yaml(document), "a.yaml")
    assert imported == document
    assert content_digest(imported.content) == content_digest(document.content)
    assert to_yaml(imported) == to_yaml(document)
    if not check_content(KINDS["assessment"], document.content).errors:
        assert content.parse(imported.content) == content.parse(document.content)


@settings(deadline=None)
@given(document=generated_packages())
def test_export_and_import_of_any_package_is_the_identity(document: Document) -> None:
    [imported] = parse_documents(to_yaml(document), "a.yaml")
    assert imported == document
    assert content_digest(imported.content) == content_digest(document.content)
    assert to_yaml(imported) == to_yaml(document)
    assert Package.parse(imported.content) == Package.parse(document.content)
