"""Warnings on a test's document: it can be imported, and candidates may not see what was meant."""

from collections.abc import Iterator

from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.items import Item
from provider.core.kinds.assessment.scale_scoring import BoundScale
from provider.core.kinds.assessment.scales import EXCLUDE, SUM
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
    for index, scale in enumerate(content.bound_scales):
        yield from _scale_warnings(f"scales[{index}]", scale)


def _scale_warnings(path: str, scale: BoundScale) -> Iterator[DocumentWarning]:
    if scale.missing_rule == EXCLUDE and scale.scale.method == SUM:
        problem = "makes the sum lower with each missing answer; the rule mean prorates it"
        yield DocumentWarning(f"{path}.missing.rule", problem)


def _item_warnings(path: str, item: Item) -> Iterator[DocumentWarning]:
    texts = [(f"{path}.{inner_path}", text) for inner_path, text in item.markdown_texts()]
    yield from find_markdown_warnings(texts, plain_entry="item", has_headings=False)
    for inner_path, problem in item.text_warnings():
        yield DocumentWarning(f"{path}.{inner_path}", problem)
