"""The e-mails that an account sends to candidates after the invitation, and its quiet hours.

The account's options have the settings `candidate_emails` and `reminders`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple, Self

from provider.config import parse_duration
from provider.core.accounts.account import Account
from provider.core.formats import load_time_zone
from provider.errors import Invalid

COMPLETION, DECLINE, EXPIRY = CANDIDATE_EMAILS = ("completion", "decline", "expiry")  # templates
DEFAULT_CANDIDATE_EMAILS = [COMPLETION, DECLINE]
DEFAULT_REMINDER_LEADS_SECONDS = [86_400]  # before the deadline
MAX_REMINDERS = 5
MIN_REMINDER_LEAD, MAX_REMINDER_LEAD = timedelta(hours=1), timedelta(days=90)
QUIET_FROM, QUIET_UNTIL = time(21), time(8)  # in the candidate's time zone
NONE = "none"


class Reminder(NamedTuple):
    """When a reminder is due, and which one it is: the seconds from it to the deadline."""

    due_at: datetime
    lead_seconds: int


@dataclass(frozen=True)
class EmailPolicy:
    """The statuses that candidates get an e-mail about, and the reminders, the earliest first."""

    candidate_emails: tuple[str, ...]
    reminder_leads: tuple[int, ...]  # seconds

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Return the policy of an account with these options."""
        leads = options.get("reminders", DEFAULT_REMINDER_LEADS_SECONDS)
        return cls(
            tuple(options.get("candidate_emails", DEFAULT_CANDIDATE_EMAILS)),
            tuple(sorted(leads, reverse=True)),
        )

    def next_reminder(self, expires_at: datetime, after: datetime) -> Reminder | None:
        """Return the first reminder that is due after a moment; None where there is no other."""
        for lead in self.reminder_leads:
            due_at = expires_at - timedelta(seconds=lead)
            if due_at > after:
                return Reminder(due_at, lead)
        return None


def quiet_hours_end(moment: datetime, timezone: str) -> datetime | None:
    """Return when the quiet hours that contain a moment end; None outside of them."""
    local = moment.astimezone(load_time_zone(timezone))
    if QUIET_UNTIL <= local.time() < QUIET_FROM:
        return None
    day = local + timedelta(days=1) if local.time() >= QUIET_FROM else local
    end = day.replace(hour=QUIET_UNTIL.hour, minute=0, second=0, microsecond=0, fold=0)
    return end.astimezone(moment.tzinfo)


def set_candidate_emails(account: Account, text: str) -> None:
    """Change the setting `candidate_emails`; Invalid describes a valid value."""
    names = [] if text.strip() == NONE else [name.strip() for name in text.split(",")]
    if not set(names) <= set(CANDIDATE_EMAILS):
        raise Invalid(
            f"candidate_emails should be some of {', '.join(CANDIDATE_EMAILS)}, or none, "
            f"not “{text}”"
        )
    chosen = [name for name in CANDIDATE_EMAILS if name in names]
    account.options = account.options | {"candidate_emails": chosen}


def read_candidate_emails(account: Account) -> str:
    """Return the text from which `set_candidate_emails` makes the present value."""
    return ",".join(EmailPolicy.from_options(account.options).candidate_emails) or NONE


def set_reminders(account: Account, text: str) -> None:
    """Change the setting `reminders`; Invalid describes a valid value."""
    parts = [] if text.strip() == NONE else text.split(",")
    leads = sorted({_parse_lead(part) for part in parts}, reverse=True)
    if len(leads) > MAX_REMINDERS:
        raise Invalid(f"reminders should be at most {MAX_REMINDERS} times before the deadline")
    account.options = account.options | {"reminders": leads}


def read_reminders(account: Account) -> str:
    """Return the text from which `set_reminders` makes the present value."""
    leads = EmailPolicy.from_options(account.options).reminder_leads
    return ",".join(_format_lead(lead) for lead in leads) or NONE


def _parse_lead(text: str) -> int:
    try:
        lead = parse_duration(text)
    except Invalid:
        lead = timedelta(0)
    if not MIN_REMINDER_LEAD <= lead <= MAX_REMINDER_LEAD:
        raise Invalid(
            "reminders should be times before the deadline like 3d,1d, each from 1h to 90d, or "
            f"none, not “{text.strip()}”"
        )
    return int(lead.total_seconds())


def _format_lead(seconds: int) -> str:
    unit, size = next(
        unit for unit in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)) if seconds % unit[1] == 0
    )
    return f"{seconds // size}{unit}"
