"""An order's life. `become` is the only place where a status changes."""

from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import (
    JSON,
    CursorResult,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship, validates

from provider import logging_config, outbox
from provider.core.accounts import Account
from provider.core.orders.evidence import Evidence
from provider.core.orders.link import INVITE, PDF, REPORT, Link
from provider.core.products.product import Product, ProductVersion
from provider.errors import Conflict, Invalid, NotFound
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.secrets import SecretBox

PENDING, CONSENTED, COMPLETED = "pending", "consented", "completed"
DECLINED, EXPIRED, CANCELLED = "declined", "expired", "cancelled"
STATUSES = (PENDING, CONSENTED, COMPLETED, DECLINED, EXPIRED, CANCELLED)
FINAL_STATUSES = frozenset({COMPLETED, DECLINED, EXPIRED, CANCELLED})

INVITED, OPENED, STARTED, SUBMITTED = PROGRESS_STATES = (
    "invited",
    "opened",
    "started",
    "submitted",
)
NOT_STARTED = (INVITED, OPENED)  # an order that still waits on the candidate
# Handed in and without a result. Literals, not parameters: only so can an index be partial by it.
WAITING_FOR_STAFF_SQL = "progress = 'submitted' AND status IN ('pending', 'consented')"

# From where each status may be reached. Final ones are left only by staff, through `reopen`.
ALLOWED_PREVIOUS_STATUSES = {
    PENDING: FINAL_STATUSES,
    CONSENTED: {PENDING},
    COMPLETED: {PENDING, CONSENTED},
    DECLINED: {PENDING},
    EXPIRED: {PENDING},
    CANCELLED: {PENDING, CONSENTED},
}
BATCH_SIZE = 100  # orders that expire in one transaction: a writer is never held for long


class Candidate(Base):
    """Who an order is for: a row of its own per order, found again by a digest of the e-mail."""

    __tablename__ = "candidates"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    email_digest: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    first_name: Mapped[str] = mapped_column(String(200), default="")
    last_name: Mapped[str] = mapped_column(String(200), default="")
    phone: Mapped[str] = mapped_column(String(100), default="")

    @property
    def name(self) -> str:
        """First and last name, or the e-mail address where there is neither."""
        return f"{self.first_name} {self.last_name}".strip() or self.email


class Order(Base):
    """An assessment, an interview or a check that an ATS placed for a candidate."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("account_id", "external_key"),
        # Of all cancelled ones few may be an account's, of an account's few may be cancelled.
        Index("ix_orders_account", "account_id", "status", "id"),
        Index("ix_orders_kind", "kind", "status", "id"),
        Index("ix_orders_product", "product_id", "status", "id"),
        Index("ix_orders_status", "status", "id"),
        Index(
            "ix_orders_expiry",
            "expires_at",
            sqlite_where=text("status = 'pending'"),
            postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "ix_orders_attempt",
            "attempt_ends_at",
            sqlite_where=text("progress = 'started'"),
            postgresql_where=text("progress = 'started'"),
        ),
        Index(
            "ix_orders_staff",
            "progress",
            "id",
            sqlite_where=text(WAITING_FOR_STAFF_SQL),
            postgresql_where=text(WAITING_FOR_STAFF_SQL),
        ),
    )
    __mapper_args__ = {"polymorphic_on": "kind"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    kind: Mapped[str] = mapped_column(String(20))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    version_id: Mapped[int] = mapped_column(ForeignKey("product_versions.id"))
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id"), index=True)
    external_key: Mapped[str] = mapped_column(String(2000))
    request_mac: Mapped[str] = mapped_column(String(100))
    reply_context: Mapped[dict[str, Any]] = mapped_column(JSON)
    callback_host: Mapped[str] = mapped_column(
        String(260), server_default=""
    )  # that `reply` goes to
    job_title: Mapped[str] = mapped_column(String(500), default="")
    job_reference: Mapped[str] = mapped_column(String(200), default="")
    preferences: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    status: Mapped[str] = mapped_column(String(12), default=PENDING)
    progress: Mapped[str] = mapped_column(String(12), default=INVITED)
    revision: Mapped[int] = mapped_column(default=0)
    placed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    attempt_ends_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    account: Mapped[Account] = relationship()
    product: Mapped[Product] = relationship()
    version: Mapped[ProductVersion] = relationship()
    candidate: Mapped[Candidate] = relationship()
    events: Mapped[list["OrderEvent"]] = relationship(
        back_populates="order", order_by="OrderEvent.id"
    )
    results: Mapped[list["Result"]] = relationship(back_populates="order", order_by="Result.id")
    links: Mapped[list[Link]] = relationship(back_populates="order", order_by=Link.id)

    @classmethod
    def find(
        cls,
        session: Session,
        public_id: str,
        account_id: int | None = None,
        *,
        lock: bool = False,
    ) -> Self:
        """Return an order of this kind by its public id, within an account if given; NotFound.

        With `lock` nobody else changes it, or what hangs on it, before the transaction has ended.
        """
        found = None
        if len(public_id) <= 22 and "\x00" not in public_id:
            query = select(cls).where(cls.public_id == public_id)
            if account_id is not None:
                query = query.where(cls.account_id == account_id)
            found = session.scalar(query.with_for_update() if lock else query)
        if found is None:
            raise NotFound("There is no such order")
        return found

    @property
    def result(self) -> "Result | None":
        """The newest result, where the order is completed."""
        return self.results[-1] if self.results and self.status == COMPLETED else None

    def evidence(self) -> Evidence:
        """Return what the standing result rests on; a kind adds what only it knows."""
        return Evidence.from_figures(self.result.figures if self.result else {})

    def kind_context(self, secret_box: SecretBox) -> dict[str, Any]:
        """Return what only this kind has to say on the candidate's pages and in letters."""
        return {}

    @property
    def is_waiting_for_candidate(self) -> bool:
        """Whether the candidate has not begun: only then can the order expire."""
        return self.status == PENDING and self.progress in NOT_STARTED

    @property
    def duration_seconds(self) -> int | None:
        """Seconds that the candidate should have at hand; None where that is open."""
        return None

    def is_overdue(self, now: datetime) -> bool:
        """Whether the order should have expired by now, even if nobody has written it yet."""
        return self.is_waiting_for_candidate and self.expires_at <= now

    def has_overdue_transition(self, now: datetime) -> bool:
        """Whether the clock has demanded something of this order that nobody has done yet."""
        return self.is_overdue(now)

    def apply_overdue_transition(
        self, session: Session, secret_box: SecretBox, now: datetime
    ) -> None:
        """Do at once what the clock demands, rather than when the timer comes round."""
        if self.is_overdue(now):
            self.expire(session, now)

    def invite(self, session: Session, secret_box: SecretBox, now: datetime) -> None:
        """Make the candidate's link and put the invitation into the outbox."""
        if not any(link.purpose == INVITE and not link.revoked_at for link in self.links):
            session.add(Link.create(secret_box, self, INVITE, now))
        self.enqueue_email(session, "invitation", now)

    def enqueue_email(self, session: Session, template: str, now: datetime) -> None:
        """Put a letter to the candidate into the outbox."""
        outbox.append(
            session,
            queue=self.queue_name(outbox.EMAIL),
            ordering_key=self.public_id,
            sequence=self.revision,
            topic=template,
            payload={"order": self.public_id},
            now=now,
        )

    def mark_opened(self, session: Session, now: datetime) -> None:
        """Note that the candidate has seen the invitation's page."""
        if self.status == PENDING and self.progress == INVITED:
            self.progress = OPENED
            self.record_event(session, "opened", "candidate", now)

    def decline(self, session: Session, reason: str, now: datetime) -> None:
        """The candidate says no, with a reason or without."""
        self.require_open(now)
        self.change_status(
            session, DECLINED, actor="candidate", note=reason.strip()[:2000], now=now
        )

    def expire(self, session: Session, now: datetime) -> None:
        """The time to begin is over."""
        self.change_status(session, EXPIRED, actor="system", now=now)

    def cancel(self, session: Session, actor: str, reason: str, now: datetime) -> None:
        """Staff take the order back."""
        self.change_status(session, CANCELLED, actor=actor, note=reason, now=now)

    def reopen(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Staff give the candidate another go: the order waits again and is invited again."""
        if self.status not in FINAL_STATUSES:
            raise Conflict("Only an order that has ended can be reopened")
        self.expires_at = now + timedelta(seconds=self.account.expire_after_seconds)
        self.progress, self.started_at, self.attempt_ends_at = INVITED, None, None
        self.change_status(session, PENDING, actor=actor, note=reason, now=now)
        self.invite(session, secret_box, now)

    def complete(
        self, session: Session, secret_box: SecretBox, result: "Result", actor: str, now: datetime
    ) -> None:
        """Keep a result, give it its addresses, and tell the ATS."""
        result.revision = self.revision + 1
        result.created_at = now
        self.results.append(result)
        for purpose in (REPORT, PDF):
            if not any(link.purpose == purpose and not link.revoked_at for link in self.links):
                session.add(Link.create(secret_box, self, purpose, now))
        self.progress = SUBMITTED
        self.change_status(session, COMPLETED, actor=actor, now=now, result=result)

    def change_status(
        self,
        session: Session,
        status: str,
        *,
        actor: str,
        now: datetime,
        note: str = "",
        result: "Result | None" = None,
    ) -> None:
        """Change the status, write the event, and put the news into the outbox, all or nothing.

        Raises Conflict when the order cannot get there from where it is, or when somebody else
        changed it first: of submit and expire at the same moment one wins.
        """
        if self.status not in ALLOWED_PREVIOUS_STATUSES[status]:
            raise Conflict(f"An order that is {self.status} cannot become {status}")
        session.flush()
        changed = session.execute(
            update(Order)
            .where(Order.id == self.id, Order.revision == self.revision)
            .values(
                status=status,
                revision=Order.revision + 1,
                finished_at=now if status in FINAL_STATUSES else None,
            )
            .execution_options(synchronize_session=False)
        )
        assert isinstance(changed, CursorResult)
        if changed.rowcount != 1:
            raise Conflict("Somebody else changed this order at the same moment")
        session.refresh(self, ["status", "revision", "finished_at"])
        self.record_event(session, status if status != PENDING else "reopened", actor, now, note)
        outbox.append(
            session,
            queue=self.queue_name(outbox.CALLBACK, self.callback_host),
            ordering_key=self.public_id,
            sequence=self.revision,
            topic="status",
            supersedes_earlier=True,
            now=now,
            payload={"status": status, "result": result.id if result else None},
        )

    def queue_name(self, channel: str, host: str = "") -> str:
        """Name the lane in which this order's messages go to a sink."""
        return str(outbox.QueueName(self.account_id, channel, host))

    def require_open(self, now: datetime) -> None:
        """Raise Conflict unless the candidate may still act."""
        if self.status != PENDING or self.is_overdue(now):
            raise Conflict("This invitation is no longer open")

    def record_event(
        self, session: Session, event_type: str, actor: str, now: datetime, note: str = ""
    ) -> None:
        """Add a line to the order's story."""
        session.add(
            OrderEvent(
                order=self,
                revision=self.revision,
                occurred_at=now,
                type=event_type,
                actor=actor,
                note=note,
            )
        )
        logging_config.log_after_commit(
            session, "order", order=self.public_id, kind=self.kind, word=event_type
        )


class OrderEvent(Base):
    """One line of an order's story: what happened, when, by whom."""

    __tablename__ = "order_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    revision: Mapped[int]
    occurred_at: Mapped[datetime]
    type: Mapped[str] = mapped_column(String(30))
    actor: Mapped[str] = mapped_column(String(254))  # ats, candidate, system, or a staff e-mail
    note: Mapped[str] = mapped_column(Text, default="")
    order: Mapped[Order] = relationship(back_populates="events")


class Result(Base):
    """What came out, numbered by the order's revision; `score` in percent, `duration` in s."""

    __tablename__ = "results"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    revision: Mapped[int]
    score: Mapped[float | None]
    grade: Mapped[str | None] = mapped_column(String(10))  # failed, passed, excelled
    summary: Mapped[str] = mapped_column(Text, default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    duration: Mapped[int | None]
    created_at: Mapped[datetime]
    order: Mapped[Order] = relationship(back_populates="results")

    @validates("details")
    def _check_details_depth(self, _: str, details: dict[str, Any]) -> dict[str, Any]:
        # Every ATS shows them as they are, some only so deep: a kind that builds more is wrong.
        for value in details.values():
            for figure in value.values() if isinstance(value, dict) else (value,):
                if not isinstance(figure, str | int | float | None):
                    raise Invalid("Details have at most two levels and no lists; dates as ISO 8601")
        return details


def has_orders_to_expire(session: Session, now: datetime) -> bool:
    """Say whether an order should have expired by now."""
    return session.scalar(select(Order.id).where(*_overdue_conditions(now)).limit(1)) is not None


def expire_overdue_orders(session: Session, now: datetime) -> int:
    """Expire a batch of orders whose time to begin is over; return how many."""
    overdue = session.scalars(
        select(Order)
        .where(*_overdue_conditions(now))
        .order_by(Order.expires_at)
        .limit(BATCH_SIZE)
        .with_for_update(skip_locked=True)  # another process is at them, or the candidate
    ).all()
    for order in overdue:
        order.expire(session, now)
    return len(overdue)


def _overdue_conditions(now: datetime) -> list[Any]:
    return [
        # A literal, not a parameter: only so can the planner use the partial index.
        Order.status == text("'pending'"),
        Order.progress.in_(NOT_STARTED),
        Order.expires_at <= now,
    ]
