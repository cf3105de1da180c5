"""Markdown of authors as safe HTML or as plain text.

A formula is LaTeX between `$` and `$`, or between `$$` and `$$` on lines of its own. A price is
none: a formula has no space inside its dollars, and no digit directly outside.

Two defences prevent hostile markup: the parser escapes raw HTML, and nh3 removes every element
that is not on a short list. Headings start at level three, because the page uses the first two.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from provider.core import formulas

# The libraries are imported at the first use, because most commands render no Markdown.
if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token
    from markupsafe import Markup

_BLOCK_ELEMENTS = {"blockquote", "div", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul"}
_INLINE_ELEMENTS = {"a", "br", "code", "em", "span", "strong"}
_TABLE_ELEMENTS = {"table", "tbody", "td", "th", "thead", "tr"}
_ALIGNMENTS = {"left": "text-start", "center": "text-center", "right": "text-end"}
_CLASSES = {
    "table": {"table"},
    "td": set(_ALIGNMENTS.values()),
    "th": set(_ALIGNMENTS.values()),
    "span": {"formula"},
    "div": {"formula-block"},
    **formulas.CLASSES,
}
_SCHEMES = {"http", "https", "mailto"}
_BREAKS = {"softbreak": " ", "hardbreak": "\n"}
_BLOCKS = ("paragraph", "heading", "table", "blockquote")
_TEXT_AFTER = {f"{block}_close": "\n\n" for block in _BLOCKS} | {
    "th_close": " | ",
    "td_close": " | ",
    "tr_close": "\n",
}
_SAFE_LINK = re.compile(r"(https?://|mailto:)", re.IGNORECASE)


@lru_cache(maxsize=1024)
def render_markdown(source: str) -> "Markup":
    """Render CommonMark with tables and formulas as safe HTML.

    An image becomes its description. A formula that cannot be read is shown as it was written.
    """
    return _clean(_parser().render(source))


def _clean(html: str) -> "Markup":
    import nh3
    from markupsafe import Markup

    cleaned = nh3.clean(
        html,
        tags=_BLOCK_ELEMENTS | _INLINE_ELEMENTS | _TABLE_ELEMENTS | formulas.ELEMENTS,
        attributes={"a": {"href", "title"}, "ol": {"start"}, **formulas.ATTRIBUTES},
        allowed_classes=_CLASSES,
        url_schemes=_SCHEMES,
        url_relative="deny",
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return Markup(cleaned)  # noqa: S704 - nh3 has just cleaned it


def parse_tokens(source: str) -> "list[Token]":
    """Return the tokens of the Markdown, in the syntax that pages show."""
    return _parser().parse(source)


def literal_html(text: str) -> "Markup":
    """Return text that is no Markdown as safe HTML. Its lines and spaces are kept."""
    from markupsafe import Markup

    return Markup('<p class="literal">{}</p>').format(text)


class TextPart(NamedTuple):
    """A piece of plain text, or a formula; `text` is the LaTeX of a formula."""

    text: str
    is_formula: bool = False
    is_block: bool = False

    @property
    def html(self) -> "Markup | str":
        """The piece for a page. A formula that cannot be read is its LaTeX."""
        if not self.is_formula:
            return self.text
        try:
            mathml = formulas.formula_to_mathml(self.text, is_block=self.is_block)
        except ValueError:
            return self.text
        return _clean(mathml)


class _Formula(str):
    """The LaTeX of a formula among the pieces of a text."""

    is_block = False


class _BlockFormula(_Formula):
    is_block = True


def markdown_to_parts(source: str) -> tuple[TextPart, ...]:
    """Return Markdown as plain text and the formulas in it; empty for a text without a formula."""
    if "$" not in source:
        return ()
    parts: list[TextPart] = []
    for piece in _text_pieces(_parser().parse(source)):
        if isinstance(piece, _Formula):
            parts.append(TextPart(str(piece), is_formula=True, is_block=piece.is_block))
        elif parts and not parts[-1].is_formula:
            parts[-1] = TextPart(parts[-1].text + piece)
        else:
            parts.append(TextPart(piece))
    if not any(part.is_formula for part in parts):
        return ()
    if not parts[-1].is_formula:
        parts[-1] = TextPart(parts[-1].text.rstrip())
    return tuple(part for part in parts if part.text)


def shorten_parts(parts: Iterable[TextPart], length: int) -> Iterator[TextPart]:
    """Yield the first parts, of about `length` characters together, each formula within a line.

    No formula is cut.
    """
    left = length
    for part in parts:
        if left <= 0:
            yield TextPart("…")
            return
        is_cut = not part.is_formula and len(part.text) > left
        text = f"{part.text[:left].rstrip()}…" if is_cut else part.text
        yield TextPart(text, part.is_formula)
        if is_cut:
            return
        left -= len(part.text)


def markdown_to_text(source: str) -> str:
    """Return Markdown as plain text, for e-mails and tables."""
    text = "".join(_text_pieces(_parser().parse(source)))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r" \| \n", "\n", text)).strip()


def _adjust_tokens(state: "StateCore") -> None:
    for token in state.tokens:
        if token.type.startswith("heading_"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
        elif token.type == "table_open":
            token.attrSet("class", "table")
        elif token.type in ("th_open", "td_open"):
            _align(token)


def _align(cell: "Token") -> None:
    # The page's Content-Security-Policy blocks style attributes.
    style = str(cell.attrs.pop("style", ""))
    if style:
        cell.attrSet("class", _ALIGNMENTS[style.removeprefix("text-align:")])


def _render_image_as_text(
    _self: object, tokens: "Sequence[Token]", index: int, *_settings: object
) -> str:
    import nh3

    return nh3.clean_text(tokens[index].content)


def _render_formula(_self: object, tokens: "Sequence[Token]", index: int, *_: object) -> str:
    import nh3

    token = tokens[index]
    is_block = token.type == "math_block"
    try:
        formula = formulas.formula_to_mathml(token.content, is_block=is_block)
    except ValueError:
        formula = f"<code>{nh3.clean_text(f'{token.markup}{token.content}{token.markup}')}</code>"
    return (
        f'<div class="formula-block">{formula}</div>\n'
        if is_block
        else f'<span class="formula">{formula}</span>'
    )


def _text_pieces(tokens: "Sequence[Token]") -> Iterator[str]:
    for token in tokens:
        if token.type == "list_item_open":
            yield f"{token.info}. " if token.info else "- "
        elif token.type == "inline":
            yield from _inline_text(token.children or [])
        elif token.type in ("fence", "code_block"):
            yield token.content + "\n"
        elif token.type == "math_block":
            yield _BlockFormula(token.content.strip())
            yield "\n\n"
        elif token.type.endswith("list_close") and token.level == 0:
            yield "\n"
        elif token.nesting == -1:
            yield "\n" if token.hidden else _TEXT_AFTER.get(token.type, "")


def _inline_text(tokens: "Sequence[Token]") -> Iterator[str]:
    url = ""
    for token in tokens:
        if token.type == "link_open":
            url = str(token.attrs["href"])
        elif token.type == "link_close":
            yield f" ({url})"
        elif token.type == "math_inline":
            yield _Formula(token.content)
        else:
            yield _BREAKS.get(token.type, token.content)


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    dollarmath_plugin(
        parser, allow_labels=False, allow_space=False, allow_digits=False, allow_blank_lines=False
    )
    parser.validateLink = lambda url: bool(_SAFE_LINK.match(url))  # type: ignore[method-assign]
    parser.core.ruler.push("adjust_tokens", _adjust_tokens)
    parser.add_render_rule("image", _render_image_as_text)
    parser.add_render_rule("math_inline", _render_formula)
    parser.add_render_rule("math_block", _render_formula)
    return parser
