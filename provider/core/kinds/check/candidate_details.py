"""The details that a screening may need from a candidate, and their validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from provider.core.products.schema_fields import clean_text
from provider.errors import Invalid

MAX_DETAIL_LENGTH = 1000  # characters
MAX_AGE_YEARS = 120


@dataclass(frozen=True)
class DetailField:
    """One field of the consent form. `autocomplete` is a token of the HTML attribute."""

    label: str
    hint: str = ""
    autocomplete: str = "off"
    input_type: str = "text"  # text, date or lines

    def parse(self, raw: str, now: datetime) -> str:
        """Return the cleaned value. Raises Invalid with a sentence for the candidate."""
        text = _clean_lines(raw) if self.input_type == "lines" else to_one_line(raw)
        if not text:
            raise Invalid(f"Please fill in: {self.label}")
        if len(text) > MAX_DETAIL_LENGTH:
            raise Invalid(f"{self.label}: please use at most {MAX_DETAIL_LENGTH} characters")
        if self.input_type == "date":
            return _parse_past_date(text, self.label, now).isoformat()
        return text


DETAIL_FIELDS: Mapping[str, DetailField] = {
    "full_name": DetailField("Full legal name", "As in your passport or identity card", "name"),
    "former_names": DetailField("Former names", "Write “none” if you have had no other"),
    "date_of_birth": DetailField("Date of birth", autocomplete="bday", input_type="date"),
    "address": DetailField(
        "Home address", "Street, town, postcode, country", "street-address", "lines"
    ),
    "former_addresses": DetailField(
        "Addresses of the last five years",
        "One per line, with the years; or “none”",
        input_type="lines",
    ),
    "national_id": DetailField("National identity or insurance number"),
    "driving_licence": DetailField("Driving licence number"),
    "education": DetailField(
        "Highest degree", "School or university, degree, and the year", input_type="lines"
    ),
    "employers": DetailField(
        "Last two employers", "Name, town, your role, and from when until when", input_type="lines"
    ),
    "referees": DetailField(
        "Referees", "Name, role, and e-mail or phone of each", input_type="lines"
    ),
}


def to_one_line(raw: str) -> str:
    """Return the text on one line, with single spaces."""
    return " ".join(clean_text(raw).split())


def _clean_lines(raw: str) -> str:
    lines = clean_text(raw).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.strip() for line in lines).strip()


def _parse_past_date(text: str, label: str, now: datetime) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{label}: please write it as year-month-day, such as 1990-02-28") from None
    if not now.year - MAX_AGE_YEARS <= day.year or day >= now.date():
        raise Invalid(f"{label}: please check the year")
    return day
