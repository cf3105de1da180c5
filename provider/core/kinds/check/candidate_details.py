"""The details that a screening may need from a candidate, and their validation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from provider.core.text_cleaning import clean_line
from provider.errors import Invalid
from provider.texts import LazyText, Text
from provider.texts import lazy_gettext as _

MAX_DETAIL_LENGTH = 1000  # characters
MAX_AGE_YEARS = 120


@dataclass(frozen=True)
class DetailField:
    """One field of the consent form. `autocomplete` is a token of the HTML attribute."""

    label: LazyText
    hint: Text = ""
    autocomplete: str = "off"
    input_type: str = "text"  # text, date or lines

    def parse(self, raw: str, now: datetime) -> str:
        """Return the cleaned value. Raises Invalid with a sentence for the candidate."""
        text = _clean_lines(raw) if self.input_type == "lines" else to_one_line(raw)
        if not text:
            raise Invalid("Please fill in: %(field)s", field=self.label)
        if len(text) > MAX_DETAIL_LENGTH:
            raise Invalid(
                "%(field)s: please use at most %(maximum)d characters",
                field=self.label,
                maximum=MAX_DETAIL_LENGTH,
            )
        if self.input_type == "date":
            return _parse_past_date(text, self.label, now).isoformat()
        return text


DETAIL_FIELDS: Mapping[str, DetailField] = {
    "full_name": DetailField(
        _("Full legal name"), _("As in your passport or identity card"), "name"
    ),
    "former_names": DetailField(_("Former names"), _("Write “none” if you have had no other")),
    "date_of_birth": DetailField(_("Date of birth"), autocomplete="bday", input_type="date"),
    "address": DetailField(
        _("Home address"), _("Street, town, postcode, country"), "street-address", "lines"
    ),
    "former_addresses": DetailField(
        _("Addresses of the last five years"),
        _("One per line, with the years; or “none”"),
        input_type="lines",
    ),
    "national_id": DetailField(_("National identity or insurance number")),
    "driving_licence": DetailField(_("Driving licence number")),
    "professional_licence": DetailField(
        _("Professional licence"), _("Profession, number, and the register that issued it")
    ),
    "education": DetailField(
        _("Highest degree"), _("School or university, degree, and the year"), input_type="lines"
    ),
    "employers": DetailField(
        _("Last two employers"),
        _("Name, town, your role, and from when until when"),
        input_type="lines",
    ),
    "referees": DetailField(
        _("Referees"), _("Name, role, and e-mail or phone of each"), input_type="lines"
    ),
}


def to_one_line(raw: str) -> str:
    """Return the text on one line, with single spaces."""
    return " ".join(clean_line(raw).split())


def _clean_lines(raw: str) -> str:
    lines = raw.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(clean_line(line).strip() for line in lines).strip()


def _parse_past_date(text: str, label: LazyText, now: datetime) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Invalid(
            "%(field)s: please write it as year-month-day, such as 1990-02-28", field=label
        ) from None
    if not now.year - MAX_AGE_YEARS <= day.year or day >= now.date():
        raise Invalid("%(field)s: please check the year", field=label)
    return day


class IncompleteForm(Invalid):
    """A consent form with errors. `fields` has one message per wrong field."""

    def __init__(self, fields: dict[str, LazyText]) -> None:
        first = next(iter(fields.values()))
        super().__init__(first.message, **dict(first.params))
        self.fields = fields


def parse_form(
    requested_details: Iterable[str], name: str, details: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """Return the cleaned name and details of a consent form; raises IncompleteForm."""
    problems: dict[str, LazyText] = {}
    values = {"name": to_one_line(name)}
    if not values["name"]:
        problems["name"] = _("Please type your name to agree")
    elif len(values["name"]) > 200:
        problems["name"] = _("Please use at most 200 characters")
    for field in requested_details:
        try:
            values[field] = DETAIL_FIELDS[field].parse(details.get(field, ""), now)
        except Invalid as error:
            problems[field] = error.text
    if problems:
        raise IncompleteForm(problems)
    return values
