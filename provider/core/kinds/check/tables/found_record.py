"""What a screening has found, such as a conviction: the reasons of an outcome to consider."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Self

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from provider.core.kinds.check.evidence import ReportedRecord
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted
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


# Characters of the text with the facts. A ciphertext is as long as its text, so that texts of
# several lengths would tell the kind.
FACTS_LENGTH = 96


@dataclass(frozen=True)
class RecordFacts:
    """The facts that adjudication compares. `kind` is of RECORD_KINDS, `severity` of SEVERITIES."""

    kind: str
    severity: str
    occurred_on: date | None = None

    @classmethod
    def from_text(cls, text: str) -> Self:
        fields = json.loads(text)
        day = fields["occurred_on"]
        return cls(fields["kind"], fields["severity"], date.fromisoformat(day) if day else None)

    def to_text(self) -> str:
        """Return the facts as JSON, with spaces at the end: all texts have the same length."""
        day = self.occurred_on.isoformat() if self.occurred_on else None
        return json.dumps(asdict(self) | {"occurred_on": day}).ljust(FACTS_LENGTH)


class FoundRecord(Base):
    """One record of a screening.

    The candidate and the report get `public_text`; only the staff who decide read `private_note`.
    Both are encrypted, and so are the `RecordFacts`. A record that was wrong is not deleted:
    `removed_at` is set, with the encrypted reason. A corrected record is removed, and another one
    takes its place.
    """

    __tablename__ = "found_records"
    __table_args__ = (Index("ix_found_records_order", "order_id", "screening"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    screening: Mapped[str] = mapped_column(String(64))
    facts_encrypted: Mapped[bytes] = mapped_column(
        Encrypted("orders/{order_id.public_id}/records/{public_id}/facts")
    )
    public_text: Mapped[bytes] = mapped_column(
        Encrypted("orders/{order_id.public_id}/records/{public_id}/public_text")
    )
    private_note: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/records/{public_id}/private_note")
    )
    actor: Mapped[str] = mapped_column(String(254))  # a staff e-mail, or the vendor
    recorded_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    removed_by: Mapped[str] = mapped_column(String(254), default="")
    removal_reason: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/records/{public_id}/removal_reason")
    )

    def row_path(self, order_id: str, field: str) -> str:
        """Return what a ciphertext of this row is bound to; `order_id` is the public id."""
        return f"orders/{order_id}/records/{self.public_id}/{field}"

    def set_facts(self, secret_box: SecretBox, order_id: str, facts: RecordFacts) -> None:
        """Encrypt the facts. The record has its public id already."""
        path = self.row_path(order_id, "facts")
        self.facts_encrypted = secret_box.encrypt(facts.to_text(), path)

    def decrypt_facts(self, secret_box: SecretBox, order_id: str) -> RecordFacts:
        text = secret_box.decrypt(self.facts_encrypted, self.row_path(order_id, "facts"))
        return RecordFacts.from_text(text)

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
            facts.kind,
            facts.severity,
            facts.occurred_on,
            record.decrypt_public_text(secret_box, order_id),
        )
        for record in records
        if record.screening == screening and record.removed_at is None
        for facts in [record.decrypt_facts(secret_box, order_id)]
    )
