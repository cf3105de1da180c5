"""Links in e-mails to the staff: an invitation to the console, and a forgotten password."""

from datetime import datetime, timedelta

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider import outbox
from provider.core.staff.changes import change_password
from provider.core.staff.member import Staff, read_email, require_role
from provider.errors import Conflict, Gone
from provider.storage import secrets
from provider.storage.database import Base, acquire_advisory_lock
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox

INVITATION, RESET = "invitation", "reset"
LIFETIMES = {INVITATION: timedelta(days=7), RESET: timedelta(hours=1)}
STAFF_TOPICS = {INVITATION: "staff invitation", RESET: "staff reset"}  # of messages
MAX_RESETS_PER_HOUR = 3  # for one person: a stranger may ask for them
# E-mails to the staff belong to no account. Accounts begin at 1.
STAFF_QUEUE = str(outbox.QueueName(0, outbox.EMAIL))
GONE_MESSAGE = "This link has been used or is too old. Ask for a new one"


class StaffLink(Base):
    """A link that was sent to one e-mail address and works once.

    An invitation has a role and perhaps a limit to accounts, a reset has a person. The token is
    encrypted, because the e-mail is rendered later; its digest finds the row.
    """

    __tablename__ = "staff_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    purpose: Mapped[str] = mapped_column(String(10))
    email: Mapped[str] = mapped_column(String(254), index=True)
    role: Mapped[str | None] = mapped_column(String(20))
    account_ids: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))
    sender: Mapped[str] = mapped_column(String(300), default="")  # who invited; an audit actor
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    token_encrypted: Mapped[bytes] = mapped_column(Encrypted("staff_links/{public_id}"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]  # used, replaced or withdrawn
    staff: Mapped[Staff | None] = relationship()

    def get_token(self, secret_box: SecretBox) -> str:
        return secret_box.decrypt(self.token_encrypted, _row_path(self.public_id))

    def is_open(self, now: datetime) -> bool:
        return self.ended_at is None and self.expires_at > now


def invite(
    session: Session,
    secret_box: SecretBox,
    email: str,
    role: str,
    sender: str,
    now: datetime,
    account_ids: list[int] | None = None,
) -> StaffLink:
    """Send an invitation; an earlier one to the same address ends.

    Invalid for a wrong address or role, Conflict for a member of the staff.
    """
    email = read_email(email)
    require_role(role, account_ids)
    if session.scalar(select(Staff.id).where(Staff.email == email)) is not None:
        raise Conflict(f"{email} is on the staff already")
    for link in open_invitations(session, now):
        if link.email == email:
            link.ended_at = now
    columns = {"role": role, "sender": sender, "account_ids": account_ids}
    return _send(session, secret_box, INVITATION, email, now, **columns)


def send_reset(
    session: Session, secret_box: SecretBox, email: str, now: datetime
) -> StaffLink | None:
    """Send a link for a new password; None where nobody gets one.

    Nobody does for an unknown address, for a disabled person, and after three links in an hour.
    """
    email = email.strip().casefold()
    staff = session.scalar(select(Staff).where(Staff.email == email, Staff.disabled_at.is_(None)))
    if staff is None:
        return None
    acquire_advisory_lock(session, f"reset of staff {staff.id}")
    recent = select(func.count(StaffLink.id)).where(
        StaffLink.staff_id == staff.id, StaffLink.created_at > now - LIFETIMES[RESET]
    )
    if (session.scalar(recent) or 0) >= MAX_RESETS_PER_HOUR:
        return None
    return _send(session, secret_box, RESET, email, now, staff_id=staff.id)


def find_link(
    session: Session, token: str, purpose: str, now: datetime, *, lock: bool = True
) -> StaffLink:
    """Return an open link; Gone if there is none. `lock` locks it: of two uses one succeeds."""
    query = select(StaffLink).where(
        StaffLink.digest == secrets.sha256_digest(token), StaffLink.purpose == purpose
    )
    link = session.scalar(query.with_for_update() if lock else query)
    if link is None or not link.is_open(now):
        raise Gone(GONE_MESSAGE)
    return link


def accept_invitation(session: Session, link: StaffLink, password: str, now: datetime) -> Staff:
    """Add the invited person to the staff; Invalid for a weak password."""
    assert link.role
    staff = Staff.create(session, link.email, password, link.role, now, link.account_ids)
    link.ended_at = now
    return staff


def reset_password(session: Session, link: StaffLink, password: str, now: datetime) -> Staff:
    """Set a forgotten password and end the person's sessions; Invalid for a weak password."""
    staff = link.staff
    if staff is None or staff.disabled_at:
        raise Gone(GONE_MESSAGE)
    change_password(session, staff, password)
    links = select(StaffLink).where(StaffLink.staff_id == staff.id, StaffLink.ended_at.is_(None))
    for other in session.scalars(links):
        other.ended_at = now
    return staff


def open_invitations(session: Session, now: datetime) -> list[StaffLink]:
    query = select(StaffLink).where(
        StaffLink.purpose == INVITATION, StaffLink.ended_at.is_(None), StaffLink.expires_at > now
    )
    return list(session.scalars(query.order_by(StaffLink.email)))


def _send(
    session: Session,
    secret_box: SecretBox,
    purpose: str,
    email: str,
    now: datetime,
    **columns: object,
) -> StaffLink:
    token, public_id = secrets.generate_token(), secrets.generate_public_id()
    link = StaffLink(
        public_id=public_id,
        purpose=purpose,
        email=email,
        digest=secrets.sha256_digest(token),
        token_encrypted=secret_box.encrypt(token, _row_path(public_id)),
        created_at=now,
        expires_at=now + LIFETIMES[purpose],
        **columns,
    )
    session.add(link)
    session.flush()
    outbox.append(
        session,
        queue=STAFF_QUEUE,
        ordering_key=public_id,
        sequence=0,
        topic=STAFF_TOPICS[purpose],
        payload={},
        now=now,
    )
    return link


def _row_path(public_id: str) -> str:
    return f"staff_links/{public_id}"
