"""Finds text in Jinja templates that does not pass through gettext."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from jinja2 import Environment, nodes

VISIBLE_ATTRIBUTES = {"alt", "aria-label", "content", "label", "placeholder", "summary", "title"}
# The values of these attributes of <meta> are for programs.
UNREAD_META_NAMES = {"viewport", "robots", "color-scheme", "supported-color-schemes"}
# Blocks and macros whose content is part of a tag: a value of `class`, attributes.
PARTS_OF_TAGS = {"body_class", "common"}
VALUE_MARK = "\N{OBJECT REPLACEMENT CHARACTER}"  # stands for a value that is no constant


class _TextCollector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.is_code = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_code = tag in ("style", "script")
        if tag == "meta" and dict(attrs).get("name") in UNREAD_META_NAMES:
            return
        self.texts += [value for name, value in attrs if name in VISIBLE_ATTRIBUTES and value]

    def handle_endtag(self, tag: str) -> None:
        self.is_code = False

    def handle_data(self, data: str) -> None:
        if not self.is_code:
            self.texts.append(data)


def find_bare_texts(environment: Environment, source: str) -> list[str]:
    """Return the texts with letters that a template shows without gettext.

    All branches count. The arguments of a macro do not: the macro's template cannot tell whether
    they are text.
    """
    collector = _TextCollector()
    collector.feed("".join(_constant_output(environment.parse(source))))
    collector.close()
    texts = (" ".join(text.replace(VALUE_MARK, " ").split()) for text in collector.texts)
    return [text for text in texts if re.search(r"[^\W\d_]", text)]


def _constant_output(node: nodes.Node) -> Iterator[str]:
    """Yield the text of a template, with a mark in place of each value."""
    if isinstance(node, nodes.Output):
        for expression in node.nodes:
            yield from _constants(expression)
    elif isinstance(node, nodes.Block | nodes.Macro) and node.name in PARTS_OF_TAGS:
        yield VALUE_MARK
    elif not isinstance(node, nodes.Expr):
        for child in node.iter_child_nodes():
            yield from _constant_output(child)


def _constants(expression: nodes.Node) -> Iterator[str]:
    """Yield the constants that an expression may show: `"a" if x else "b"`, `"a" ~ b`."""
    if isinstance(expression, nodes.TemplateData):
        yield expression.data
    elif isinstance(expression, nodes.Const):
        yield str(expression.value) if isinstance(expression.value, str) else VALUE_MARK
    elif isinstance(expression, nodes.CondExpr):
        for branch in (expression.expr1, expression.expr2):
            if branch is not None:
                yield from _constants(branch)
    elif isinstance(expression, nodes.Concat | nodes.Or | nodes.And | nodes.Add):
        for part in expression.iter_child_nodes():
            yield from _constants(part)
    else:
        yield VALUE_MARK
