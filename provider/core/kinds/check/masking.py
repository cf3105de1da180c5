"""Masking of a candidate's details: the staff see the end of a value until they give a reason."""

from collections.abc import Mapping

from provider.core.text_cleaning import clean_line
from provider.errors import Invalid

SHOWN_CHARACTERS = 2
MASK = "•" * 6  # of one length, so that the mask does not tell how long the value is
# A shorter value would be shown nearly whole.
MIN_LENGTH_WITH_END = 6
MAX_REASON_LENGTH = 300  # characters
# The reasons that staff can choose; with OTHER they type one.
OTHER = "other"
REVEAL_REASONS: Mapping[str, str] = {
    "screening": "To work on a screening",
    "candidate": "The candidate asks",
    "dispute": "To answer a dispute",
    "correction": "To correct something",
    OTHER: "Another reason",
}


def mask(value: str) -> str:
    """Return a value with its last two letters or digits only; a short one without any."""
    characters = [character for character in value if character.isalnum()]
    if len(characters) < MIN_LENGTH_WITH_END:
        return MASK
    return MASK + "".join(characters[-SHOWN_CHARACTERS:])


def read_reveal_reason(reason: str, text: str) -> str:
    """Return the reason for the timeline of the order. Raises Invalid without a reason."""
    text = clean_line(text).strip()
    if len(text) > MAX_REASON_LENGTH:
        raise Invalid("A reason has at most %(maximum)d characters", maximum=MAX_REASON_LENGTH)
    if reason not in REVEAL_REASONS or (reason == OTHER and not text):
        raise Invalid("Say why you need to see the details")
    return text if reason == OTHER else ": ".join(filter(None, (REVEAL_REASONS[reason], text)))
