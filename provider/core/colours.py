"""An account's colour, made dark or light enough that text in it and on it is legible."""

import re

# The colours of an account without one.
DEFAULT_FILL, DEFAULT_ON_DARK = "#0e5f6b", "#7cc7d2"
MIN_CONTRAST = 4.5  # WCAG 2.2, level AA
_WHITE, _DARK_PAPER = (255, 255, 255), (0x18, 0x21, 0x1F)
_STEPS = 50
_COLOUR = re.compile("#?([0-9a-fA-F]{6})")

Rgb = tuple[int, int, int]


def fill_colour(colour: str | None) -> str:
    """Return the colour as `#rrggbb`, darkened until white text on it is legible."""
    return _mix_until_legible(colour, (0, 0, 0), _WHITE) or DEFAULT_FILL


def text_colour_on_dark(colour: str | None) -> str:
    """Return the colour as `#rrggbb`, lightened until text in it is legible on dark paper."""
    return _mix_until_legible(colour, _WHITE, _DARK_PAPER) or DEFAULT_ON_DARK


def _mix_until_legible(colour: str | None, addition: Rgb, background: Rgb) -> str | None:
    match = _COLOUR.fullmatch(colour or "")
    if not match:
        return None
    own = tuple(bytes.fromhex(match[1]))
    for step in range(_STEPS + 1):
        red, green, blue = (
            round(part + (other - part) * step / _STEPS)
            for part, other in zip(own, addition, strict=True)
        )
        if _contrast((red, green, blue), background) >= MIN_CONTRAST:
            return f"#{red:02x}{green:02x}{blue:02x}"
    return None


def _contrast(first: Rgb, second: Rgb) -> float:
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Rgb) -> float:
    """Return the relative luminance, 0 to 1, as WCAG defines it."""
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (part / 255 for part in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
