"""The people who may sign in to the console."""

import re
from datetime import datetime

from sqlalchemy import JSON, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.email_address import mend_address
from provider.core.staff.passwords import hash_password
from provider.core.staff.permissions import (
    INSTANCE_PERMISSIONS,
    OWNER,
    ROLE_PERMISSIONS,
    ROLES,
    Permission,
)
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.database import Base, acquire_advisory_lock


class Staff(Base):
    """A person who may sign in to the console. `role` is one of ROLES.

    `account_ids` are the accounts that the person is limited to; None is no limit.
    """

    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    account_ids: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    # Whether the person gets e-mails about failed deliveries; None: as the role says.
    delivery_alerts: Mapped[bool | None]
    # Whether the person gets e-mails about answers to mark; None: as the role says.
    marking_emails: Mapped[bool | None]
    marking_told_at: Mapped[datetime | None]  # when the last of these e-mails was appended
    marking_told_task_id: Mapped[int] = mapped_column(default=0, server_default="0")  # the newest

    @classmethod
    def create(
        cls,
        session: Session,
        email: str,
        password: str,
        role: str,
        now: datetime,
        account_ids: list[int] | None = None,
    ) -> "Staff":
        """Add a member of staff.

        Raises Invalid for a wrong value and Conflict for an e-mail address that is already used.
        """
        email = read_email(email)
        require_role(role, account_ids)
        password_hash = hash_password(password, email)
        acquire_advisory_lock(session, "staff")
        if session.scalar(select(cls.id).where(cls.email == email)):
            raise Conflict(f"{email} is on the staff already")
        staff = cls(
            email=email,
            role=role,
            password_hash=password_hash,
            created_at=now,
            account_ids=account_ids,
        )
        session.add(staff)
        return staff

    @classmethod
    def get_by_email(cls, session: Session, email: str) -> "Staff":
        """Return a person, locked until the end of the transaction. Raises NotFound."""
        email = email.strip().casefold()
        staff = session.scalar(select(cls).where(cls.email == email).with_for_update())
        if staff is None:
            raise NotFound(f"There is no staff member {email}: see `provider staff list`")
        return staff

    @property
    def permissions(self) -> frozenset[Permission]:
        """The permissions of the role; none for a role that this program does not know.

        A person who is limited to some accounts has none that concerns all accounts.
        """
        permissions = ROLE_PERMISSIONS.get(self.role, frozenset())
        return permissions if self.account_ids is None else permissions - INSTANCE_PERMISSIONS

    def sees_account(self, account_id: int | None) -> bool:
        """Whether the person sees an account; None is what concerns all accounts."""
        return self.account_ids is None or account_id in self.account_ids

    @property
    def gets_alerts(self) -> bool:
        """Whether e-mails tell the person of failed deliveries.

        Without a choice, those get them who can remove the usual causes.
        """
        if self.disabled_at or Permission.VIEW_DELIVERIES not in self.permissions:
            return False
        if self.delivery_alerts is None:
            return Permission.MANAGE_ACCOUNTS in self.permissions
        return self.delivery_alerts

    @property
    def gets_marking_emails(self) -> bool:
        """Whether e-mails tell the person of answers to mark.

        Without a choice, those get them whose role is to look at results, not to run the program.
        """
        if self.disabled_at or Permission.RATE_INTERVIEWS not in self.permissions:
            return False
        if self.marking_emails is None:
            return Permission.MANAGE_ACCOUNTS not in self.permissions
        return self.marking_emails


def list_alert_recipients(session: Session, account_id: int | None) -> list[Staff]:
    """Return the staff who get e-mails about failed deliveries of an account, or of them all."""
    staff = session.scalars(select(Staff).order_by(Staff.id))
    return [person for person in staff if person.gets_alerts and person.sees_account(account_id)]


def read_email(text: str) -> str:
    """Return an e-mail address as the table stores it. Raises Invalid."""
    email = mend_address(text).casefold()
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email) or not email.isprintable() or len(email) > 254:
        raise Invalid(f"“{email}” is not an e-mail address")
    return email


def require_role(role: str, account_ids: list[int] | None) -> None:
    """Raise Invalid for an unknown role, and for an owner who is limited to some accounts."""
    if role not in ROLES:
        raise Invalid(f"The role should be one of {', '.join(ROLES)}")
    if role == OWNER and account_ids is not None:
        raise Invalid("An owner sees all accounts: choose all accounts, or another role")
