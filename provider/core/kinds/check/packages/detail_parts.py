"""The parts of a candidate's detail: what is typed into one control, and how it is checked."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from provider.core.email_address import split_address
from provider.core.kinds.check.packages.countries import COUNTRY_CODES
from provider.core.text_cleaning import clean_line
from provider.texts import LazyText, Text
from provider.texts import lazy_gettext as _

MAX_PART_LENGTH = 200  # characters
MAX_LINES_LENGTH = 1000  # characters of a part with several lines
MAX_STORED_LENGTH = 2000  # characters; a longer text is cut, because it cannot be right
MAX_AGE_YEARS = 120
MAX_PHONE_DIGITS = 15  # E.164
YES, NO = "yes", "no"
YES_OR_NO: tuple[tuple[str, Text], ...] = ((YES, _("Yes")), (NO, _("No")))

Row = dict[str, str]  # the values of the parts by key


@dataclass(frozen=True)
class Part:
    """One control of a detail.

    `input_type` is text, lines, date, month, year, email, tel, country or choice. `autocomplete` is
    a token of the HTML attribute. `choices` are (value, label).
    """

    key: str
    label: LazyText
    input_type: str = "text"
    is_required: bool = True
    hint: Text = ""
    autocomplete: str = "off"
    choices: tuple[tuple[str, Text], ...] = ()

    @property
    def max_length(self) -> int:
        return MAX_LINES_LENGTH if self.input_type == "lines" else MAX_PART_LENGTH

    def clean(self, raw: str) -> str:
        """Return what is stored of a typed text, right or wrong."""
        raw = raw[:MAX_STORED_LENGTH]
        text = to_lines(raw) if self.input_type == "lines" else to_one_line(raw)
        return _tidy_month(text) if self.input_type == "month" else text

    def find_problem(self, value: str, now: datetime) -> LazyText | None:
        """Return why a cleaned value cannot be used, as a sentence for the candidate."""
        if not value:
            return _("Please fill in: %(field)s", field=self.label) if self.is_required else None
        if len(value) > self.max_length:
            return _(
                "%(field)s: please use at most %(maximum)d characters",
                field=self.label,
                maximum=self.max_length,
            )
        if self.input_type == "choice" and value not in dict(self.choices):
            return _("Please choose: %(field)s", field=self.label)
        find_message = _FIND_MESSAGE.get(self.input_type)
        message = find_message(value, now.date()) if find_message else ""
        return LazyText(message, (("field", self.label),)) if message else None


def to_one_line(raw: str) -> str:
    """Return the text on one line, with single spaces."""
    return " ".join(clean_line(raw).split())


def to_lines(raw: str) -> str:
    lines = raw.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(clean_line(line).strip() for line in lines).strip()


def _tidy_month(text: str) -> str:
    """Return year-month for a month that was written in another order, such as 3/2015."""
    if match := re.fullmatch(r"(\d{4})\D(\d{1,2})", text):
        year, month = match.groups()
    elif match := re.fullmatch(r"(\d{1,2})\D(\d{4})", text):
        month, year = match.groups()
    else:
        return text
    return f"{int(year):04}-{int(month):02}"


def parse_month(value: str) -> date | None:
    """Return the first day of a month such as 2015-03; None for another text."""
    if not re.fullmatch("[0-9]{4}-[0-9]{2}", value):
        return None
    try:
        return date.fromisoformat(f"{value}-01")
    except ValueError:
        return None


def _find_date_message(value: str, today: date) -> str:
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return _("%(field)s: please write it as year-month-day, such as 1990-02-28").message
    is_possible = today.year - MAX_AGE_YEARS <= day.year and day < today
    return "" if is_possible else _CHECK_YEAR.message


def _find_month_message(value: str, today: date) -> str:
    month = parse_month(value)
    if month is None:
        return _("%(field)s: please write it as year-month, such as 2015-03").message
    is_possible = today.year - MAX_AGE_YEARS <= month.year and month <= today
    return "" if is_possible else _CHECK_YEAR.message


def _find_year_message(value: str, today: date) -> str:
    is_year = re.fullmatch("[0-9]{4}", value)
    is_possible = is_year and today.year - MAX_AGE_YEARS <= int(value) <= today.year + 10
    return "" if is_possible else _CHECK_YEAR.message


def _find_email_message(value: str, _today: date) -> str:
    return "" if split_address(value) else _("%(field)s: please check the address").message


def _find_phone_message(value: str, _today: date) -> str:
    digits = re.sub(r"[\s()./-]", "", value).removeprefix("+")
    is_possible = digits.isdigit() and 5 <= len(digits) <= MAX_PHONE_DIGITS
    return "" if is_possible else _("%(field)s: please check the number").message


def _find_country_message(value: str, _today: date) -> str:
    return "" if value in COUNTRY_CODES else _("Please choose: %(field)s").message


_CHECK_YEAR = _("%(field)s: please check the year")
# Input type → a function that returns the id of the text about a wrong value, or nothing.
_FIND_MESSAGE: Mapping[str, Callable[[str, date], str]] = {
    "date": _find_date_message,
    "month": _find_month_message,
    "year": _find_year_message,
    "email": _find_email_message,
    "tel": _find_phone_message,
    "country": _find_country_message,
}
