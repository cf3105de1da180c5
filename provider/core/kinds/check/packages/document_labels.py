"""The documents among which a candidate chooses, by their slot."""

from collections.abc import Mapping

from provider.texts import LazyText
from provider.texts import lazy_gettext as _

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
