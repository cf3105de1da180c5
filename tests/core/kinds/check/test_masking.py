"""Masking of the candidate's details, and the reason to show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.core.kinds.check.masking import MASK, mask, read_reveal_reason
from provider.errors import Invalid


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("1990-02-28", MASK + "28"),
        ("QQ 12 34 56 C", MASK + "6C"),
        ("12 High Street\nLeeds LS1 4AB", MASK + "AB"),
        ("12345", MASK),
        ("", MASK),
        ("مريم عبد الله", MASK + "له"),
    ],
)
def test_mask_shows_the_last_two_characters(value: str, masked: str) -> None:
    assert mask(value) == masked


@given(st.text(max_size=60))
def test_mask_never_tells_the_length_or_more_than_two_characters(value: str) -> None:
    masked = mask(value)
    assert masked.startswith(MASK)
    assert len(masked) in (len(MASK), len(MASK) + 2)


def test_reveal_reason_has_the_label_and_the_words() -> None:
    assert read_reveal_reason("screening", "") == "To work on a screening"
    assert read_reveal_reason("dispute", " the 2nd ") == "To answer a dispute: the 2nd"
    assert read_reveal_reason("other", "Court order") == "Court order"


@pytest.mark.parametrize(
    ("reason", "text"),
    [("", ""), ("", "x"), ("nothing", "x"), ("other", " "), ("other", "x" * 301)],
)
def test_reveal_without_a_reason_is_refused(reason: str, text: str) -> None:
    with pytest.raises(Invalid):
        read_reveal_reason(reason, text)
