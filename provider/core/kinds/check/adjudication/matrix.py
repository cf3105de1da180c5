"""The adjudication matrix of an account: its draft, the version that is on, and the earlier ones.

A matrix only proposes an outcome. A person decides, and explains what differs from the proposal.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.formats import load_time_zone
from provider.core.kinds.check.adjudication.rules import MAX_RULES, Rule, RuleProposal, propose
from provider.errors import Conflict, Invalid
from provider.storage.database import Base
from provider.storage.secrets import SecretBox

if TYPE_CHECKING:
    from provider.core.kinds.check.models import Check

_DRAFT_SQL = text("activated_at IS NULL")


class AdjudicationMatrix(Base):
    """One version of an account's matrix. A version that was switched on never changes.

    The draft has no `activated_at`. The version that is on has no `retired_at`.
    """

    __tablename__ = "adjudication_matrices"
    __table_args__ = (
        UniqueConstraint("account_id", "number"),
        Index(
            "ix_adjudication_matrices_draft",
            "account_id",
            unique=True,
            sqlite_where=_DRAFT_SQL,
            postgresql_where=_DRAFT_SQL,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    number: Mapped[int]
    rules_json: Mapped[list[dict[str, Any]]] = mapped_column("rules", JSON, default=list)
    edited_by: Mapped[str] = mapped_column(String(254))  # a staff e-mail
    edited_at: Mapped[datetime]
    activated_by: Mapped[str] = mapped_column(String(254), default="")
    activated_at: Mapped[datetime | None]
    retired_by: Mapped[str] = mapped_column(String(254), default="")
    retired_at: Mapped[datetime | None]

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(map(Rule.parse, self.rules_json))

    @property
    def is_on(self) -> bool:
        return self.activated_at is not None and self.retired_at is None


def list_versions(session: Session, account_id: int) -> Sequence[AdjudicationMatrix]:
    """Return the draft and all versions of an account, newest first."""
    query = select(AdjudicationMatrix).where(AdjudicationMatrix.account_id == account_id)
    return session.scalars(query.order_by(AdjudicationMatrix.number.desc())).all()


def find_draft(session: Session, account_id: int) -> AdjudicationMatrix | None:
    query = select(AdjudicationMatrix).where(
        AdjudicationMatrix.account_id == account_id, AdjudicationMatrix.activated_at.is_(None)
    )
    return session.scalar(query)


def find_active(session: Session, account_id: int) -> AdjudicationMatrix | None:
    """Return the version that is on; None where the account has none."""
    query = select(AdjudicationMatrix).where(
        AdjudicationMatrix.account_id == account_id,
        AdjudicationMatrix.activated_at.is_not(None),
        AdjudicationMatrix.retired_at.is_(None),
    )
    return session.scalar(query)


def save_draft(
    session: Session,
    account_id: int,
    rows: Sequence[Mapping[str, Any]],
    actor: str,
    now: datetime,
) -> AdjudicationMatrix:
    """Replace the rules of the draft; the first save makes one. Raises Invalid.

    The caller has locked the account.
    """
    if len(rows) > MAX_RULES:
        raise Invalid("A matrix has at most %(maximum)d rules", maximum=MAX_RULES)
    rules = [Rule.parse(row).to_json() for row in rows]
    draft = find_draft(session, account_id)
    if draft is None:
        newest = select(func.max(AdjudicationMatrix.number)).where(
            AdjudicationMatrix.account_id == account_id
        )
        draft = AdjudicationMatrix(account_id=account_id, number=(session.scalar(newest) or 0) + 1)
        session.add(draft)
    draft.rules_json, draft.edited_by, draft.edited_at = rules, actor, now
    session.flush()
    return draft


def activate_draft(
    session: Session, account_id: int, actor: str, now: datetime
) -> AdjudicationMatrix:
    """Switch the draft on in place of the version that was. Raises Conflict.

    The caller has locked the account.
    """
    draft = find_draft(session, account_id)
    if draft is None or not draft.rules_json:
        raise Conflict("Save a draft with at least one rule first")
    if find_active(session, account_id):
        retire_active(session, account_id, actor, now)
    draft.activated_by, draft.activated_at = actor, now
    session.flush()
    return draft


def retire_active(
    session: Session, account_id: int, actor: str, now: datetime
) -> AdjudicationMatrix:
    """Switch the matrix off: nothing is proposed any more. Raises Conflict if none is on."""
    active = find_active(session, account_id)
    if active is None:
        raise Conflict("No matrix is switched on")
    active.retired_by, active.retired_at = actor, now
    session.flush()
    return active


def propose_outcomes(
    secret_box: SecretBox, check: "Check", rules: Sequence[Rule], moment: datetime
) -> dict[str, RuleProposal]:
    """Return what the rules propose for each screening of a check, by its key.

    Removed records do not count. The age of a record counts to the day of `moment` in the
    account's time zone.
    """
    today = moment.astimezone(load_time_zone(check.account.timezone)).date()
    return {
        screening.key: propose(
            rules,
            [
                record.decrypt_facts(secret_box, check.public_id)
                for record in check.records
                if record.screening == screening.key and record.removed_at is None
            ],
            screening.type,
            today,
        )
        for screening in check.screenings
    }


def require_explanation(
    proposal: RuleProposal | None, status: str, note: str, screening_name: str
) -> None:
    """Raise Invalid for an outcome that differs from the proposal without a private note."""
    if proposal and proposal.status and status != proposal.status and not note.strip():
        raise Invalid(
            "%(name)s: the outcome differs from what the rules propose, so write a private note "
            "that says why",
            name=screening_name,
        )
