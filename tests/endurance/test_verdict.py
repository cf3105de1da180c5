"""The check of received callbacks finds every kind of problem, and passes correct deliveries."""

from dataclasses import replace

import pytest

from tests.endurance.verdict import ExpectedStatus, ReceivedCallback, check_deliveries

EXPECTED = [
    ExpectedStatus("/1", 1, "rejected"),
    ExpectedStatus("/1", 2, "pending"),
    ExpectedStatus("/2", 1, "expired"),
]


def received(
    order: str, sequence: int, status: str, status_code: int | None = 200
) -> ReceivedCallback:
    body = f'{{"status": "{status}"}}'.encode()
    return ReceivedCallback(order, f"key-{order}-{sequence}", str(sequence), body, status_code)


FIRST_CALLBACK, SECOND_CALLBACK, OTHER_CALLBACK = (
    received(expected_status.order, expected_status.sequence, expected_status.status)
    for expected_status in EXPECTED
)


def problem_categories(*received_callbacks: ReceivedCallback, max_repeats: int = 0) -> list[str]:
    verdict = check_deliveries(EXPECTED, received_callbacks, max_repeats=max_repeats)
    return [problem.category for problem in verdict.problems]


def test_check_deliveries_complete_and_ordered_passes() -> None:
    assert problem_categories(FIRST_CALLBACK, OTHER_CALLBACK, SECOND_CALLBACK) == []


def test_check_deliveries_retry_after_failure_passes() -> None:
    refused, reset = (
        replace(FIRST_CALLBACK, status_code=503),
        replace(FIRST_CALLBACK, status_code=None),
    )
    assert problem_categories(refused, reset, FIRST_CALLBACK, SECOND_CALLBACK, OTHER_CALLBACK) == []


def test_check_deliveries_missing_status_is_lost() -> None:
    assert problem_categories(FIRST_CALLBACK, SECOND_CALLBACK) == ["lost"]


def test_check_deliveries_never_accepted_status_is_lost() -> None:
    assert problem_categories(
        FIRST_CALLBACK, SECOND_CALLBACK, replace(OTHER_CALLBACK, status_code=500)
    ) == ["lost"]


def test_check_deliveries_later_status_first_is_reordered() -> None:
    assert problem_categories(SECOND_CALLBACK, FIRST_CALLBACK, OTHER_CALLBACK) == ["reordered"]


def test_check_deliveries_sent_before_accepted_is_reordered() -> None:
    assert problem_categories(
        replace(FIRST_CALLBACK, status_code=503), SECOND_CALLBACK, FIRST_CALLBACK, OTHER_CALLBACK
    ) == ["reordered"]


def test_check_deliveries_sent_before_response_is_reordered() -> None:
    slow, second = (
        replace(FIRST_CALLBACK, received_at=1.0, response_delay_seconds=0.3),
        replace(SECOND_CALLBACK, received_at=1.2),
    )
    assert problem_categories(slow, second, replace(OTHER_CALLBACK, received_at=2.0)) == [
        "reordered"
    ]
    assert (
        problem_categories(
            slow, replace(second, received_at=1.3), replace(OTHER_CALLBACK, received_at=2.0)
        )
        == []
    )
    # The sender died before the response, and its successor sent the status again.
    repeat = replace(FIRST_CALLBACK, received_at=1.1)
    assert (
        problem_categories(
            slow, repeat, second, replace(OTHER_CALLBACK, received_at=2.0), max_repeats=1
        )
        == []
    )


def test_check_deliveries_missing_predecessor_is_lost() -> None:
    assert problem_categories(SECOND_CALLBACK, OTHER_CALLBACK) == ["lost"]


@pytest.mark.parametrize(
    "other",
    [
        replace(FIRST_CALLBACK, body=FIRST_CALLBACK.body + b" "),
        replace(FIRST_CALLBACK, body=b'{"status":"rejected"}'),
    ],
)
def test_check_deliveries_repeat_with_other_bytes_is_changed(other: ReceivedCallback) -> None:
    assert problem_categories(
        replace(FIRST_CALLBACK, status_code=500), other, SECOND_CALLBACK, OTHER_CALLBACK
    ) == ["changed"]


def test_check_deliveries_one_key_for_two_orders_is_changed() -> None:
    assert problem_categories(
        FIRST_CALLBACK, SECOND_CALLBACK, replace(OTHER_CALLBACK, key=FIRST_CALLBACK.key)
    ) == ["changed", "repeated"]


def test_check_deliveries_two_keys_for_one_status_are_reported() -> None:
    assert problem_categories(
        FIRST_CALLBACK, replace(FIRST_CALLBACK, key="another"), SECOND_CALLBACK, OTHER_CALLBACK
    ) == ["two keys"]


@pytest.mark.parametrize(
    "unidentified",
    [
        replace(OTHER_CALLBACK, key=None),
        replace(OTHER_CALLBACK, sequence=None),
        replace(OTHER_CALLBACK, sequence="first"),
    ],
)
def test_check_deliveries_without_key_or_sequence_is_unidentified(
    unidentified: ReceivedCallback,
) -> None:
    assert problem_categories(FIRST_CALLBACK, SECOND_CALLBACK, unidentified) == [
        "unidentified",
        "lost",
    ]


def test_check_deliveries_status_of_unknown_order_is_unexpected() -> None:
    assert problem_categories(
        FIRST_CALLBACK, SECOND_CALLBACK, OTHER_CALLBACK, received("/3", 1, "expired")
    ) == ["unexpected"]


def test_check_deliveries_other_status_is_unexpected() -> None:
    assert problem_categories(FIRST_CALLBACK, SECOND_CALLBACK, received("/2", 1, "completed")) == [
        "unexpected"
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff"])
def test_check_deliveries_body_without_status_is_unexpected(body: bytes) -> None:
    assert problem_categories(
        FIRST_CALLBACK, SECOND_CALLBACK, replace(OTHER_CALLBACK, body=body)
    ) == ["unexpected"]


def test_check_deliveries_too_many_repeats_are_reported() -> None:
    history = (FIRST_CALLBACK, FIRST_CALLBACK, SECOND_CALLBACK, SECOND_CALLBACK, OTHER_CALLBACK)
    assert problem_categories(*history, max_repeats=2) == []
    assert problem_categories(*history, max_repeats=1) == ["repeated"]
    # A refused repeat is sent again; only accepted repeats count.
    assert (
        problem_categories(
            FIRST_CALLBACK, replace(FIRST_CALLBACK, status_code=500), *history[1:], max_repeats=2
        )
        == []
    )


def test_check_deliveries_figures_match_received_callbacks() -> None:
    verdict = check_deliveries(
        EXPECTED,
        [replace(FIRST_CALLBACK, status_code=500), FIRST_CALLBACK, FIRST_CALLBACK, SECOND_CALLBACK],
    )
    assert verdict.figures == (
        "3 expected, 4 requests, 2 accepted, 1 lost, 0 out of order, 0 changed, 1 repeated"
    )
