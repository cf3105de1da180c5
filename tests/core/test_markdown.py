"""Markdown as safe HTML and as plain text."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provider.core.markdown import markdown_to_text, render_markdown

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    '[x](https://a.example "onmouseover=alert(1)")',
    "<https://a.example/onclick=alert(1)>",
    '![x"onerror="alert(1)](https://a.example/x.png)',
    "<svg/onload=alert(1)>",
    "|a|\n|:--|\n|<iframe src=//a.example>|",
]
MARKUP = st.text(alphabet="<>\"'()[]!*_`#|-:\n\t &;=/ascriptonldfhe1.", max_size=120)


class ElementCollector(HTMLParser):
    """Collects every element and attribute that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}


def assert_harmless(source: str) -> None:
    elements = ElementCollector(render_markdown(source))
    assert not elements.tags & {"script", "img", "iframe", "svg", "style", "h1", "h2"}
    for name, value in elements.attributes:
        assert name in {"href", "title", "rel", "target", "class", "start"}
        assert name != "href" or re.match(r"(https?|mailto):", value, re.IGNORECASE)


@pytest.mark.parametrize("source", HOSTILE)
def test_render_markdown_hostile_source_is_harmless(source: str) -> None:
    assert_harmless(source)


@settings(deadline=None)
@given(MARKUP)
@example("".join(HOSTILE))
def test_render_markdown_any_source_is_harmless(source: str) -> None:
    assert_harmless(source)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_markdown_to_text_any_source_returns_text(source: str) -> None:
    assert isinstance(markdown_to_text(source), str)


def test_render_markdown_headings_start_at_level_three() -> None:
    html = render_markdown("# One\n\n## Two\n\n###### Six")
    assert "<h3>One</h3>" in html
    assert "<h4>Two</h4>" in html
    assert "<h6>Six</h6>" in html


def test_render_markdown_link_opens_a_new_tab_without_referrer() -> None:
    html = render_markdown("[ACME](https://acme.example/x)")
    assert 'href="https://acme.example/x"' in html
    assert 'target="_blank"' in html
    assert "noopener noreferrer" in html


def test_render_markdown_relative_link_stays_text() -> None:
    assert "<a" not in render_markdown("[leave](/console/logout)")


def test_render_markdown_image_becomes_its_description() -> None:
    assert "a &lt;b&gt; chart" in render_markdown("![a <b> chart](https://a.example/x.png)")


def test_render_markdown_table_is_aligned_without_inline_style() -> None:
    html = render_markdown("|Year|Sales|\n|---|--:|\n|2024|1,200|")
    assert '<table class="table">' in html
    assert '<td class="text-end">1,200</td>' in html
    assert "style" not in html


def test_markdown_to_text_keeps_paragraphs_lists_and_tables() -> None:
    source = (
        "# Hello\n\nA **bold**\nword.  \nNext [site](https://a.example).\n\n"
        "- one\n- two\n  1. deep\n\n|a|b|\n|-|-|\n|1|2|\n\n```\ncode\n```\n\n![alt](https://a.example/i.png)"
    )
    assert markdown_to_text(source) == (
        "Hello\n\nA bold word.\nNext site (https://a.example).\n\n"
        "- one\n- two\n1. deep\n\na | b\n1 | 2\n\ncode\n\nalt"
    )
