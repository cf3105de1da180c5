"""What a screening may need to know of a candidate, and how each is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from provider.errors import Invalid
from provider.kinds.fields import cleaned

LONGEST = 1000  # characters of one particular
OLDEST = 120  # years


@dataclass(frozen=True)
class Particular:
    """One thing to fill in: its words, the browser's help (`autocomplete`), and its form."""

    label: str
    hint: str = ""
    autocomplete: str = "off"
    kind: str = "text"  # text, date or lines

    def read(self, raw: str, at: datetime) -> str:
        """Return what was filled in, tidied; Invalid with a sentence for the candidate."""
        text = _lines(raw) if self.kind == "lines" else one_line(raw)
        if not text:
            raise Invalid(f"Please fill in: {self.label}")
        if len(text) > LONGEST:
            raise Invalid(f"{self.label}: please use at most {LONGEST} characters")
        if self.kind == "date":
            return _past_day(text, self.label, at).isoformat()
        return text


PARTICULARS: Mapping[str, Particular] = {
    "full_name": Particular("Full legal name", "As in your passport or identity card", "name"),
    "former_names": Particular("Former names", "Write “none” if you have had no other"),
    "date_of_birth": Particular("Date of birth", autocomplete="bday", kind="date"),
    "address": Particular(
        "Home address", "Street, town, postcode, country", "street-address", "lines"
    ),
    "former_addresses": Particular(
        "Addresses of the last five years", "One per line, with the years; or “none”", kind="lines"
    ),
    "national_id": Particular("National identity or insurance number"),
    "driving_licence": Particular("Driving licence number"),
    "education": Particular(
        "Highest degree", "School or university, degree, and the year", kind="lines"
    ),
    "employers": Particular(
        "Last two employers", "Name, town, your role, and from when until when", kind="lines"
    ),
    "referees": Particular("Referees", "Name, role, and e-mail or phone of each", kind="lines"),
}


def one_line(raw: str) -> str:
    """Return what was typed into one line, without doubled blanks."""
    return " ".join(cleaned(raw).split())


def _lines(raw: str) -> str:
    """Return what was typed, its lines kept, without blanks at their ends."""
    lines = cleaned(raw).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.strip() for line in lines).strip()


def _past_day(text: str, label: str, at: datetime) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{label}: please write it as year-month-day, such as 1990-02-28") from None
    if not at.year - OLDEST <= day.year or day >= at.date():
        raise Invalid(f"{label}: please check the year")
    return day
