"""Formulas in Markdown: what is one, what is shown, and what an author is told."""

import re

import pytest

from provider.core.formulas import ELEMENTS, MAX_FORMULA_LENGTH, formula_to_mathml
from provider.core.markdown import markdown_to_text, render_markdown
from provider.core.markdown_changes import find_markdown_changes

HALF = "<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math>"


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6.",
        "US$20 to US$30",
        "5$ or 6$",
        "$HOME and $PATH",
        "between $ 5 $ and more",
        r"\$a\$",
        "`$a$`",
        "$x$5",
    ],
)
def test_price_or_word_with_dollars_is_no_formula(text: str) -> None:
    assert "<math" not in render_markdown(text)
    assert find_markdown_changes(text) == []


def test_formula_is_mathml_in_a_line_and_in_a_block() -> None:
    line = r"Half is $\frac{1}{2}$, not $1."
    assert render_markdown(line) == f'<p>Half is <span class="formula">{HALF}</span>, not $1.</p>\n'
    block = "$$\n\\frac{1}{2}\n$$"
    shown = HALF.replace("<math>", '<math display="block">')
    assert render_markdown(block) == f'<div class="formula-block">{shown}</div>\n'
    assert markdown_to_text(f"{line}\n\n{block}") == r"Half is \frac{1}{2}, not $1." + "\n\n" + (
        r"\frac{1}{2}"
    )
    assert find_markdown_changes(f"{line}\n\n{block}") == []


@pytest.mark.parametrize(
    "latex",
    [
        r"\text{<img src=x onerror=alert(1)>}",
        r"\text{</math><script>alert(1)</script>}",
        r"\color{red}x",
        r"\begin{array}{l|r}a&b\\\hline c&d\end{array}",
        "<b>",
        r'a"onload=1',
    ],
)
def test_formula_has_only_listed_elements_and_no_style(latex: str) -> None:
    html = render_markdown(f"${latex}$")
    names = set(re.findall(r"<(\w+)", html))
    assert names <= {"p", "span", "code"} | ELEMENTS
    assert not re.search(r"<[^>]*\s(style|onerror|onload|href)=", html)


def test_alignment_and_lines_of_a_table_are_classes() -> None:
    html = render_markdown(r"$\begin{array}{l|r}a&b\\\hline c&d\end{array}$")
    assert '<mtd class="math-left math-line-right">' in html
    assert html.count("math-line-top") == 2


def test_unreadable_formula_is_shown_as_written_and_the_author_is_told() -> None:
    text = "One\n\nTwo $\\foo<b>$"
    assert r"<code>$\foo&lt;b&gt;$</code>" in render_markdown(text)
    [change] = find_markdown_changes(text)
    assert change.line == 2
    problem = r'Unknown command "\foo" (at character 1)'
    assert change.problem == rf"“$\foo<b>$” is no formula: {problem}"
    with pytest.raises(ValueError, match="at most 2000 characters"):
        formula_to_mathml("x" * (MAX_FORMULA_LENGTH + 1))


def test_command_that_expands_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="Too many expansions"):
        formula_to_mathml(r"\def\a{\a\a}\a")
