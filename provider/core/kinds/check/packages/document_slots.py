"""The documents that a screening may need from a candidate."""

from collections.abc import Mapping
from dataclasses import dataclass

from provider.texts import LazyText, Text
from provider.texts import lazy_gettext as _


@dataclass(frozen=True)
class DocumentSlot:
    """A document of the candidate. `max_files` files may show it, such as front and back."""

    label: LazyText
    hint: Text = ""
    max_files: int = 2


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
        4,
    ),
    "licence": DocumentSlot(_("Professional licence")),
    "certificate": DocumentSlot(_("Certificate or diploma"), max_files=4),
    "document": DocumentSlot(_("Document"), max_files=10),
}
