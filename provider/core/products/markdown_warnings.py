"""Warnings where Markdown changes what an author wrote in a document's texts."""

from collections.abc import Iterable, Iterator

from provider.core.markdown_changes import find_markdown_changes
from provider.core.products.documents import DocumentWarning

BACKSLASH_ADVICE = "write a backslash before the character"


def plain_advice(entry: str) -> str:
    """Return the advice for the text of an entry, such as an item, that can be `plain`."""
    return f"write `plain: true` for the {entry}, or a backslash before the character"


def find_markdown_warnings(
    texts: Iterable[tuple[str, str]],
    advice: str = BACKSLASH_ADVICE,
    *,
    has_headings: bool = True,
) -> Iterator[DocumentWarning]:
    """Yield a warning for each change; `texts` are pairs of a path and the text there."""
    for path, text in texts:
        for change in find_markdown_changes(text, has_headings=has_headings):
            yield DocumentWarning(path, f"{change.problem}; {advice}", change.line)
