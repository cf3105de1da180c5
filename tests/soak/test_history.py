"""The judge of the proofs bites: it finds all that may go wrong, and passes what is right."""

from dataclasses import replace

import pytest

from tests.soak.history import Arrival, Promise, judge

PROMISED = [
    Promise("/1", 1, "rejected"), Promise("/1", 2, "pending"), Promise("/2", 1, "expired"),
]  # fmt: skip


def came(order: str, number: int, status: str, answered: int | None = 200) -> Arrival:
    body = f'{{"status": "{status}"}}'.encode()
    return Arrival(order, f"key-{order}-{number}", str(number), body, answered)


FIRST, SECOND, OTHER = (came(each.order, each.sequence, each.status) for each in PROMISED)


def problems(*arrived: Arrival, repeats_allowed: int = 0) -> list[str]:
    judgement = judge(PROMISED, arrived, repeats_allowed=repeats_allowed)
    return [problem.what for problem in judgement.problems]


def test_what_arrived_once_and_in_order_passes() -> None:
    assert problems(FIRST, OTHER, SECOND) == []


def test_tries_that_were_not_taken_may_be_made_again() -> None:
    refused, reset = replace(FIRST, answered=503), replace(FIRST, answered=None)
    assert problems(refused, reset, FIRST, SECOND, OTHER) == []


def test_a_status_that_never_came_is_lost() -> None:
    assert problems(FIRST, SECOND) == ["lost"]


def test_a_status_that_was_never_taken_is_lost() -> None:
    assert problems(FIRST, SECOND, replace(OTHER, answered=500)) == ["lost"]


def test_a_status_that_came_before_its_predecessor_is_out_of_order() -> None:
    assert problems(SECOND, FIRST, OTHER) == ["reordered"]


def test_a_status_that_set_out_before_its_predecessor_was_taken_is_out_of_order() -> None:
    assert problems(replace(FIRST, answered=503), SECOND, FIRST, OTHER) == ["reordered"]


def test_a_status_that_set_out_before_its_predecessor_was_answered_is_out_of_order() -> None:
    slow, second = replace(FIRST, at=1.0, late=0.3), replace(SECOND, at=1.2)
    assert problems(slow, second, replace(OTHER, at=2.0)) == ["reordered"]
    assert problems(slow, replace(second, at=1.3), replace(OTHER, at=2.0)) == []
    # Its sender died before the answer, and sent it again.
    again = replace(FIRST, at=1.1)
    assert problems(slow, again, second, replace(OTHER, at=2.0), repeats_allowed=1) == []


def test_a_status_whose_predecessor_never_came_is_told_as_a_loss() -> None:
    assert problems(SECOND, OTHER) == ["lost"]


@pytest.mark.parametrize(
    "other",
    [
        replace(FIRST, body=FIRST.body + b" "),
        replace(FIRST, body=b'{"status":"rejected"}'),
    ],
)
def test_a_repeat_with_other_bytes_is_changed(other: Arrival) -> None:
    assert problems(replace(FIRST, answered=500), other, SECOND, OTHER) == ["changed"]


def test_a_key_that_stands_for_two_orders_is_changed() -> None:
    assert problems(FIRST, SECOND, replace(OTHER, key=FIRST.key)) == ["changed", "repeated"]


def test_a_status_under_two_keys_would_be_taken_twice() -> None:
    assert problems(FIRST, replace(FIRST, key="another"), SECOND, OTHER) == ["two keys"]


@pytest.mark.parametrize(
    "nameless", [replace(OTHER, key=None), replace(OTHER, sequence=None),
                 replace(OTHER, sequence="first")],
)  # fmt: skip
def test_a_message_without_key_or_sequence_is_unnamed_and_counts_for_nothing(
    nameless: Arrival,
) -> None:
    assert problems(FIRST, SECOND, nameless) == ["unnamed", "lost"]


def test_a_status_that_nobody_was_promised_is_found() -> None:
    assert problems(FIRST, SECOND, OTHER, came("/3", 1, "expired")) == ["unpromised"]


def test_another_word_than_was_promised_is_found() -> None:
    assert problems(FIRST, SECOND, came("/2", 1, "completed")) == ["unpromised"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff"])
def test_a_body_that_says_nothing_keeps_no_promise(body: bytes) -> None:
    assert problems(FIRST, SECOND, replace(OTHER, body=body)) == ["unpromised"]


def test_more_repeats_than_deaths_explain_are_too_many() -> None:
    history = (FIRST, FIRST, SECOND, SECOND, OTHER)
    assert problems(*history, repeats_allowed=2) == []
    assert problems(*history, repeats_allowed=1) == ["repeated"]
    # A repeat that was refused comes once more, and is one.
    assert problems(FIRST, replace(FIRST, answered=500), *history[1:], repeats_allowed=2) == []


def test_its_figures_are_those_of_the_history() -> None:
    judgement = judge(PROMISED, [replace(FIRST, answered=500), FIRST, FIRST, SECOND])
    assert judgement.figures == (
        "3 promised, 4 requests, 2 taken, 1 lost, 0 out of order, 0 changed, 1 repeated"
    )
