"""Formats of times, durations and percentages."""

from datetime import UTC, datetime, timedelta

import pytest

from provider.core.formats import (
    cut_at_word,
    format_date,
    format_datetime,
    format_duration,
    format_from_now,
    format_number,
    format_percent,
    format_short_datetime,
    format_time_left,
)
from provider.texts import use_language

NOON = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "expected"),
    [
        ("UTC", "23 November 2026, 14:05 UTC"),
        ("Europe/Athens", "23 November 2026, 16:05 Athens time"),
        ("America/Argentina/Buenos_Aires", "23 November 2026, 11:05 Buenos Aires time"),
        ("Pacific/Kiritimati", "24 November 2026, 04:05 Kiritimati time"),
    ],
)
def test_format_datetime_uses_the_given_zone(timezone: str, expected: str) -> None:
    assert format_datetime(NOON, timezone) == expected


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (timedelta(days=3, hours=23), "in 3 days"),
        (timedelta(days=2), "in 2 days"),
        (timedelta(hours=47, minutes=59), "in 47 hours"),
        (timedelta(hours=1), "in 1 hour"),
        (timedelta(minutes=59, seconds=59), "in 59 minutes"),
        (timedelta(seconds=59), "now"),
        (timedelta(seconds=-59), "now"),
        (timedelta(minutes=-5), "5 minutes ago"),
        (timedelta(days=-2), "2 days ago"),
    ],
)
def test_format_from_now_rounds_down_to_whole_units(distance: timedelta, expected: str) -> None:
    assert format_from_now(NOON + distance, NOON) == expected


@pytest.mark.parametrize("timezone", [None, "", "Mars/Olympus", "../etc/passwd", "America", "\x00"])
def test_format_datetime_unknown_zone_uses_utc(timezone: str | None) -> None:
    assert format_datetime(NOON, timezone) == "23 November 2026, 14:05 UTC"


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", "23. November 2026, 16:05 Uhr (Zeit in Athen)"),
        ("es", "23 de noviembre de 2026, 16:05 (hora de Atenas)"),
        ("fr", "23 novembre 2026 à 16:05 (heure locale\u00a0: Athènes)"),
        ("ar", "23 نوفمبر 2026، 16:05 (بتوقيت أثينا)"),
    ],
)
def test_format_datetime_uses_the_language(language: str, expected: str) -> None:
    with use_language(language):
        assert format_datetime(NOON, "Europe/Athens") == expected
        assert format_datetime(NOON, "UTC").endswith("14:05 Uhr UTC" if language == "de" else "UTC")
    assert format_datetime(NOON, "Europe/Athens") == "23 November 2026, 16:05 Athens time"


def test_formats_of_numbers_use_the_language() -> None:
    with use_language("de"):
        assert (format_percent(66.7), format_number(1234.5)) == ("66,7\u00a0%", "1234,5")
        assert format_duration(3660) == "1 Stunde 1 Minute"
    with use_language("ar"):
        assert format_duration(2 * 3600 + 180) == "ساعتان و3 دقائق"
    assert (format_percent(66.7), format_number(1234.5)) == ("66.7%", "1234.5")


def test_format_short_datetime_and_format_date() -> None:
    assert format_short_datetime(NOON, "Europe/Athens") == "23 Nov 2026, 16:05"
    assert format_date(NOON, "Pacific/Kiritimati") == "24 November 2026"


@pytest.mark.parametrize(
    ("moment", "timezone", "expected"),
    [
        ("2026-10-24T23:59", "Europe/Berlin", "01:59 Berlin time"),
        ("2026-10-25T00:30", "Europe/Berlin", "02:30 Berlin time (summer time, UTC+2)"),
        ("2026-10-25T01:30", "Europe/Berlin", "02:30 Berlin time (winter time, UTC+1)"),
        ("2026-10-25T02:00", "Europe/Berlin", "03:00 Berlin time"),
        ("2026-03-29T01:00", "Europe/Berlin", "03:00 Berlin time"),
        ("2026-10-25T00:30", "Europe/Dublin", "01:30 Dublin time (summer time, UTC+1)"),
        ("2026-10-25T01:30", "Europe/Dublin", "01:30 Dublin time (winter time, UTC+0)"),
        ("2026-11-01T03:30", "America/St_Johns", "01:00 St Johns time (summer time, UTC−2:30)"),
        ("2026-04-04T16:30", "Australia/Sydney", "02:30 Sydney time (winter time, UTC+10)"),
        ("2014-10-25T22:30", "Europe/Moscow", "01:30 Moscow time (UTC+3)"),
        ("2026-10-25T00:30", "CET", "02:30 CEST (summer time, UTC+2)"),
        ("2026-10-25T00:30", "UTC", "00:30 UTC"),
    ],
)
def test_format_datetime_repeated_hour_says_which(
    moment: str, timezone: str, expected: str
) -> None:
    text = format_datetime(datetime.fromisoformat(moment).replace(tzinfo=UTC), timezone)
    assert text.partition(", ")[2] == expected


def test_format_short_datetime_repeated_hour_says_which() -> None:
    moment = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert format_short_datetime(moment, "Europe/Berlin") == "25 Oct 2026, 02:30 (UTC+2)"


@pytest.mark.parametrize(
    ("seconds", "expected"),
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
def test_format_duration_uses_the_two_largest_units(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
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
def test_format_time_left_rounds_down(seconds: float, expected: str) -> None:
    assert format_time_left(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(82, "82%"), (66.666, "66.7%"), (0, "0%"), (100.0, "100%")]
)
def test_format_percent_omits_a_zero_decimal(value: float, expected: str) -> None:
    assert format_percent(value) == expected


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("1. Why us?", "1. Why us?"),
        ("1. Why do you want\nto work here?", "1. Why do you want…"),
        ("1. Why do you want to", "1. Why do you want…"),
        ("Exactly twenty chars", "Exactly twenty chars"),
        ("1. " + "w" * 30, "1. " + "w" * 16 + "…"),
        ("One two, three, and four", "One two, three, and…"),
    ],
)
def test_cut_at_word_keeps_whole_words(text: str, cut: str) -> None:
    assert cut_at_word(text, 20) == cut
    assert len(cut) <= 20
