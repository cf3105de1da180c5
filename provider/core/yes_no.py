"""The words with which a setting is switched on and off."""

from provider.errors import Invalid

YES_WORDS, NO_WORDS = {"yes", "true", "on", "1"}, {"no", "false", "off", "0"}


def parse_yes_no(name: str, text: str) -> bool:
    """Return whether the text of a setting is a yes; Invalid if it is neither yes nor no."""
    if text.lower() not in YES_WORDS | NO_WORDS:
        raise Invalid(f"{name} should be yes or no, not “{text}”")
    return text.lower() in YES_WORDS


def format_yes_no(value: object) -> str:
    """Return the text from which `parse_yes_no` makes this value."""
    return "yes" if value else "no"
