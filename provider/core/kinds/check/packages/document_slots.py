"""The documents that a screening may need from a candidate, and what each may be."""

from collections.abc import Mapping
from dataclasses import dataclass

from provider.texts import LazyText, Text
from provider.texts import lazy_gettext as _


@dataclass(frozen=True)
class DocumentSlot:
    """A document of the candidate. `max_files` files may show it, such as front and back.

    `min_choices` is how many different documents of the slot's DOCUMENT_LABELS are needed.
    """

    label: LazyText
    hint: Text = ""
    max_files: int = 2
    min_choices: int = 1


DOCUMENT_SLOTS: Mapping[str, DocumentSlot] = {
    "identity": DocumentSlot(
        _("Passport or identity card"), _("The page with your photo, or both sides of the card")
    ),
    "right_to_work": DocumentSlot(
        _("Proof that you may work"), _("A passport of the country, a visa or a permit"), 4
    ),
    "driving_licence": DocumentSlot(_("Driving licence"), _("Both sides")),
    "address_proof": DocumentSlot(
        _("Proof of your address"), _("A bill or a bank statement of the last three months")
    ),
    "dbs_group_1": DocumentSlot(
        _("Identity document of group 1"),
        _("Passport, biometric residence permit, photocard driving licence or birth certificate"),
    ),
    "dbs_group_2": DocumentSlot(
        _("Documents of group 2"),
        _("Two of: bank statement, council tax statement, utility bill, benefit statement"),
        max_files=4,
        min_choices=2,
    ),
    "licence": DocumentSlot(_("Professional licence")),
    "certificate": DocumentSlot(_("Certificate or diploma"), max_files=4),
    "document": DocumentSlot(_("Document"), max_files=10),
}

DOCUMENT_LABELS: Mapping[str, Mapping[str, LazyText]] = {
    "dbs_group_1": {
        "passport": _("Passport"),
        "residence_permit": _("Biometric residence permit"),
        "driving_licence": _("Photocard driving licence"),
        "birth_certificate": _("Birth certificate"),
        "adoption_certificate": _("Adoption certificate"),
    },
    "dbs_group_2": {
        "bank_statement": _("Bank or building society statement"),
        "council_tax": _("Council tax statement"),
        "utility_bill": _("Utility bill"),
        "benefit_statement": _("Benefit statement"),
        "mortgage_statement": _("Mortgage statement"),
        "p45_p60": _("P45 or P60 statement"),
        "marriage_certificate": _("Marriage or civil partnership certificate"),
    },
}


def label_of(slot: str, label: str) -> LazyText | str:
    """Return which document a file shows; empty where the slot has no choice."""
    return DOCUMENT_LABELS.get(slot, {}).get(label, "")
