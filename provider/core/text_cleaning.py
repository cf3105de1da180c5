"""Names, titles and addresses as they are stored: on one line, without what cannot be seen.

A bidirectional control character can make a name or an address read as another one.
"""

import re

# Marks, embeddings, overrides and isolates of the bidirectional algorithm (UAX #9), and characters
# without width. ZWJ and ZWNJ stay: Persian, the scripts of India and emoji need them.
_INVISIBLE = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
# Control characters, line separators, surrogates and noncharacters.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufff9-\ufffb\ufffe\uffff]")


def remove_invisible(text: str) -> str:
    """Return the text without bidirectional controls and characters without width."""
    return _INVISIBLE.sub("", text)


def clean_line(text: str) -> str:
    """Return the text without invisible characters, and with spaces for control characters.

    A text that has neither is returned unchanged, or a repeated order would differ from its first.
    """
    cleaned = _UNPRINTABLE.sub(" ", remove_invisible(text))
    return text if cleaned == text else " ".join(cleaned.split())
