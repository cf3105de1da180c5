"""Places where Markdown changes an expression that an author did not mean as Markdown.

`2*3*4` loses its asterisks, `\\.` loses its backslash, and `- 5` at the beginning of a line becomes
a list. Emphasis around words, lists of several entries, tables and links are taken as meant, and
so is a backslash without which Markdown would change the text.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from provider.core.formulas import formula_to_mathml
from provider.core.markdown import parse_tokens, render_markdown

if TYPE_CHECKING:
    from markdown_it.token import Token

# A character of an expression directly outside of emphasis: words have a space or a bracket there.
_OPERAND_BEFORE = re.compile(r"[\w=+*/^.<>|\\)\]}]")
_OPERAND_AFTER = re.compile(r"[\w=+*/^<>|\\(\[{]")
_LETTERS = re.compile(r"[^\W\d_]")
_EXPRESSION = re.compile(r"[\d\s.,+*/^=<>()%€$-]+")
_ENTITY = re.compile(r"&(#\d+|#[xX][0-9a-fA-F]+|\w+);")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")  # before ASCII punctuation, as in CommonMark
_BACKSLASH_ENTITY = "&#92;"
_MAX_COMPARED_ESCAPES = 100  # of one block: each costs a rendering of the block


class MarkdownChange(NamedTuple):
    """One change. `line` counts from 0 within the text; the author can write the `remedy`."""

    line: int
    problem: str
    remedy: str = "a backslash before the character"


def find_markdown_changes(source: str, *, has_headings: bool = False) -> list[MarkdownChange]:
    """Return the places of a text where a reader would not see what the author wrote.

    With `has_headings` a line that begins with `# ` is taken as a heading, and `---` as the end of
    a part: long texts have them.
    """
    lines = source.split("\n")
    tokens = parse_tokens(source)
    changes = {*_changes_of_blocks(tokens, lines), *_changes_of_lines(tokens)}
    if has_headings:
        usual = ("“#” makes", "“---” becomes")
        changes = {change for change in changes if not change.problem.startswith(usual)}
    return sorted(changes)


def _changes_of_blocks(tokens: "Sequence[Token]", lines: list[str]) -> Iterator[MarkdownChange]:
    for index, token in enumerate(tokens):
        line = token.map[0] if token.map else 0
        if token.type == "heading_open" and (token.markup in "=-" or token.markup == "#"):
            yield MarkdownChange(line, f"“{token.markup}” makes this line a heading")
        elif token.type == "hr":
            yield MarkdownChange(line, f"“{lines[line].strip()}” becomes a horizontal line")
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            items = _list_items(tokens[index + 1 :], token.level + 1)
            if _is_accidental_list(items, token.markup, lines):
                yield MarkdownChange(line, f"“{_first_word(lines[line])}” becomes a list")
        elif token.type == "blockquote_open":
            quoted = lines[line].lstrip(" >")
            if not quoted or quoted[0].isdigit() or quoted[0] == "=":
                yield MarkdownChange(line, "“>” becomes a quotation")
        elif token.type == "code_block":
            problem = "four spaces or a tab before this line make it code"
            yield MarkdownChange(line, problem, "at most three spaces before the line")


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
        yield from _changes_of_formulas(token)
        if token.type != "inline" or not token.map:
            continue
        line = token.map[0]
        shown_text = "".join(child.content for child in token.children or [])
        for match in _ENTITY.finditer(token.content):
            if match[0] not in shown_text:
                problem = f"“{match[0]}” is shown as another character"
                yield MarkdownChange(line + _line_of(match), problem)
        for match in _lost_backslashes(token.content):
            problem = f"“{match[0]}” is shown as “{match[1]}”"
            yield MarkdownChange(line + _line_of(match), problem, "backticks around the text")
        for child in token.children or []:
            if child.type == "image" and not child.content.strip():
                problem = "a picture without a description shows nothing"
                yield MarkdownChange(line, problem, "a description in its square brackets")
        yield from _changes_of_emphasis(token.children or [], line)


def _changes_of_formulas(token: "Token") -> Iterator[MarkdownChange]:
    """Yield each formula of a block that cannot be read: pages show it as it was written."""
    for formula in (token, *(token.children or ())):
        if formula.type in ("math_inline", "math_block"):
            try:
                formula_to_mathml(formula.content)
            except ValueError as error:
                shown = f"{formula.markup}{formula.content.strip()}{formula.markup}"
                line = token.map[0] if token.map else 0
                remedy = "LaTeX between the dollars, or a backslash before each dollar"
                yield MarkdownChange(line, f"“{shown}” is no formula: {error}", remedy)


def _line_of(match: re.Match[str]) -> int:
    return match.string.count("\n", 0, match.start())


def _lost_backslashes(content: str) -> Iterator[re.Match[str]]:
    """Yield the escapes of a block that show the same text without their backslash.

    An escaped backslash is always yielded: Markdown shows one of two, and an author of `\\\\server`
    wants both. A backslash in code is no escape.
    """
    escapes = list(_ESCAPE.finditer(content))
    if not escapes:
        return
    shown = render_markdown(content)
    others = []
    for match in escapes:
        if match[1] != "\\":
            others.append(match)
        elif render_markdown(_replace(match, _BACKSLASH_ENTITY)) == shown:
            yield match
    # Two escapes can prevent one emphasis, so each is compared with a text without any.
    bare, positions = _without_backslashes(content, others)
    shown_bare = render_markdown(bare)
    is_compared = shown != shown_bare and len(others) <= _MAX_COMPARED_ESCAPES
    for match, position in zip(others, positions, strict=True):
        with_escape = f"{bare[:position]}\\{bare[position:]}"
        if not is_compared or render_markdown(with_escape) == shown_bare:
            yield match


def _replace(match: re.Match[str], replacement: str) -> str:
    return match.string[: match.start()] + replacement + match.string[match.end() :]


def _without_backslashes(
    content: str, escapes: Sequence[re.Match[str]]
) -> tuple[str, Sequence[int]]:
    """Return the text without the backslashes of `escapes`, and the places of these there."""
    pieces = []
    start = 0
    for match in escapes:
        pieces.append(content[start : match.start()])
        start = match.start() + 1
    positions = [match.start() - index for index, match in enumerate(escapes)]
    return "".join(pieces) + content[start:], positions


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
