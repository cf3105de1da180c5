"""Warnings on a test's document: it can be imported, and candidates may not see what was meant."""

from collections.abc import Iterator

from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.items import Item, Option, ShortText
from provider.core.kinds.assessment.text_folding import visible_text
from provider.core.markdown_changes import find_markdown_changes
from provider.core.products.documents import DocumentWarning

_PLAIN_ADVICE = "write `plain: true` for the item, or a backslash before the character"


def find_warnings(content: TestContent) -> Iterator[DocumentWarning]:
    for section_index, section in enumerate(content.sections):
        for item_index, item in enumerate(section.items):
            yield from _item_warnings(f"sections[{section_index}].items[{item_index}]", item)


def _item_warnings(path: str, item: Item) -> Iterator[DocumentWarning]:
    if not item.plain:
        for change in find_markdown_changes(item.prompt):
            problem = f"{change.problem}; {_PLAIN_ADVICE}"
            yield DocumentWarning(f"{path}.prompt", problem, change.line)
    if isinstance(item, ShortText):
        texts = [item.fold(text) for text in item.accepted]
        yield from _repeated(texts, f"{path}.accepted[{{}}]", "is the same answer as one above")
    options: tuple[Option, ...] = getattr(item, "options", ())
    texts = [visible_text(option.text) for option in options]
    yield from _repeated(texts, f"{path}.options[{{}}].text", "looks the same as one above")


def _repeated(texts: list[str], path: str, problem: str) -> Iterator[DocumentWarning]:
    for index, text in enumerate(texts):
        if text in texts[:index]:
            yield DocumentWarning(path.format(index), problem)
