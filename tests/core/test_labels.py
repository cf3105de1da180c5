"""What people read in place of stored values, moments and lengths of time."""

from datetime import UTC, datetime

import pytest

from provider.core import labels
from provider.core.kinds import KINDS
from provider.core.labels import (
    format_date,
    format_datetime,
    format_duration,
    format_percent,
    format_short_datetime,
    format_time_left,
    label_for,
    tone,
)
from provider.core.orders import STATUSES
from provider.outbox import DELIVERED, PARKED, SUPERSEDED, WAITING

NOON = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "said"),
    [
        ("UTC", "23 November 2026, 14:05 UTC"),
        ("Europe/Athens", "23 November 2026, 16:05 Athens time"),
        ("America/Argentina/Buenos_Aires", "23 November 2026, 11:05 Buenos Aires time"),
        ("Pacific/Kiritimati", "24 November 2026, 04:05 Kiritimati time"),
    ],
)
def test_a_moment_is_said_in_the_zone_of_whoever_reads_it(timezone: str, said: str) -> None:
    assert format_datetime(NOON, timezone) == said


@pytest.mark.parametrize("nowhere", [None, "", "Mars/Olympus", "../etc/passwd", "America", "\x00"])
def test_a_zone_that_does_not_exist_is_utc(nowhere: str | None) -> None:
    assert format_datetime(NOON, nowhere) == "23 November 2026, 14:05 UTC"


def test_a_table_has_a_shorter_moment_and_a_date_alone_a_longer_one() -> None:
    assert format_short_datetime(NOON, "Europe/Athens") == "23 Nov 2026, 16:05"
    assert format_date(NOON, "Pacific/Kiritimati") == "24 November 2026"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.6, "1 minute"),
        (90, "1 minute 30 seconds"),
        (4800, "1 hour 20 minutes"),
        (3601, "1 hour"),
        (7 * 86400, "7 days"),
        (86400 + 2 * 3600 + 59, "1 day 2 hours"),
        (-5, "0 seconds"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "Time is up"),
        (-1, "Time is up"),
        (59.9, "Less than a minute left"),
        (60, "1 minute left"),
        (119.9, "1 minute left"),
        (1200, "20 minutes left"),
        (26 * 3600, "1 day 2 hours left"),
    ],
)
def test_the_time_left_is_never_said_to_be_more_than_it_is(seconds: float, said: str) -> None:
    assert format_time_left(seconds) == said


def test_a_share_is_written_without_needless_decimals() -> None:
    assert [
        format_percent(82),
        format_percent(66.666),
        format_percent(0),
        format_percent(100.0),
    ] == [
        "82%",
        "66.7%",
        "0%",
        "100%",
    ]


def test_every_stored_value_has_a_word_of_its_own() -> None:
    for family, values in (
        ("status", STATUSES),
        ("kind", KINDS),
        ("product", KINDS),
        ("delivery", (WAITING, DELIVERED, PARKED, SUPERSEDED)),
    ):
        assert set(values) <= set(labels.LABELS[family])


def test_a_value_without_a_word_is_still_readable() -> None:
    assert label_for("event", "identity_checked") == "Identity checked"
    assert label_for("nothing", "some-thing") == "Some thing"
    assert label_for("grade", None) == ""


def test_good_bad_and_unsettled_do_not_feel_the_same() -> None:
    felt = [tone(value) for value in ("passed", "excelled", "failed", "consider", "pending")]
    assert felt == ["good", "best", "bad", "warn", "wait"]
    assert tone("anything") == tone(None) == "quiet"
