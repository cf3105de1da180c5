"""What a screening has found, such as a conviction: the reasons of an outcome to consider."""

from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from provider.storage import secrets
from provider.storage.database import Base
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
    Both are encrypted. A record that was wrong is not deleted: `removed_at` is set.
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
