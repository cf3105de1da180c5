"""How long a company waits between the two notices of an adverse action, by jurisdiction.

The numbers are data, and no legal advice: each needs review by a lawyer before use. An entry names
its source, and what was read of it. `docs/checks.md` names the pages that were read. An account may
wait longer, never shorter.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from provider.texts import LazyText
from provider.texts import lazy_gettext as _

OTHER_PLACE = "other"
# The texts that were read for a number, in November 2026.
LAW, DESCRIPTIONS, NOTHING = BASES = ("law", "descriptions", "nothing")
BASIS_LABELS: Mapping[str, str] = {
    LAW: "The text of the law was read",
    DESCRIPTIONS: "Descriptions of the law were read, not the law itself",
    NOTHING: "No text was found",
}


@dataclass(frozen=True)
class Jurisdiction:
    """The rules of a place. Its key is stored with each action, and is never deleted or renamed.

    `waiting_days` are business days; None means the account's number. `country` and `subdivision`
    (ISO 3166) give the public holidays. `days_after_dispute` is the least number of business days
    that are left once a dispute has been answered. `source` names the law, and what is uncertain;
    `basis` is one of BASES.
    """

    label: LazyText
    country: str = ""
    subdivision: str = ""
    waiting_days: int | None = None
    days_after_dispute: int = 0
    needs_rights_text: bool = False
    source: str = ""
    basis: str = NOTHING


JURISDICTIONS: Mapping[str, Jurisdiction] = {
    "us": Jurisdiction(
        _("United States (federal law)"),
        "US",
        "",
        5,
        needs_rights_text=True,
        source="15 U.S.C. § 1681b(b)(3)(A), which names no number; five is held to be reasonable",
        basis=DESCRIPTIONS,
    ),
    "us-ca": Jurisdiction(
        _("California"),
        "US",
        "CA",
        5,
        5,
        needs_rights_text=True,
        source="California Government Code § 12952(c)",
        basis=DESCRIPTIONS,
    ),
    "us-ca-la": Jurisdiction(
        _("Los Angeles (city)"),
        "US",
        "CA",
        5,
        5,
        needs_rights_text=True,
        source=(
            "Los Angeles Municipal Code § 189; descriptions say five days, and not which days. "
            "The days after a dispute are California’s, whose law applies too"
        ),
        basis=DESCRIPTIONS,
    ),
    "us-ca-lac": Jurisdiction(
        _("Los Angeles County (unincorporated)"),
        "US",
        "CA",
        5,
        10,
        needs_rights_text=True,
        source="Los Angeles County Code ch. 8.300, from 3 September 2024",
        basis=DESCRIPTIONS,
    ),
    "us-ny-nyc": Jurisdiction(
        _("New York City"),
        "US",
        "NY",
        5,
        needs_rights_text=True,
        source="New York City Administrative Code § 8-107(11), Local Law 4 of 2021",
        basis=DESCRIPTIONS,
    ),
    "us-ma": Jurisdiction(
        _("Massachusetts"),
        "US",
        "MA",
        5,
        needs_rights_text=True,
        source="803 CMR 2.20, which names no number; five as under federal law",
        basis=LAW,
    ),
    "us-pa-phl": Jurisdiction(
        _("Philadelphia"),
        "US",
        "PA",
        10,
        needs_rights_text=True,
        source=(
            "Philadelphia Code § 9-3504.1 as of April 2021; the change of 6 January 2026 "
            "(Bill 250373-A) was not read"
        ),
        basis=LAW,
    ),
    "gb": Jurisdiction(
        _("United Kingdom"), "GB", source="No law with a number is known; the account’s number"
    ),
    OTHER_PLACE: Jurisdiction(_("Another place"), source="The account’s number"),
}


def suggest_jurisdiction(country: str, subdivision: str) -> str:
    """Return the key for a candidate's country and subdivision; the country's, else OTHER_PLACE.

    A city has no code, so a person chooses it.
    """
    for key in (f"{country}-{subdivision}".lower(), country.lower()):
        if key in JURISDICTIONS:
            return key
    return OTHER_PLACE
