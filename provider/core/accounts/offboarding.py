"""The end of an account in three steps: it is disabled, exported and erased, in this order.

This module decides which step may come next. The works are in `provider/maintenance/offboarding`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.accounts.account import Account
from provider.errors import Conflict, Invalid
from provider.storage.database import Base


class Offboarding(Base):
    """How far the end of an account is. The row exists from the disabling on.

    `export_done` and `export_total` count orders. `problem` is a sentence for the staff: what stops
    the present step. `certificate` has the figures of the erasure.
    """

    __tablename__ = "offboardings"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    disabled_by: Mapped[str] = mapped_column(String(300))  # an audit actor
    # Whether open orders are still to be cancelled.
    cancels_orders: Mapped[bool] = mapped_column(default=False)
    export_requested_at: Mapped[datetime | None]
    export_requested_by: Mapped[str] = mapped_column(String(300), default="")
    export_done: Mapped[int] = mapped_column(default=0)
    export_total: Mapped[int] = mapped_column(default=0)
    export_key: Mapped[str] = mapped_column(String(100), default="")  # in media storage
    export_size: Mapped[int] = mapped_column(BigInteger, default=0)  # bytes
    exported_at: Mapped[datetime | None]
    erasure_requested_at: Mapped[datetime | None]
    erasure_requested_by: Mapped[str] = mapped_column(String(300), default="")
    erased_at: Mapped[datetime | None]
    certificate: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    problem: Mapped[str] = mapped_column(Text, default="")

    @property
    def is_exporting(self) -> bool:
        return self.export_requested_at is not None and self.exported_at is None

    @property
    def is_erasing(self) -> bool:
        return self.erasure_requested_at is not None and self.erased_at is None

    @property
    def is_working(self) -> bool:
        """Whether the scheduled work has something to do."""
        return self.cancels_orders or self.is_exporting or self.is_erasing


def find_offboarding(session: Session, account: Account) -> Offboarding | None:
    return session.get(Offboarding, account.id)


def require_name(account: Account, typed: str) -> None:
    """Raise Invalid unless somebody has typed the account's name to confirm a step."""
    if " ".join(typed.split()) != " ".join(account.name.split()):
        raise Invalid(f"Type the account's name to confirm: {account.name}")


def disable_account(
    session: Session, account: Account, actor: str, now: datetime, *, cancels_orders: bool
) -> Offboarding:
    """Refuse the account's tokens and its new orders. Conflict for a disabled account."""
    if account.disabled_at:
        raise Conflict(f"Account {account.name} is disabled already")
    account.disabled_at = now
    offboarding = Offboarding(
        account_id=account.id, disabled_by=actor, cancels_orders=cancels_orders
    )
    session.add(offboarding)
    return offboarding


def enable_account(session: Session, account: Account) -> None:
    """Undo the disabling; the caller deletes the files of exports.

    Conflict once the erasure has begun. Cancelled orders stay cancelled.
    """
    offboarding = _require_disabled(session, account)
    if offboarding.erasure_requested_at:
        raise Conflict(f"The erasure of account {account.name} has begun already")
    account.disabled_at = None
    session.delete(offboarding)


def request_export(session: Session, account: Account, actor: str, now: datetime) -> Offboarding:
    """Ask for an export, also for a new one. Raises Conflict as `require_exportable`."""
    offboarding = require_exportable(session, account)
    offboarding.export_requested_at, offboarding.export_requested_by = now, actor
    offboarding.exported_at, offboarding.export_done, offboarding.problem = None, 0, ""
    return offboarding


def require_exportable(session: Session, account: Account) -> Offboarding:
    """Return the row, locked. Conflict before the disabling, while an export runs, and later."""
    offboarding = _require_disabled(session, account)
    if offboarding.erasure_requested_at:
        raise Conflict(f"The erasure of account {account.name} has begun already")
    if offboarding.is_exporting:
        raise Conflict(f"An export of account {account.name} is being made already")
    return offboarding


def request_erasure(session: Session, account: Account, actor: str, now: datetime) -> Offboarding:
    """Ask for the erasure; it may go on after it was stopped. Conflict before the export."""
    offboarding = _require_disabled(session, account)
    if offboarding.exported_at is None:
        raise Conflict(f"Export account {account.name} first")
    if offboarding.erased_at:
        raise Conflict(f"Account {account.name} is erased already")
    if offboarding.erasure_requested_at is None:
        offboarding.erasure_requested_at, offboarding.erasure_requested_by = now, actor
    offboarding.cancels_orders, offboarding.problem = False, ""
    return offboarding


def _require_disabled(session: Session, account: Account) -> Offboarding:
    offboarding = session.get(Offboarding, account.id, with_for_update=True)
    if offboarding is None:
        raise Conflict(f"Disable account {account.name} first")
    return offboarding
