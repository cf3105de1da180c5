"""The settings that every account has: how each is changed by a text, and its present text."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from zoneinfo import available_timezones

from provider.config import parse_duration
from provider.core.accounts.account import Account
from provider.core.accounts.check_settings import (
    SECOND_PERSON_RULES,
    holidays_region,
    notice_days,
    second_person_rule,
    set_holidays,
    set_notice_days,
    set_second_person,
)
from provider.core.accounts.email_policy import (
    CANDIDATE_EMAILS,
    read_candidate_emails,
    read_reminders,
    set_candidate_emails,
    set_reminders,
)
from provider.core.accounts.sandbox_outcomes import (
    OUTCOMES,
    read_sandbox_outcomes,
    set_sandbox_outcomes,
)
from provider.core.accounts.screening_times import (
    format_duration_text,
    read_screening_times,
    set_screening_times,
)
from provider.core.accounts.setting_texts import (
    NONE,
    parse_account_name,
    parse_contact,
    parse_host,
)
from provider.core.yes_no import format_yes_no, parse_yes_no
from provider.errors import Invalid

CALLBACK_RATE_RANGE = (0.01, 10_000)  # callbacks per second
MAX_REQUEST_RATE = 10_000  # calls per second


@dataclass(frozen=True)
class CommonSetting:
    """A setting of every account. `change` parses a text, Invalid; `read` returns the value's text.

    Only an account whose ATS calls our endpoints uses a setting with `needs_endpoints`.
    """

    name: str
    label: str
    description: str
    change: Callable[[Account, str], None]
    read: Callable[[Account], str]
    can_be_none: bool = False
    is_switch: bool = False
    needs_endpoints: bool = False
    choices: tuple[str, ...] = ()  # of which the text names some, comma-separated


def _set_callback_hosts(account: Account, text: str) -> None:
    account.callback_hosts = [parse_host(host) for host in text.split(",")]


def _set_expire_after(account: Account, text: str) -> None:
    account.expire_after_seconds = int(parse_duration(text).total_seconds())


def _read_expire_after(account: Account) -> str:
    return format_duration_text(account.expire_after_seconds)


def _set_timezone(account: Account, text: str) -> None:
    if text not in available_timezones():
        raise Invalid(f"“{text}” is not a time zone: write a name like Europe/Athens")
    account.timezone = text


def _set_shared_ttl(account: Account, text: str) -> None:
    match = re.fullmatch(r"(\d{1,6})\s+(minutes|days|views)", text)
    if text != NONE and (not match or int(match[1]) == 0):
        raise Invalid("shared_ttl should look like 120 minutes, 3 days, 3 views or none")
    account.shared_ttl = int(match[1]) if match else None
    account.shared_ttl_units = match[2] if match else None


def _read_shared_ttl(account: Account) -> str:
    return f"{account.shared_ttl} {account.shared_ttl_units}" if account.shared_ttl else NONE


def _set_callback_rate(account: Account, text: str) -> None:
    try:
        rate = None if text == NONE else float(text)
    except ValueError:
        rate = nan
    if rate is not None and not CALLBACK_RATE_RANGE[0] <= rate <= CALLBACK_RATE_RANGE[1]:
        raise Invalid(
            "callback_rate should be a number of callbacks per second, 0.01 to 10000, or none"
        )
    account.callback_rate = rate


def _set_request_rate(account: Account, text: str) -> None:
    rate = int(text) if re.fullmatch("[0-9]{1,5}", text) else 0
    if text != NONE and not 1 <= rate <= MAX_REQUEST_RATE:
        raise Invalid(
            "request_rate should be a whole number of calls per second, 1 to 10000, or none"
        )
    account.request_rate = rate or None


def _set_sandbox(account: Account, text: str) -> None:
    account.sandbox = parse_yes_no("sandbox", text)


def _set_display_name(account: Account, text: str) -> None:
    account.change_branding(display_name=None if text in ("", NONE) else parse_account_name(text))


def _set_colour(account: Account, text: str) -> None:
    if text != NONE and not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise Invalid("brand.colour should look like #0a5cff, or none")
    account.change_branding(colour=None if text == NONE else text.lower())


def _contact_setting(name: str, label: str, description: str) -> CommonSetting:
    def change(account: Account, text: str) -> None:
        value = None if text in ("", NONE) else parse_contact(f"brand.{name}", text)
        account.change_branding(**{name: value})

    return CommonSetting(
        f"brand.{name}", label, description, change, _branding_reader(name), can_be_none=True
    )


def _switch_setting(
    name: str, label: str, description: str, *, is_on_without: bool = False
) -> CommonSetting:
    """Return a switch. `is_on_without` is its state in an account that has never set it."""

    def change(account: Account, text: str) -> None:
        account.options = account.options | {name: parse_yes_no(name, text)}

    def read(account: Account) -> str:
        return format_yes_no(account.options.get(name, is_on_without))

    return CommonSetting(name, label, description, change, read, is_switch=True)


def _branding_reader(name: str) -> Callable[[Account], str]:
    return lambda account: str(account.branding.get(name) or NONE)


def _storage_setting(name: str, label: str, description: str) -> CommonSetting:
    column = f"{name}_seconds"

    def change(account: Account, text: str) -> None:
        seconds = None if text in ("", NONE) else int(parse_duration(text).total_seconds())
        setattr(account, column, seconds)

    def read(account: Account) -> str:
        seconds = getattr(account, column)
        return NONE if seconds is None else format_duration_text(seconds)

    return CommonSetting(name, label, description, change, read, can_be_none=True)


COMMON_SETTINGS: dict[str, CommonSetting] = {
    setting.name: setting
    for setting in (
        CommonSetting(
            "callback_hosts",
            "Callback hosts",
            "hosts to which callbacks may go, comma-separated, like *.example.com",
            _set_callback_hosts,
            lambda account: ",".join(account.callback_hosts) or NONE,
            needs_endpoints=True,
        ),
        CommonSetting(
            "callback_rate",
            "Callback rate",
            "at most so many callbacks per second to each host, 0.01 to 10000; empty for no limit",
            _set_callback_rate,
            lambda account: f"{account.callback_rate:g}" if account.callback_rate else NONE,
            can_be_none=True,
            needs_endpoints=True,
        ),
        CommonSetting(
            "request_rate",
            "Request rate",
            "at most so many calls of the ATS per second, 1 to 10000; empty for no limit",
            _set_request_rate,
            lambda account: str(account.request_rate or NONE),
            can_be_none=True,
            needs_endpoints=True,
        ),
        CommonSetting(
            "expire_after",
            "Time to start",
            "how long a candidate has to start, like 12h, 7d or 2w",
            _set_expire_after,
            _read_expire_after,
        ),
        CommonSetting(
            "timezone",
            "Time zone",
            "of the times in reports, and in e-mails until a candidate's browser names hers, "
            "like Europe/Athens",
            _set_timezone,
            lambda account: account.timezone,
        ),
        CommonSetting(
            "shared_ttl",
            "Lifetime of shared links",
            "like 120 minutes, 30 days or 3 views; empty if they never expire",
            _set_shared_ttl,
            _read_shared_ttl,
            can_be_none=True,
        ),
        _storage_setting(
            "keep_recordings",
            "Recordings are stored",
            "how long after the end of an order, like 180d; empty: until somebody erases them",
        ),
        _storage_setting(
            "keep_candidates",
            "Candidates are stored",
            "how long after the end of an order, like 104w; empty: until somebody erases them",
        ),
        CommonSetting(
            "keep_screenings",
            "Data of screenings is stored",
            "how long after the end of a check, by type of screening, like "
            "criminal_record=180d, credit=90d; the outcome stays; empty: as long as the candidate",
            set_screening_times,
            read_screening_times,
            can_be_none=True,
        ),
        CommonSetting(
            "sandbox",
            "Sandbox",
            "an account for trials, which sees samples too",
            _set_sandbox,
            lambda account: format_yes_no(account.sandbox),
            is_switch=True,
        ),
        _switch_setting(
            "hide_names",
            "Hide names from reviewers",
            "people with the role reviewer see a label instead of a candidate’s name until their "
            "own scorecard is in, or the order is completed",
        ),
        _switch_setting(
            "partial_results",
            "Partial results of checks",
            "the outcome of each screening is shown before the whole check is completed",
        ),
        CommonSetting(
            "holidays",
            "Public holidays",
            "of a country like GB, or of a part of one like US-CA: due dates of screenings leave "
            "them out; empty for the country of the time zone",
            set_holidays,
            lambda account: holidays_region(account) or NONE,
            can_be_none=True,
        ),
        _switch_setting(
            "check_copies",
            "Copy of the report for candidates of checks",
            "every candidate may read the report of her background check; switched off, still "
            "those who asked for it, and those in the United States, in the United Kingdom, or in "
            "a country that is not known",
            is_on_without=True,
        ),
        CommonSetting(
            "second_person",
            "Second person for checks",
            f"when a second person must confirm the outcomes: {', '.join(SECOND_PERSON_RULES)}",
            set_second_person,
            second_person_rule,
        ),
        CommonSetting(
            "notice_days",
            "Days between two notices",
            "business days after the notice before a decision against a candidate, 1 to 60; some "
            "places require more",
            set_notice_days,
            lambda account: str(notice_days(account)),
        ),
        CommonSetting(
            "sandbox_outcomes",
            "Outcomes in a sandbox",
            "how orders end whose candidate's address does not decide it: PRODUCT=OUTCOME, "
            f"comma-separated, with keys of products; an outcome is one of {', '.join(OUTCOMES)}",
            set_sandbox_outcomes,
            read_sandbox_outcomes,
            can_be_none=True,
        ),
        CommonSetting(
            "candidate_emails",
            "E-mails to candidates",
            f"some of {', '.join(CANDIDATE_EMAILS)}, comma-separated; or none",
            set_candidate_emails,
            read_candidate_emails,
            can_be_none=True,
            choices=CANDIDATE_EMAILS,
        ),
        CommonSetting(
            "reminders",
            "Reminders",
            "how long before the deadline, comma-separated, like 3d,1d; or none",
            set_reminders,
            read_reminders,
            can_be_none=True,
        ),
        CommonSetting(
            "brand.display_name",
            "Name for candidates",
            "the name that candidates read; empty for the account's name",
            _set_display_name,
            _branding_reader("display_name"),
            can_be_none=True,
        ),
        _contact_setting(
            "support_address",
            "Support address",
            "an e-mail address or a web page where candidates get help",
        ),
        _contact_setting(
            "privacy_address",
            "Privacy address",
            "an e-mail address or a web page for questions about personal data",
        ),
        CommonSetting(
            "brand.colour",
            "Colour",
            "of buttons and bars, like #0a5cff; empty for the standard colour",
            _set_colour,
            _branding_reader("colour"),
            can_be_none=True,
        ),
    )
}
