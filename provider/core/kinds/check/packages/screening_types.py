"""The types of screenings. A new type is one entry of `SCREENING_TYPES`.

A type gives the usual values of a screening. The product document may replace each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from provider.core.kinds.check.packages.referee_questions import (
    EMPLOYMENT_QUESTIONS,
    GENERAL_QUESTIONS,
    REFERENCE_QUESTIONS,
    RefereeQuestion,
)
from provider.texts import LazyText
from provider.texts import lazy_gettext as _

# Who does a screening: staff, a referee by a form of their own, or a vendor over HTTP.
STAFF, REFEREE, CONNECTOR = PERFORMERS = ("staff", "referee", "connector")
# A screening without a type of its own: everything about it stands in the product document.
OTHER = "other"


@dataclass(frozen=True)
class ScreeningType:
    """The usual values of a screening.

    `asks` are names of DETAIL_FIELDS, `documents` of DOCUMENT_SLOTS, `options` of
    SCREENING_OPTIONS. `reason` is one sentence that tells the candidate why this is needed.
    `working_days` is the usual time until the outcome. `country` is the ISO 3166 code of the
    country whose law names the type; empty for a type of no country. `consent_texts` are names of
    LEGAL_TEXT_SLOTS: the texts that candidates of a country read before it. `needs_own_texts`: the
    law may name such a text in any country. Staff cannot add such a screening to a running check,
    so that an entry without the field is safe. `referee_questions` are the usual ones.
    """

    label: LazyText
    reason: LazyText
    asks: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    working_days: int = 5
    performer: str = STAFF
    options: tuple[str, ...] = ()
    country: str = ""
    consent_texts: tuple[str, ...] = ()
    needs_own_texts: bool = True
    referee_questions: tuple[RefereeQuestion, ...] = GENERAL_QUESTIONS


_IDENTITY = ("full_name", "former_names", "date_of_birth")
_PERSON = (*_IDENTITY, "address", "former_addresses")
_CRIMINAL_REASON = _("Your name, date of birth and addresses say which records are yours.")


def _dbs_check(label: LazyText, working_days: int, *options: str) -> ScreeningType:
    """Return a check by the Disclosure and Barring Service of England and Wales."""
    return ScreeningType(
        label,
        _CRIMINAL_REASON,
        _PERSON,
        ("dbs_group_1", "dbs_group_2"),
        working_days,
        options=options,
        country="GB",
        consent_texts=("uk-dbs-privacy",),
    )


SCREENING_TYPES: Mapping[str, ScreeningType] = {
    "identity": ScreeningType(
        _("Identity"),
        _("A document and your details show that you are the person who applied."),
        (*_IDENTITY, "address"),
        ("identity",),
        2,
        needs_own_texts=False,
    ),
    "right_to_work": ScreeningType(
        _("Right to work"),
        _("The employer must know that you may work in the country of the job."),
        ("full_name", "date_of_birth"),
        ("right_to_work",),
        2,
        needs_own_texts=False,
    ),
    "criminal_record": ScreeningType(
        _("Criminal record"),
        _CRIMINAL_REASON,
        (*_PERSON, "national_id"),
        (),
        7,
        needs_own_texts=False,
    ),
    "dbs_basic": _dbs_check(_("DBS basic check"), 10),
    "dbs_standard": _dbs_check(_("DBS standard check"), 10),
    "dbs_enhanced": _dbs_check(_("DBS enhanced check"), 20, "workforce", "barred_lists"),
    "sanctions": ScreeningType(
        _("Sanctions lists"),
        _("Your name and date of birth are compared with public lists."),
        _IDENTITY,
        (),
        1,
        needs_own_texts=False,
    ),
    "employment": ScreeningType(
        _("Employment history"),
        _("Your last employers confirm when you worked there, and as what."),
        ("full_name", "employers"),
        (),
        7,
        needs_own_texts=False,
        referee_questions=EMPLOYMENT_QUESTIONS,
    ),
    "education": ScreeningType(
        _("Education"),
        _("The school or university confirms your degree."),
        ("full_name", "date_of_birth", "education"),
        (),
        7,
        needs_own_texts=False,
    ),
    "licence": ScreeningType(
        _("Professional licence"),
        _("The register confirms that you may work in your profession."),
        ("full_name", "professional_licence"),
        (),
        3,
        needs_own_texts=False,
    ),
    "motor_vehicle": ScreeningType(
        _("Driving record"),
        _("The licence’s number and country say which record is yours."),
        ("full_name", "date_of_birth", "driving_licence"),
        ("driving_licence",),
        3,
        consent_texts=("us-driving-record-authorization",),
        needs_own_texts=False,
    ),
    "credit": ScreeningType(
        _("Credit history"),
        _("Your name, date of birth and addresses say which file is yours."),
        _PERSON,
        (),
        3,
        consent_texts=("us-credit-authorization",),
    ),
    "references": ScreeningType(
        _("References"),
        _("The people whom you name are asked about your work."),
        ("full_name", "referees"),
        (),
        7,
        REFEREE,
        needs_own_texts=False,
        referee_questions=REFERENCE_QUESTIONS,
    ),
    "document": ScreeningType(
        _("Document"),
        _("Somebody looks at the document that you send."),
        (),
        ("document",),
        2,
        needs_own_texts=False,
    ),
    OTHER: ScreeningType(
        _("Other"),
        _("The result of this check depends on it."),
        needs_own_texts=False,
    ),
}
