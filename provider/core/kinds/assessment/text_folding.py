"""The comparison of typed texts: `fold` gives texts that a reader takes for the same one value.

`docs/product-documents.md` states the rules. A text of any length and script is allowed. Folding
a folded text changes nothing.

The folding removes what a keyboard, a phone or a web page adds, and what a script leaves to the
writer. It keeps what makes another word: accents, superscripts, fractions, punctuation.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

# Characters that show nothing: Unicode's default ignorable code points. ZWJ and ZWNJ, which are
# among them, change how letters are joined. They never change which letters these are.
_INVISIBLE_RANGES: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE = re.compile(f"[{_INVISIBLE_RANGES}]")

_APOSTROPHES = "’‘‚‛′`´ʹʻʼʽˈꞌ՚׳＇"
_QUOTES = "“”„‟″«»‹›〝〞״＂"
_HYPHENS = "‐‑‒–—―−⁃﹘﹣－־᠆"
_PLAIN_CHARACTERS = str.maketrans(
    dict.fromkeys(_APOSTROPHES, "'")
    | dict.fromkeys(_QUOTES, '"')
    | dict.fromkeys(_HYPHENS, "-")
    | {"…": "...", "⁄": "/", "∕": "/", "\u0085": " ", "\u2028": " ", "\u2029": " "}
)

# NFKC would turn 10² into 102, ½ into 1⁄2 and ① into 1. Only the tags named here are the same
# characters in another width, font or position in a word.
_SAME_CHARACTER_TAGS = frozenset(
    {"<wide>", "<narrow>", "<small>", "<compat>", "<font>", "<square>", "<vertical>", "<noBreak>"}
    | {"<initial>", "<medial>", "<final>", "<isolated>"}
)

# Marks that a writer of the script may leave out. The keys of the tables are decomposed.
_HEBREW_POINTS = "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
_ARABIC_MARKS = (
    "\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"
)
_OPTIONAL_MARKS = re.compile(f"[{_HEBREW_POINTS}{_ARABIC_MARKS}]")
_ALEF_MARKS = re.compile("(?<=\u0627)[\u0653-\u0655]+")
_RUSSIAN_YO = re.compile("(?<=[Ее])\u0308")
_CYRILLIC_STRESS = re.compile("(?<=[АаЕеЁёИиОоУуЫыЭэЮюЯяІіЇїЄє])(\u0308?)[\u0300\u0301]")
# Capitals carry none of these marks, so ΑΘΗΝΑ and Αθήνα differ in case alone.
_GREEK_ACCENTS = re.compile(
    "(?<=[\u0370-\u03ff\u0308])[\u0300\u0301\u0304\u0306\u0313\u0314\u0342]+"
)
# Keyboards give different codes for a letter that readers take for the same.
_SAME_LETTERS = str.maketrans(
    {
        "ٱ": "ا",
        "ی": "ي",
        "ى": "ي",
        "ک": "ك",
        "ہ": "ه",
        "ё": "е",
        "Ё": "Е",
    }
)
_CEDILLAS = re.compile("(?<=[SsTt])\u0327")  # Romanian: an old keyboard's form of the comma below
_I_DOTS = re.compile("(?<=[Ii])\u0307")  # Turkish: İ is I with U+0307 when decomposed


def fold(text: str, *, case_sensitive: bool = False) -> str:
    """Return the text in the form that two answers are compared in."""
    previous, folded = None, text
    while folded != previous:  # a character may stand for several that are folded in their turn
        previous = folded
        folded = _unify_characters(remove_invisible(folded))
        if not case_sensitive:
            folded = _fold_case(folded)
        folded = " ".join(unicodedata.normalize("NFC", folded).split())
    return folded or visible_text(text)  # a mark alone


@lru_cache(maxsize=10_000)
def fold_key(text: str, *, case_sensitive: bool = False) -> str:
    """Return what `fold` returns, and remember it: for accepted texts, never for an answer."""
    return fold(text, case_sensitive=case_sensitive)


def remove_invisible(text: str) -> str:
    """Remove characters that show nothing, such as U+200B, U+200E, U+00AD and U+FEFF."""
    return _INVISIBLE.sub("", text)


def visible_text(text: str) -> str:
    """Return the text as a page shows it. Two texts that look different stay different."""
    return " ".join(unicodedata.normalize("NFC", remove_invisible(text)).split())


def _unify_characters(text: str) -> str:
    text = unicodedata.normalize("NFC", text).translate(_PLAIN_CHARACTERS)
    text = "".join(map(_unify_character, text))
    text = unicodedata.normalize("NFD", text).translate(_SAME_LETTERS)
    text = _OPTIONAL_MARKS.sub("", text)
    text = _ALEF_MARKS.sub("", text)
    text = _CYRILLIC_STRESS.sub(r"\1", text)
    text = _RUSSIAN_YO.sub("", text)
    text = _CEDILLAS.sub("\u0326", text)
    # I is the capital of i in most languages and of ı in Turkish, so İ, I, i and ı are one letter.
    return _I_DOTS.sub("", text).replace("ı", "i")


def _unify_character(character: str) -> str:
    if character.isascii():
        return character
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    tag, *_ = unicodedata.decomposition(character).split(" ")
    if tag not in _SAME_CHARACTER_TAGS:
        return character
    return unicodedata.normalize("NFKC", character)


def _fold_case(text: str) -> str:
    text = _GREEK_ACCENTS.sub("", text)
    return unicodedata.normalize("NFD", text.casefold())
