"""What a screening has found, such as a conviction: the reasons of an outcome to consider."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from provider.core.kinds.check.evidence import ReportedRecord
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.secrets import SecretBox
from provider.texts import Text
from provider.texts import lazy_gettext as _

# From the lightest to the heaviest.
SEVERITIES: Mapping[str, Text] = {"low": _("Low"), "medium": _("Medium"), "high": _("High")}
RECORD_KINDS: Mapping[str, Text] = {
    "conviction": _("Conviction"),
    "caution": _("Caution"),
    "pending charge": _("Pending charge"),
    "barred": _("Entry on a barred list"),
    "sanction": _("Entry on a sanctions list"),
    "mismatch": _("Something differs from what was said"),
    "unconfirmed": _("Could not be confirmed"),
    "gap": _("Gap"),
    "driving": _("Driving offence"),
    "debt": _("Debt or court judgement"),
    "other": _("Other"),
}


class FoundRecord(Base):
    """One record of a screening. `kind` is of RECORD_KINDS, `severity` of SEVERITIES.

    The candidate and the report get `public_text`; only the staff who decide read `private_note`.
    Both are encrypted. A record that was wrong is not deleted: `removed_at` is set, with the
    encrypted reason. A corrected record is removed, and another one takes its place.
    """

    __tablename__ = "found_records"
    __table_args__ = (Index("ix_found_records_order", "order_id", "screening"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    screening: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(20))
    severity: Mapped[str] = mapped_column(String(10))
    occurred_on: Mapped[date | None]
    public_text: Mapped[bytes] = mapped_column(LargeBinary)
    private_note: Mapped[bytes | None] = mapped_column(LargeBinary)
    actor: Mapped[str] = mapped_column(String(254))  # a staff e-mail, or the vendor
    recorded_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    removed_by: Mapped[str] = mapped_column(String(254), default="")
    removal_reason: Mapped[bytes | None] = mapped_column(LargeBinary)

    def row_path(self, order_id: str, field: str) -> str:
        """Return what a ciphertext of this row is bound to; `order_id` is the public id."""
        return f"orders/{order_id}/records/{self.public_id}/{field}"

    def decrypt_public_text(self, secret_box: SecretBox, order_id: str) -> str:
        return secret_box.decrypt(self.public_text, self.row_path(order_id, "public_text"))

    def decrypt_private_note(self, secret_box: SecretBox, order_id: str) -> str:
        """Return the note of the staff; empty without one."""
        if self.private_note is None:
            return ""
        return secret_box.decrypt(self.private_note, self.row_path(order_id, "private_note"))

    def decrypt_removal_reason(self, secret_box: SecretBox, order_id: str) -> str:
        """Return why the record was removed; empty for one that stands."""
        if self.removal_reason is None:
            return ""
        return secret_box.decrypt(self.removal_reason, self.row_path(order_id, "removal_reason"))


def report_records(
    records: Iterable[FoundRecord], screening: str, secret_box: SecretBox, order_id: str
) -> tuple[ReportedRecord, ...]:
    """Return the records of a screening that stand, as the report shows them."""
    return tuple(
        ReportedRecord(
            record.kind,
            record.severity,
            record.occurred_on,
            record.decrypt_public_text(secret_box, order_id),
        )
        for record in records
        if record.screening == screening and record.removed_at is None
    )
