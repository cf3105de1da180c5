"""Colours of accounts, made legible."""

import pytest

from provider.core import colours


@pytest.mark.parametrize(
    "colour", ["#ffd400", "#ffffff", "#000000", "#0e5f6b", "ff0000", "#7f7f7f"]
)
def test_colours_are_legible_on_white_and_on_dark_paper(colour: str) -> None:
    for made, background in (
        (colours.fill_colour(colour), colours._WHITE),
        (colours.text_colour_on_dark(colour), colours._DARK_PAPER),
    ):
        red, green, blue = bytes.fromhex(made.removeprefix("#"))
        assert colours._contrast((red, green, blue), background) >= colours.MIN_CONTRAST


def test_legible_colour_stays_and_missing_one_is_the_default() -> None:
    assert colours.fill_colour("#0E5F6B") == "#0e5f6b"
    for missing in (None, "", "red", "#12345"):
        assert colours.fill_colour(missing) == colours.DEFAULT_FILL
        assert colours.text_colour_on_dark(missing) == colours.DEFAULT_ON_DARK
