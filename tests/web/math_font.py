"""The font of formulas, made smaller: `python -m tests.web.math_font` writes its files.

The font STIX Two Math is a file of the package `ziamath`. Two WOFF2 files have its characters: one
for most formulas, and one with further letters, which browsers load only for a page that needs it.
The subsets leave out the alternative shapes that no page asks for. All stretchy characters are in
the first file, because browsers build a tall bracket or a long arrow from that one alone.
"""

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

FOLDER = Path("provider/web/static/fonts")
FONT_FILE, LETTERS_FILE = "stix-two-math.woff2", "stix-two-math-letters.woff2"
# Bold, script, Fraktur and other styles of letters; letters of languages; boxes, circled numbers.
LETTER_RANGES = (
    (0x100, 0x2AF),
    (0x400, 0x52F),
    (0x1E00, 0x1EFF),
    (0x2460, 0x24FF),
    (0x2500, 0x259F),
    (0xFB00, 0xFDFF),
    (0xFE10, 0xFFFF),
    (0x1D400, 0x1D433),
    (0x1D468, 0x1D6A3),
    (0x1D71C, 0x1D7FF),
)
# The features that browsers use by themselves, and those of formulas.
FEATURES = [
    *("ccmp", "locl", "mark", "mkmk", "kern", "liga", "calt", "clig", "rlig", "rclt"),
    *("ssty", "dtls", "flac"),
]


def package_font() -> Path:
    spec = find_spec("ziamath")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"


def stretchy_characters(font: TTFont) -> set[int]:
    """Return the characters that a formula may make taller or longer."""
    variants = font["MATH"].table.MathVariants
    names = {*variants.VertGlyphCoverage.glyphs, *variants.HorizGlyphCoverage.glyphs}
    return {character for character, name in font.getBestCmap().items() if name in names}


def is_letter(character: int) -> bool:
    """Whether a character is in the file of further letters."""
    return any(first <= character <= last for first, last in LETTER_RANGES)


def css_ranges() -> tuple[str, str]:
    """Return the value of `unicode-range` of either file."""
    return _format(_gaps()), _format(LETTER_RANGES)


def write_files(folder: Path) -> None:
    characters = set(TTFont(package_font()).getBestCmap())
    letters = {character for character in characters if is_letter(character)}
    for name, chosen in ((FONT_FILE, characters - letters), (LETTERS_FILE, letters)):
        _write_subset(folder / name, chosen)


def _write_subset(path: Path, characters: Iterable[int]) -> None:
    options = subset.Options()
    options.layout_features = FEATURES
    options.name_IDs = ["*"]
    options.notdef_outline = True
    options.glyph_names = False
    font = TTFont(package_font(), recalcTimestamp=False)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    font.flavor = "woff2"
    font.save(path)


def _gaps() -> Iterator[tuple[int, int]]:
    """Yield the ranges between those of the letters."""
    start = 0
    for first, last in LETTER_RANGES:
        yield start, first - 1
        start = last + 1
    yield start, 0x10FFFF


def _format(ranges: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"U+{first:X}-{last:X}" for first, last in ranges if first <= last)


if __name__ == "__main__":
    write_files(FOLDER)
