"""The settings of an account that concern background checks."""

import re

from provider.core.accounts.account import Account
from provider.core.working_days import parse_region
from provider.errors import Invalid

# When a second person must confirm the completion of a check.
NEVER, FOR_CONSIDER, ALWAYS = SECOND_PERSON_RULES = ("never", "consider", "always")
DEFAULT_NOTICE_DAYS = 5  # business days
MAX_NOTICE_DAYS = 60


def second_person_rule(account: Account) -> str:
    return str(account.options.get("second_person") or NEVER)


def set_second_person(account: Account, text: str) -> None:
    if text not in SECOND_PERSON_RULES:
        known = ", ".join(SECOND_PERSON_RULES)
        raise Invalid(f"second_person should be one of {known}, not “{text}”")
    account.options = account.options | {"second_person": text}


def notice_days(account: Account) -> int:
    """Return the account's number of business days between the two notices."""
    return int(account.options.get("notice_days") or DEFAULT_NOTICE_DAYS)


def set_notice_days(account: Account, text: str) -> None:
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= MAX_NOTICE_DAYS:
        raise Invalid(f"notice_days should be a whole number from 1 to {MAX_NOTICE_DAYS}")
    account.options = account.options | {"notice_days": int(text)}


def holidays_region(account: Account) -> str:
    """Return the country, or the part of one, of the setting; empty without one."""
    return str(account.options.get("holidays") or "")


def set_holidays(account: Account, text: str) -> None:
    region = "" if text in ("", "none") else parse_region(text)
    account.options = account.options | {"holidays": region}
