"""The details that a screening may need from a candidate, and their validation."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from itertools import chain

from provider.core.formats import format_date
from provider.core.kinds.check.packages.addresses import address_parts, find_address_problems
from provider.core.kinds.check.packages.countries import COUNTRY_CODES, country_names
from provider.core.kinds.check.packages.detail_parts import YES_OR_NO, Part, Row, parse_month
from provider.core.kinds.check.packages.detail_value import DetailValue
from provider.core.kinds.check.packages.national_ids import find_number_problem
from provider.errors import Invalid
from provider.texts import LazyText, Text
from provider.texts import lazy_gettext as _

ADDRESS_YEARS = 5  # the addresses of these years are asked for
MAX_ROWS = 20


@dataclass(frozen=True)
class Problem:
    """Why a detail cannot be used: the row and the part, and a sentence for the candidate."""

    detail: str
    message: LazyText
    row: int = 0
    part: str = ""


def _find_no_problems(_row: Row) -> Iterable[tuple[str, LazyText]]:
    return ()


@dataclass(frozen=True)
class DetailField:
    """One detail of a candidate.

    A detail with `row_label` may have several rows. `none_label` lets the candidate say that there
    is none. `has_address` adds the parts of an address in the country of the row.
    """

    label: LazyText
    parts: tuple[Part, ...]
    hint: Text = ""
    row_label: LazyText | None = None
    add_label: LazyText | None = None
    none_label: LazyText | None = None
    has_address: bool = False
    find_row_problems: Callable[[Row], Iterable[tuple[str, LazyText]]] = field(
        default=_find_no_problems
    )

    @property
    def has_rows(self) -> bool:
        return self.row_label is not None

    def parts_of(self, row: Row) -> tuple[Part, ...]:
        """Return the parts of a row: those of an address depend on the country."""
        if not self.has_address:
            return self.parts
        country, *others = self.parts
        code = row.get("country", "")
        own = address_parts(code) if code in COUNTRY_CODES else ()
        return (country, *own, *others)

    def find_problems(self, name: str, value: DetailValue, now: datetime) -> Iterator[Problem]:
        """Yield each problem of a value, in the order of the form."""
        value = value.without_empty_rows()
        if value.text or value.is_none:
            return
        if not value.rows and self.has_rows:
            yield Problem(name, _("Please fill in: %(field)s", field=self.label))
            return
        for number, row in enumerate(value.rows or ({},)):
            problems: dict[str, LazyText] = {}
            parts = self.parts_of(row)
            for part in parts:
                if problem := part.find_problem(row.get(part.key, ""), now):
                    problems[part.key] = problem
            for key, problem in self._find_own_problems(row):
                problems.setdefault(key, problem)
            for part in parts:
                if part.key in problems:
                    yield Problem(name, problems[part.key], number, part.key)

    def describe(self, value: DetailValue) -> list[str]:
        """Return one line per row, in the present language."""
        if value.is_none and self.none_label:
            return [str(self.none_label)]
        if value.text:
            return [value.text]
        return [", ".join(self._describe_row(row)) for row in value.rows if row]

    def _find_own_problems(self, row: Row) -> Iterable[tuple[str, LazyText]]:
        is_address = self.has_address and row.get("country", "") in COUNTRY_CODES
        return chain(find_address_problems(row) if is_address else (), self.find_row_problems(row))

    def _describe_row(self, row: Row) -> Iterator[str]:
        for part in self.parts_of(row):
            if not (text := row.get(part.key, "")):
                continue
            if part.input_type == "country":
                yield country_names().get(text, text)
            elif part.input_type == "date":
                yield _format_date(text)
            elif part.choices == YES_OR_NO:
                yield f"{part.label} {dict(part.choices).get(text, text)}"
            elif part.input_type == "choice":
                yield str(dict(part.choices).get(text, text))
            elif part.input_type in ("month", "year"):
                yield f"{part.label}: {text}"
            else:
                yield text.replace("\n", ", ")


def _format_date(text: str) -> str:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return text
    return format_date(datetime.combine(day, time(), UTC))


def _find_period_problems(row: Row) -> Iterator[tuple[str, LazyText]]:
    start, end = parse_month(row.get("from", "")), parse_month(row.get("until", ""))
    if start and end and start > end:
        yield "until", _("The end is before the beginning")


def _find_number_problems(row: Row) -> Iterator[tuple[str, LazyText]]:
    if problem := find_number_problem(row):
        yield "number", problem


def _find_name_problems(row: Row) -> Iterator[tuple[str, LazyText]]:
    if not row.get("given") and not row.get("family"):
        yield "family", _("Please fill in: %(field)s", field=_("Family name"))


_COUNTRY = Part("country", _("Country"), "country", autocomplete="country")
_FROM = Part("from", _("From"), "month", hint=_("Month and year, such as 2015-03"))
_NUMBER = Part("number", _("Number"))

DETAIL_FIELDS: Mapping[str, DetailField] = {
    "full_name": DetailField(
        _("Full legal name"),
        (
            Part("given", _("Given names"), is_required=False, autocomplete="given-name"),
            Part("family", _("Family name"), is_required=False, autocomplete="family-name"),
        ),
        _("As in your passport or identity card"),
        find_row_problems=_find_name_problems,
    ),
    "former_names": DetailField(
        _("Former names"),
        (
            Part("name", _("Name")),
            Part("until", _("Used until (year)"), "year", is_required=False),
        ),
        _("Such as a name before a marriage"),
        _("Former name %(number)d"),
        _("Add a former name"),
        _("I have had no other name"),
    ),
    "date_of_birth": DetailField(
        _("Date of birth"), (Part("date", _("Date of birth"), "date", autocomplete="bday"),)
    ),
    "address": DetailField(
        _("Home address"),
        (
            _COUNTRY,
            Part(
                "from",
                _("You have lived here since"),
                "month",
                hint=_("Month and year, such as 2015-03"),
            ),
        ),
        has_address=True,
    ),
    "former_addresses": DetailField(
        _("Addresses of the last five years"),
        (
            _COUNTRY,
            _FROM,
            Part("until", _("Until"), "month", hint=_("Month and year, such as 2015-03")),
        ),
        _("Where you lived before your home address"),
        _("Former address %(number)d"),
        _("Add a former address"),
        _("I have lived at my home address for five years or longer"),
        has_address=True,
        find_row_problems=_find_period_problems,
    ),
    "national_id": DetailField(
        _("National identity or insurance number"),
        (_COUNTRY, _NUMBER),
        find_row_problems=_find_number_problems,
    ),
    "driving_licence": DetailField(_("Driving licence number"), (_COUNTRY, _NUMBER)),
    "professional_licence": DetailField(
        _("Professional licence"),
        (
            Part("profession", _("Profession")),
            _NUMBER,
            Part("register", _("Register that issued it")),
        ),
    ),
    "education": DetailField(
        _("Highest degree"),
        (
            Part("school", _("School or university")),
            _COUNTRY,
            Part("degree", _("Degree")),
            Part("year", _("Year of the degree"), "year"),
        ),
        row_label=_("Degree %(number)d"),
        add_label=_("Add a degree"),
        none_label=_("I have no degree"),
    ),
    "employers": DetailField(
        _("Last two employers"),
        (
            Part("name", _("Employer")),
            Part("town", _("Town")),
            _COUNTRY,
            Part("role", _("Your role")),
            _FROM,
            Part(
                "until",
                _("Until"),
                "month",
                is_required=False,
                hint=_("Leave it empty if you still work there"),
            ),
            Part(
                "may_ask",
                _("May we ask them now?"),
                "choice",
                choices=YES_OR_NO,
            ),
        ),
        row_label=_("Employer %(number)d"),
        add_label=_("Add an employer"),
        none_label=_("I have not been employed yet"),
        find_row_problems=_find_period_problems,
    ),
    "referees": DetailField(
        _("Referees"),
        (
            Part("name", _("Name")),
            Part("relation", _("How you know each other")),
            Part("email", _("E-mail"), "email"),
            Part("phone", _("Phone"), "tel", is_required=False),
        ),
        _("People who know your work"),
        _("Referee %(number)d"),
        _("Add a referee"),
    ),
}


class IncompleteForm(Invalid):
    """A consent with missing details. `fields` has one message per detail, and per `name`."""

    def __init__(self, fields: dict[str, LazyText]) -> None:
        first = next(iter(fields.values()))
        super().__init__(first.message, **dict(first.params))
        self.fields = fields


def find_problems(
    requested_details: Iterable[str], values: Mapping[str, DetailValue], now: datetime
) -> list[Problem]:
    """Return what is missing or wrong, in the order of the details."""
    problems: list[Problem] = []
    for name in requested_details:
        value = values.get(name, DetailValue())
        if name == "former_addresses" and "address" in values:
            problems += _find_former_address_problems(values["address"], value, now)
        else:
            problems += DETAIL_FIELDS[name].find_problems(name, value, now)
    return problems


def _find_former_address_problems(
    current: DetailValue, former: DetailValue, now: datetime
) -> Iterator[Problem]:
    """Yield the problems of the former addresses, which depend on the date of the present one."""
    name = "former_addresses"
    starts = [row.get("from", "") for row in (*current.rows[:1], *former.rows)]
    begin = f"{now.year - ADDRESS_YEARS}-{now.month:02}"
    is_covered = any(start and start <= begin for start in starts)
    if former.is_none and not is_covered and any(starts):
        yield Problem(name, _("Please add where you lived before your home address"))
    elif not former.without_empty_rows().rows and is_covered:
        return
    else:
        yield from DETAIL_FIELDS[name].find_problems(name, former, now)
        if former.rows and not former.text and not is_covered:
            yield Problem(name, _("Please add where you lived until five years ago"))
