"""Warnings where Markdown changes an expression, and none where Markdown was meant."""

import pytest

from provider.core.markdown_changes import find_markdown_changes


@pytest.mark.parametrize(
    ("source", "line", "problem"),
    [
        ("2*3*4", 0, "“*” in “2*3*4” is read as emphasis"),
        ("How much is\n2*3*4?", 1, "“*” in “2*3*4” is read as emphasis"),
        ("2**3**4", 0, "“**” in “2**3**4” is read as emphasis"),
        ("5 *3* 2", 0, "“*” in “ *3* ” is read as emphasis"),
        ("obj.__init__(x)", 0, "“__” in “.__init__(” is read as emphasis"),
        ("|a|b|\n|-|-|\n|1*2*3|2|", 2, "“*” in “1*2*3” is read as emphasis"),
        ("1. Which?", 0, "“1.” becomes a list"),
        ("3. a\n5. b", 0, "“3.” becomes a list"),
        ("8\n- 5", 1, "“-” becomes a list"),
        ("8\n+ 5", 1, "“+” becomes a list"),
        ("- 5\n- 3", 0, "“-” becomes a list"),
        ("# 5", 0, "“#” makes this line a heading"),
        ("17\n-8\n---", 0, "“-” makes this line a heading"),
        ("x\n\n___\n", 2, "“___” becomes a horizontal line"),
        ("x\n> 5", 1, "“>” becomes a quotation"),
        ("a &lt; b", 0, "“&lt;” is shown as another character"),
        (r"\(x^2\)", 0, r"“\(” is shown as “(”"),
        ("Which regex\n" r"matches a dot: \.?", 1, r"“\.” is shown as “.”"),
        (r"Which regex matches an asterisk: \* or *?", 0, r"“\*” is shown as “*”"),
        (r"5\% of", 0, r"“\%” is shown as “%”"),
        (r"C:\temp\#1", 0, r"“\#” is shown as “#”"),
        (r"C:\_temp", 0, r"“\_” is shown as “_”"),
        (r"\\server\share", 0, r"“\\” is shown as “\”"),
        (r"1\. Which regex matches a digit: \.\d?", 0, r"“\.” is shown as “.”"),
        (r"`\.` or \.?", 0, r"“\.” is shown as “.”"),
        (r"`\\` or \\?", 0, r"“\\” is shown as “\”"),
        ("|a|b|\n|-|-|\n" r"|\%|2|", 2, r"“\%” is shown as “%”"),
        (r"\*a\* " + r"\. " * 101, 0, r"“\*” is shown as “*”"),
        ("x\n\n---\n", 2, "“---” becomes a horizontal line"),
        ("x\n\n    5 - 3\n", 2, "four spaces or a tab before this line make it code"),
        ("x\n\n\t5 - 3\n", 2, "four spaces or a tab before this line make it code"),
    ],
)
def test_find_markdown_changes_expression_is_found(source: str, line: int, problem: str) -> None:
    first = find_markdown_changes(source)[0]
    assert first.line == line
    assert first.problem.startswith(problem)


@pytest.mark.parametrize(
    "source",
    [
        "2 * 3 * 4",
        "a_b_c",
        "5 - 3",
        "a*b",
        "<tag>",
        "`2*3*4`",
        "```\n2*3*4\n```",
        "Which is *not* right?",
        "(*word*), **bold**. _it_!",
        "1. one\n2. two",
        "- apples\n- pears",
        "## Text A",
        "> Somebody said so.",
        "The ____ is",
        "AT&T",
        r"\*a\* and \_b\_",
        r"2\*3\*4",
        r"\[a\](https://example.com)",
        r"\<https://example.com\>",
        r"\`a\`",
        r"1\. Which?",
        "8\n\\- 5",
        r"\## 5",
        r"\---",
        r"\&lt;",
        r"`\.`, `\\server` and `` \* ``",
        "```\n\\.\n```",
        "|a|\n|-|\n|1\\|2|",
        "a\\\nb",
        r"C:\temp",
    ],
)
def test_find_markdown_changes_meant_markdown_is_not_found(source: str) -> None:
    assert find_markdown_changes(source) == []


def test_find_markdown_changes_every_lost_backslash_is_found() -> None:
    changes = find_markdown_changes(r"Which regex matches a dot: \. or \*? 1\*2\*3")
    assert [change.problem for change in changes] == [
        r"“\*” is shown as “*”",
        r"“\.” is shown as “.”",
    ]
    changes = find_markdown_changes("\\.\n\\%")
    assert [(change.line, change.problem) for change in changes] == [
        (0, r"“\.” is shown as “.”"),
        (1, r"“\%” is shown as “%”"),
    ]


@pytest.mark.parametrize("source", ["# A\n\nb", "a\n\n---\n\nb"])
def test_find_markdown_changes_parts_of_long_text_are_not_found(source: str) -> None:
    assert find_markdown_changes(source) != []
    assert find_markdown_changes(source, has_headings=True) == []
