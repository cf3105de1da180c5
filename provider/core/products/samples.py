"""The sample documents that ship with the package."""

from importlib.resources import files

from provider.core.products.documents import Document, parse_documents
from provider.core.products.text_files import include_text_files


def load_sample_documents() -> list[Document]:
    folder = files("provider") / "samples"
    samples = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=str)
    return [
        include_text_files(document, lambda name: (folder / name).read_bytes())
        for sample in samples
        for document in parse_documents(sample.read_text("utf-8"), sample.name)
    ]


def sample_document(kind: str) -> Document:
    """Return the first sample of a kind."""
    return next(document for document in load_sample_documents() if document.kind == kind)
