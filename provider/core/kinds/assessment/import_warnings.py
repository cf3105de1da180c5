"""Warnings on a test's document: it can be imported, and candidates may not see what was meant."""

from collections.abc import Iterator

from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.items import Item
from provider.core.products.documents import DocumentWarning
from provider.core.products.markdown_warnings import find_markdown_warnings


def find_warnings(content: TestContent) -> Iterator[DocumentWarning]:
    texts = [("description", content.description), ("instructions", content.instructions)]
    for index, section in enumerate(content.sections):
        texts.append((f"sections[{index}].instructions", section.instructions))
    yield from find_markdown_warnings(texts)
    for section_index, section in enumerate(content.sections):
        for item_index, item in enumerate(section.items):
            yield from _item_warnings(f"sections[{section_index}].items[{item_index}]", item)


def _item_warnings(path: str, item: Item) -> Iterator[DocumentWarning]:
    texts = [(f"{path}.{inner_path}", text) for inner_path, text in item.markdown_texts()]
    yield from find_markdown_warnings(texts, plain_entry="item", has_headings=False)
    for inner_path, problem in item.text_warnings():
        yield DocumentWarning(f"{path}.{inner_path}", problem)
