"""The settings `candidate_emails` and `reminders`, and the quiet hours of an account."""

from datetime import UTC, datetime, timedelta

import pytest

from provider.core.accounts import Account
from provider.core.accounts.email_policy import (
    EmailPolicy,
    Reminder,
    quiet_hours_end,
    read_candidate_emails,
    read_reminders,
    set_candidate_emails,
    set_reminders,
)
from provider.errors import Invalid

DEADLINE = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "stored", "shown"),
    [
        ("expiry, completion", ["completion", "expiry"], "completion,expiry"),
        ("decline,decline", ["decline"], "decline"),
        ("none", [], "none"),
    ],
)
def test_candidate_emails_are_stored_and_shown(text: str, stored: list[str], shown: str) -> None:
    account = Account(options={"declined": True})
    set_candidate_emails(account, text)
    assert account.options == {"declined": True, "candidate_emails": stored}
    assert read_candidate_emails(account) == shown


@pytest.mark.parametrize(
    ("text", "stored", "shown"),
    [
        ("1d,3d", [259_200, 86_400], "3d,1d"),
        ("24h, 90m", [86_400, 5400], "1d,90m"),
        ("1d,24h", [86_400], "1d"),
        ("none", [], "none"),
    ],
)
def test_reminders_are_stored_and_shown(text: str, stored: list[int], shown: str) -> None:
    account = Account(options={})
    set_reminders(account, text)
    assert account.options == {"reminders": stored}
    assert read_reminders(account) == shown


@pytest.mark.parametrize("text", ["", "1x", "10m", "91d", "1d,", "1d 3d", "6d,5d,4d,3d,2d,1d"])
def test_reminders_that_are_not_times_are_refused(text: str) -> None:
    account = Account(options={})
    with pytest.raises(Invalid, match=r"^reminders should be"):
        set_reminders(account, text)
    assert account.options == {}


@pytest.mark.parametrize("text", ["", "cancellation", "completion,", "completion decline"])
def test_candidate_emails_that_are_unknown_are_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"^candidate_emails should be some of"):
        set_candidate_emails(Account(options={}), text)


def test_policy_without_settings_has_the_defaults() -> None:
    account = Account(options={})
    assert read_candidate_emails(account) == "completion,decline"
    assert read_reminders(account) == "1d"


@pytest.mark.parametrize(
    ("days_before", "expected_days"), [(7, 3), (3, 1), (2, 1), (1, None), (0, None)]
)
def test_next_reminder_is_the_first_after_a_moment(
    days_before: int, expected_days: int | None
) -> None:
    policy = EmailPolicy.from_options({"reminders": [86_400, 259_200]})
    expected = (
        Reminder(DEADLINE - expected_days * DAY, expected_days * 86_400) if expected_days else None
    )
    assert policy.next_reminder(DEADLINE, DEADLINE - days_before * DAY) == expected


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-11-23T20:59:59+02:00", None),
        ("2026-11-23T21:00+02:00", "2026-11-24T08:00+02:00"),
        ("2026-11-24T00:30+02:00", "2026-11-24T08:00+02:00"),
        ("2026-11-24T07:59:59+02:00", "2026-11-24T08:00+02:00"),
        ("2026-11-24T08:00+02:00", None),
        # Athens ends summer time at four o'clock of this night.
        ("2026-10-24T22:00+03:00", "2026-10-25T08:00+02:00"),
        ("2026-10-25T03:30+03:00", "2026-10-25T08:00+02:00"),
    ],
)
def test_quiet_hours_end_at_eight_in_the_accounts_zone(moment: str, end: str | None) -> None:
    result = quiet_hours_end(datetime.fromisoformat(moment).astimezone(UTC), "Europe/Athens")
    assert result == (datetime.fromisoformat(end) if end else None)
