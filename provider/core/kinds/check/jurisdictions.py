"""How long a company waits between the two notices of an adverse action, by jurisdiction.

The numbers are data, and no legal advice. Each entry names its source; a lawyer of the account
checks it. An account may wait longer, never shorter.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from provider.texts import LazyText
from provider.texts import lazy_gettext as _

OTHER_PLACE = "other"
DEFAULT_WAITING_DAYS = 5  # business days


@dataclass(frozen=True)
class Jurisdiction:
    """The rules of a place. `waiting_days` are business days; None means the account's number.

    `country` and `subdivision` (ISO 3166) give the public holidays. `days_after_dispute` is the
    least number of business days that are left once a dispute has been answered.
    """

    label: LazyText
    country: str = ""
    subdivision: str = ""
    waiting_days: int | None = None
    days_after_dispute: int = 0
    needs_rights_text: bool = False


JURISDICTIONS: Mapping[str, Jurisdiction] = {
    # 15 U.S.C. § 1681b(b)(3)(A) names no number of days. The letter of the FTC's staff to Weisberg
    # (27 June 1997) calls five business days reasonable.
    "us": Jurisdiction(_("United States (federal law)"), "US", "", 5, needs_rights_text=True),
    # California Government Code § 12952(c)(3) and (4): five business days, and five more for
    # somebody who disputes the report.
    "us-ca": Jurisdiction(_("California"), "US", "CA", 5, 5, needs_rights_text=True),
    # Los Angeles Municipal Code § 189.03 (Fair Chance Initiative for Hiring): five business days.
    "us-ca-la": Jurisdiction(_("Los Angeles (city)"), "US", "CA", 5, 5, needs_rights_text=True),
    # Los Angeles County Code ch. 8.300 (Fair Chance Ordinance, from 3 September 2024): five
    # business days, and ten more for somebody who disputes the report.
    "us-ca-lac": Jurisdiction(
        _("Los Angeles County (unincorporated)"), "US", "CA", 5, 10, needs_rights_text=True
    ),
    # New York City Administrative Code § 8-107(11), as amended by Local Law 4 of 2021: five
    # business days (three before 29 July 2021).
    "us-ny-nyc": Jurisdiction(_("New York City"), "US", "NY", 5, needs_rights_text=True),
    # M.G.L. c. 6 § 171A and 803 CMR 2.00 name no number of days: five, as in federal practice.
    "us-ma": Jurisdiction(_("Massachusetts"), "US", "MA", 5, needs_rights_text=True),
    # Philadelphia Code ch. 9-3500 (Fair Criminal Record Screening Standards): ten business days.
    "us-pa-phl": Jurisdiction(_("Philadelphia"), "US", "PA", 10, needs_rights_text=True),
    # No law of the United Kingdom names a number of days.
    "gb": Jurisdiction(_("United Kingdom"), "GB"),
    OTHER_PLACE: Jurisdiction(_("Another place")),
}


def suggest_jurisdiction(country: str, subdivision: str) -> str:
    """Return the key for a candidate's country and subdivision; the country's, else OTHER_PLACE.

    A city has no code, so a person chooses it.
    """
    for key in (f"{country}-{subdivision}".lower(), country.lower()):
        if key in JURISDICTIONS:
            return key
    return OTHER_PLACE
