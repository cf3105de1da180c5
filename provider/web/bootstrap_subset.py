"""The part of Bootstrap's style sheet that our pages use: about a fifth of it.

A page is not shown before its style sheets have arrived, and candidates may have a slow line. A
rule stays if each of its classes is a word of a template or a script, or begins like a class that a
template puts together, such as `btn-` before `{{`.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from provider.core import markdown

WEB_FOLDER = Path(__file__).parent
BANNER = re.compile(r"/\*!.*?\*/", re.DOTALL)  # the licence asks to keep it
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
NEGATION = re.compile(r":not\([^)]*\)")  # a rule also applies where such a class is missing
SELECTOR_COMMA = re.compile(r",(?![^(]*\))")
WORD = re.compile(r"[A-Za-z][\w-]*")
# The beginning of a class, before an expression of Jinja or of a script's template string, or
# before the end of a text to which something is added.
CLASS_BEGINNING = re.compile(r"""([A-Za-z][\w-]*-)(?:\{\{|\$\{|["'`])""")


def keep_used_rules(css: str) -> str:
    """Return a style sheet without the rules of classes that no page of ours has."""
    words, beginnings = _used_classes()
    banners = "".join(BANNER.findall(css))
    return banners + "".join(_keep_rules(COMMENT.sub("", css), words, beginnings))


@cache
def _used_classes() -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the words of all templates and scripts, and the beginnings of classes in them."""
    paths = [
        *WEB_FOLDER.glob("templates/**/*.html"),
        *WEB_FOLDER.glob("static/*.js"),
        Path(markdown.__file__),  # it gives classes to tables
    ]
    sources = "\n".join(path.read_text("utf-8") for path in paths)
    return frozenset(WORD.findall(sources)), tuple(sorted(set(CLASS_BEGINNING.findall(sources))))


def _keep_rules(css: str, words: frozenset[str], beginnings: tuple[str, ...]) -> Iterator[str]:
    for prelude, body in _split_rules(css):
        if prelude.startswith(("@media", "@supports")):
            if inner := "".join(_keep_rules(body, words, beginnings)):
                yield f"{prelude}{{{inner}}}"
        elif prelude.startswith("@"):
            yield f"{prelude}{{{body}}}" if body else prelude
        else:
            selectors = [
                selector
                for selector in SELECTOR_COMMA.split(prelude)
                if _are_used(CLASS.findall(NEGATION.sub("", selector)), words, beginnings)
            ]
            if selectors:
                yield f"{','.join(selectors)}{{{body}}}"


def _are_used(classes: Iterable[str], words: frozenset[str], beginnings: tuple[str, ...]) -> bool:
    return all(name in words or name.startswith(beginnings) for name in classes)


def _split_rules(css: str) -> Iterator[tuple[str, str]]:
    """Yield what stands before each brace of the outermost level, and what stands in it.

    A statement such as `@charset "UTF-8";` has no braces: it is yielded with an empty body.
    """
    position = 0
    while (opening := css.find("{", position)) >= 0:
        statement_end = css.find(";", position, opening)
        if statement_end >= 0 and css[position] == "@":
            yield css[position : statement_end + 1], ""
            position = statement_end + 1
            continue
        depth, end = 1, opening + 1
        while depth:
            next_opening, next_closing = css.find("{", end), css.find("}", end)
            if 0 <= next_opening < next_closing:
                depth, end = depth + 1, next_opening + 1
            else:
                depth, end = depth - 1, next_closing + 1
        yield css[position:opening], css[opening + 1 : end - 1]
        position = end
