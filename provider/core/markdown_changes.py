"""Places where Markdown changes an expression that an author did not mean as Markdown.

`2*3*4` loses its asterisks, and `- 5` at the beginning of a line becomes a list. Emphasis around
words, lists of several entries, tables and links are taken as meant.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from provider.core.markdown import parse_tokens

if TYPE_CHECKING:
    from markdown_it.token import Token

# A character of an expression directly outside of emphasis: words have a space or a bracket there.
_OPERAND_BEFORE = re.compile(r"[\w=+*/^.<>|\\)\]}]")
_OPERAND_AFTER = re.compile(r"[\w=+*/^<>|\\(\[{]")
_LETTERS = re.compile(r"[^\W\d_]")
_EXPRESSION = re.compile(r"[\d\s.,+*/^=<>()%€$-]+")
_CHARACTER_CHANGES = (
    (re.compile(r"&(#\d+|#[xX][0-9a-fA-F]+|\w+);"), "is shown as another character"),
    (re.compile(r"\\[()\[\]{}]"), "loses its backslash"),
)


class MarkdownChange(NamedTuple):
    """One change. `line` counts from 0 within the text."""

    line: int
    problem: str


def find_markdown_changes(source: str, *, has_headings: bool = False) -> list[MarkdownChange]:
    """Return the places of a text where a reader would not see what the author wrote.

    With `has_headings` a line that begins with `# ` is taken as a heading: long texts have them.
    """
    lines = source.split("\n")
    tokens = parse_tokens(source)
    changes = {*_changes_of_blocks(tokens, lines), *_changes_of_lines(tokens)}
    if has_headings:
        changes = {change for change in changes if not change.problem.startswith("“#” makes")}
    return sorted(changes)


def _changes_of_blocks(tokens: "Sequence[Token]", lines: list[str]) -> Iterator[MarkdownChange]:
    for index, token in enumerate(tokens):
        line = token.map[0] if token.map else 0
        if token.type == "heading_open" and (token.markup in "=-" or token.markup == "#"):
            yield MarkdownChange(line, f"“{token.markup}” makes this line a heading")
        elif token.type == "hr" and token.markup[0] in "_*":
            yield MarkdownChange(line, f"“{lines[line].strip()}” becomes a horizontal line")
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            items = _list_items(tokens[index + 1 :], token.level + 1)
            if _is_accidental_list(items, token.markup, lines):
                yield MarkdownChange(line, f"“{_first_word(lines[line])}” becomes a list")
        elif token.type == "blockquote_open":
            quoted = lines[line].lstrip(" >")
            if not quoted or quoted[0].isdigit() or quoted[0] == "=":
                yield MarkdownChange(line, "“>” becomes a quotation")


def _list_items(tokens: "Sequence[Token]", level: int) -> list["Token"]:
    items = []
    for token in tokens:
        if token.level < level:
            break
        if token.type == "list_item_open" and token.level == level:
            items.append(token)
    return items


def _is_accidental_list(items: list["Token"], markup: str, lines: list[str]) -> bool:
    if len(items) == 1 or markup == "+":
        return True
    numbers = [int(item.info) for item in items if item.info]
    if numbers:
        return numbers != list(range(numbers[0], numbers[0] + len(numbers)))
    starts = [item.map[0] for item in items if item.map]
    return all(_EXPRESSION.fullmatch(lines[start]) for start in starts)


def _first_word(line: str) -> str:
    return line.strip().split(" ")[0]


def _changes_of_lines(tokens: "Sequence[Token]") -> Iterator[MarkdownChange]:
    for token in tokens:
        if token.type != "inline" or not token.map:
            continue
        line = token.map[0]
        shown_text = "".join(child.content for child in token.children or [])
        for pattern, change in _CHARACTER_CHANGES:
            for match in pattern.finditer(token.content):
                if match[0] not in shown_text:
                    match_line = line + token.content.count("\n", 0, match.start())
                    yield MarkdownChange(match_line, f"“{match[0]}” {change}")
        yield from _changes_of_emphasis(token.children or [], line)


def _changes_of_emphasis(children: "Sequence[Token]", line: int) -> Iterator[MarkdownChange]:
    for index, child in enumerate(children):
        if child.type in ("softbreak", "hardbreak"):
            line += 1
        if child.type not in ("em_open", "strong_open"):
            continue
        end = next(
            position
            for position in range(index, len(children))
            if children[position].nesting == -1 and children[position].level == child.level
        )
        content = "".join(inner.content for inner in children[index:end])
        before = children[index - 1].content[-1:] if index else ""
        after = children[end + 1].content[:1] if end + 1 < len(children) else ""
        if (
            _OPERAND_BEFORE.match(before)
            or _OPERAND_AFTER.match(after)
            or not _LETTERS.search(content)
        ):
            written = f"{before}{child.markup}{content}{child.markup}{after}"
            yield MarkdownChange(
                line, f"“{child.markup}” in “{written}” is read as emphasis and not shown"
            )
