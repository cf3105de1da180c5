"""Warnings where Markdown changes what an author wrote in a document's texts."""

from collections.abc import Iterable, Iterator

from provider.core.markdown_changes import find_markdown_changes
from provider.core.products.documents import DocumentWarning


def find_markdown_warnings(
    texts: Iterable[tuple[str, str]], *, plain_entry: str = "", has_headings: bool = True
) -> Iterator[DocumentWarning]:
    """Yield a warning for each change; `texts` are pairs of a path and the text there.

    `plain_entry` names the entry of these texts, such as an item, if it can be `plain`.
    """
    advice = f"write `plain: true` for the {plain_entry}, or" if plain_entry else "write"
    for path, text in texts:
        for change in find_markdown_changes(text, has_headings=has_headings):
            problem = f"{change.problem}; {advice} {change.remedy}"
            yield DocumentWarning(path, problem, change.line)
