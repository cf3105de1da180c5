"""The files of the font of formulas: they draw every formula as the font of the package does."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from playwright.sync_api import Page

from provider.core.formulas import formula_to_mathml
from tests.web.math_font import (
    FOLDER,
    FONT_FILE,
    LETTERS_FILE,
    css_ranges,
    is_letter,
    package_font,
    stretchy_characters,
)

FORMULAS = (
    r"x^2 + \sqrt{\frac{a_1}{b^{n+1}}} \neq \overline{z}",
    r"\left( \sum_{i=1}^{n} \frac{1}{\left[ i^2 \right]} \right) \to \infty",
    r"\int_0^\infty e^{-x^2} \, dx = \oint f",
    r"\begin{pmatrix} a & b \\ c & d \\ e & f \\ g & h \end{pmatrix}",
    r"\left\{ \frac{\frac{a}{b}}{\frac{c}{d}} \right\} \quad \left\| v \right\|",
    r"\lfloor x \rfloor \quad \langle u, v \rangle",
    r"\overbrace{a + b + c + d + e} \quad \underbrace{x + y + z} \quad \widehat{abc} \quad \vec{v}",
    r"\alpha \beta \Gamma \Omega \varepsilon \hbar \ell \partial \nabla",
    r"\mathbb{R} \subset \mathcal{F} \cup \mathfrak{g} \cap \mathbf{A} \mathsf{B} \mathtt{c}",
    r"f' \leq g'' \Rightarrow \forall x \exists y : x \xrightarrow{abc} y",
)
STYLE = """
@font-face { font-family: Original; src: url(data:font/ttf;base64,%(original)s) }
@font-face {
  font-family: Ours; src: url(data:font/woff2;base64,%(core)s); unicode-range: %(core_range)s
}
@font-face {
  font-family: Ours; src: url(data:font/woff2;base64,%(letters)s); unicode-range: %(letters_range)s
}
math { font-size: 40px; font-family: var(--family) }
"""
MEASURE = """async (family) => {
  document.body.style.setProperty("--family", family);
  await document.fonts.load(`40px ${family}`, document.body.textContent);
  await document.fonts.ready;
  return [...document.querySelectorAll("math, math *")].map((element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return [x, y, width, height].map((number) => Math.round(number * 10) / 10);
  });
}"""


def encode(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()


def test_files_have_every_character_and_stretchy_ones_are_together() -> None:
    original = TTFont(package_font())
    core, letters = TTFont(FOLDER / FONT_FILE), TTFont(FOLDER / LETTERS_FILE)
    characters = set(original.getBestCmap())
    assert set(letters.getBestCmap()) == {code for code in characters if is_letter(code)}
    assert set(core.getBestCmap()) == characters - set(letters.getBestCmap())
    assert stretchy_characters(core) == stretchy_characters(original)
    for font in (core, letters):
        widths = {code: font["hmtx"][name][0] for code, name in font.getBestCmap().items()}
        for code, name in original.getBestCmap().items():
            assert widths.get(code, original["hmtx"][name][0]) == original["hmtx"][name][0]


def test_style_sheet_has_the_ranges_of_the_files() -> None:
    css = (FOLDER.parent / "theme.css").read_text()
    for name, ranges in zip((FONT_FILE, LETTERS_FILE), css_ranges(), strict=True):
        [face] = [line for line in css.splitlines() if f'url("fonts/{name}")' in line]
        assert f"unicode-range: {ranges};" in face


@pytest.mark.parametrize("is_block", [False, True])
def test_formulas_are_drawn_as_by_the_font_of_the_package(page: Page, is_block: bool) -> None:
    core_range, letters_range = css_ranges()
    style = STYLE % {
        "original": encode(package_font()),
        "core": encode(FOLDER / FONT_FILE),
        "letters": encode(FOLDER / LETTERS_FILE),
        "core_range": core_range,
        "letters_range": letters_range,
    }
    formulas = "".join(
        f"<p>{formula_to_mathml(latex, is_block=is_block)}</p>" for latex in FORMULAS
    )
    page.set_content(f"<style>{style}</style>{formulas}")
    original, ours = (page.evaluate(MEASURE, name) for name in ("Original", "Ours"))
    assert len(original) > 100
    assert json.dumps(ours) == json.dumps(original)
    fallback = page.evaluate(MEASURE, "monospace")
    assert fallback != original  # the fonts were loaded
