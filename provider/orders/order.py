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

from provider import logs, outbox, vault
from provider.accounts import Account
from provider.db import Base
from provider.errors import Conflict, Invalid, NotFound
from provider.orders.evidence import Evidence
from provider.orders.link import INVITE, PDF, REPORT, Link
from provider.orders.product import Product, Version
from provider.vault import Vault

PENDING, CONSENTED, COMPLETED = "pending", "consented", "completed"
DECLINED, EXPIRED, CANCELLED = "declined", "expired", "cancelled"
STATUSES = (PENDING, CONSENTED, COMPLETED, DECLINED, EXPIRED, CANCELLED)
FINAL = frozenset({COMPLETED, DECLINED, EXPIRED, CANCELLED})

INVITED, OPENED, STARTED, SUBMITTED = PROGRESS = ("invited", "opened", "started", "submitted")
UNTOUCHED = (INVITED, OPENED)  # an order that still waits on the candidate
# Handed in and without a result. Literals, not parameters: only so can an index be partial by it.
WAITS_ON_STAFF = "progress = 'submitted' AND status IN ('pending', 'consented')"

# From where each status may be reached. Final ones are left only by staff, through `reopen`.
REACHED_FROM = {
    PENDING: FINAL,
    CONSENTED: {PENDING},
    COMPLETED: {PENDING, CONSENTED},
    DECLINED: {PENDING},
    EXPIRED: {PENDING},
    CANCELLED: {PENDING, CONSENTED},
}
BATCH = 100  # orders that expire in one transaction: a writer is never held for long


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
        UniqueConstraint("account_id", "origin"),
        # Of all cancelled ones few may be an account's, of an account's few may be cancelled.
        Index("ix_orders_account", "account_id", "status", "id"),
        Index("ix_orders_kind", "kind", "status", "id"),
        Index("ix_orders_product", "product_id", "status", "id"),
        Index("ix_orders_status", "status", "id"),
        Index(
            "ix_orders_expiry", "expires_at",
            sqlite_where=text("status = 'pending'"), postgresql_where=text("status = 'pending'"),
        ),
        Index(
            "ix_orders_attempt", "attempt_ends_at",
            sqlite_where=text("progress = 'started'"),
            postgresql_where=text("progress = 'started'"),
        ),
        Index(
            "ix_orders_staff", "progress", "id",
            sqlite_where=text(WAITS_ON_STAFF), postgresql_where=text(WAITS_ON_STAFF),
        ),
    )  # fmt: skip
    __mapper_args__ = {"polymorphic_on": "kind"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(22), unique=True, default=vault.public_id)
    kind: Mapped[str] = mapped_column(String(20))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id"), index=True)
    origin: Mapped[str] = mapped_column(String(2000))
    fingerprint: Mapped[str] = mapped_column(String(100))
    reply: Mapped[dict[str, Any]] = mapped_column(JSON)
    host: Mapped[str] = mapped_column(String(260), server_default="")  # that `reply` goes to
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
    version: Mapped[Version] = relationship()
    candidate: Mapped[Candidate] = relationship()
    events: Mapped[list["Event"]] = relationship(back_populates="order", order_by="Event.id")
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
        return Evidence.read(self.result.figures if self.result else {})

    def aside(self, keeper: Vault) -> dict[str, Any]:
        """Return what only this kind has to say on the candidate's pages and in letters."""
        return {}

    @property
    def waits_on_candidate(self) -> bool:
        """Whether the candidate has not begun: only then can the order expire."""
        return self.status == PENDING and self.progress in UNTOUCHED

    @property
    def lasts(self) -> int | None:
        """Seconds that the candidate should have at hand; None where that is open."""
        return None

    def overdue(self, at: datetime) -> bool:
        """Whether the order should have expired by now, even if nobody has written it yet."""
        return self.waits_on_candidate and self.expires_at <= at

    def behind(self, at: datetime) -> bool:
        """Whether the clock has demanded something of this order that nobody has done yet."""
        return self.overdue(at)

    def catch_up(self, session: Session, keeper: Vault, at: datetime) -> None:
        """Do at once what the clock demands, rather than when the timer comes round."""
        if self.overdue(at):
            self.expire(session, at)

    def invite(self, session: Session, keeper: Vault, at: datetime) -> None:
        """Make the candidate's link and put the invitation into the outbox."""
        if not any(link.purpose == INVITE and not link.revoked_at for link in self.links):
            session.add(Link.mint(keeper, self, INVITE, at))
        self.write_letter(session, "invitation", at)

    def write_letter(self, session: Session, letter: str, at: datetime) -> None:
        """Put a letter to the candidate into the outbox."""
        outbox.append(
            session, lane=self.lane(outbox.MAIL), key=self.public_id, sequence=self.revision,
            topic=letter, payload={"order": self.public_id}, at=at,
        )  # fmt: skip

    def open(self, session: Session, at: datetime) -> None:
        """Note that the candidate has seen the invitation's page."""
        if self.status == PENDING and self.progress == INVITED:
            self.progress = OPENED
            self.tell(session, "opened", "candidate", at)

    def decline(self, session: Session, reason: str, at: datetime) -> None:
        """The candidate says no, with a reason or without."""
        self.must_be_open(at)
        self.become(session, DECLINED, actor="candidate", note=reason.strip()[:2000], at=at)

    def expire(self, session: Session, at: datetime) -> None:
        """The time to begin is over."""
        self.become(session, EXPIRED, actor="system", at=at)

    def cancel(self, session: Session, actor: str, reason: str, at: datetime) -> None:
        """Staff take the order back."""
        self.become(session, CANCELLED, actor=actor, note=reason, at=at)

    def reopen(
        self, session: Session, keeper: Vault, actor: str, reason: str, at: datetime
    ) -> None:
        """Staff give the candidate another go: the order waits again and is invited again."""
        if self.status not in FINAL:
            raise Conflict("Only an order that has ended can be reopened")
        self.expires_at = at + timedelta(seconds=self.account.expire_after)
        self.progress, self.started_at, self.attempt_ends_at = INVITED, None, None
        self.become(session, PENDING, actor=actor, note=reason, at=at)
        self.invite(session, keeper, at)

    def complete(
        self, session: Session, keeper: Vault, result: "Result", actor: str, at: datetime
    ) -> None:
        """Keep a result, give it its addresses, and tell the ATS."""
        result.revision = self.revision + 1
        result.created_at = at
        self.results.append(result)
        for purpose in (REPORT, PDF):
            if not any(link.purpose == purpose and not link.revoked_at for link in self.links):
                session.add(Link.mint(keeper, self, purpose, at))
        self.progress = SUBMITTED
        self.become(session, COMPLETED, actor=actor, at=at, result=result)

    def become(
        self,
        session: Session,
        status: str,
        *,
        actor: str,
        at: datetime,
        note: str = "",
        result: "Result | None" = None,
    ) -> None:
        """Change the status, write the event, and put the news into the outbox, all or nothing.

        Raises Conflict when the order cannot get there from where it is, or when somebody else
        changed it first: of submit and expire at the same moment one wins.
        """
        if self.status not in REACHED_FROM[status]:
            raise Conflict(f"An order that is {self.status} cannot become {status}")
        session.flush()
        changed = session.execute(
            update(Order)
            .where(Order.id == self.id, Order.revision == self.revision)
            .values(
                status=status,
                revision=Order.revision + 1,
                finished_at=at if status in FINAL else None,
            )
            .execution_options(synchronize_session=False)
        )
        assert isinstance(changed, CursorResult)
        if changed.rowcount != 1:
            raise Conflict("Somebody else changed this order at the same moment")
        session.refresh(self, ["status", "revision", "finished_at"])
        self.tell(session, status if status != PENDING else "reopened", actor, at, note)
        outbox.append(
            session, lane=self.lane(outbox.CALLBACK, self.host), key=self.public_id,
            sequence=self.revision, topic="status", absolute=True, at=at,
            payload={"status": status, "result": result.id if result else None},
        )  # fmt: skip

    def lane(self, sink: str, host: str = "") -> str:
        """Name the lane in which this order's messages go to a sink."""
        return str(outbox.Lane(self.account_id, sink, host))

    def must_be_open(self, at: datetime) -> None:
        """Raise Conflict unless the candidate may still act."""
        if self.status != PENDING or self.overdue(at):
            raise Conflict("This invitation is no longer open")

    def tell(self, session: Session, word: str, actor: str, at: datetime, note: str = "") -> None:
        """Add a line to the order's story."""
        session.add(
            Event(order=self, revision=self.revision, at=at, word=word, actor=actor, note=note)
        )
        logs.once_kept(session, "order", order=self.public_id, kind=self.kind, word=word)


class Event(Base):
    """One line of an order's story: what happened, when, by whom."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    revision: Mapped[int]
    at: Mapped[datetime]
    word: Mapped[str] = mapped_column(String(30))
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
    def _at_most_two_levels(self, _: str, details: dict[str, Any]) -> dict[str, Any]:
        # Every ATS shows them as they are, some only so deep: a kind that builds more is wrong.
        for value in details.values():
            for figure in value.values() if isinstance(value, dict) else (value,):
                if not isinstance(figure, str | int | float | None):
                    raise Invalid("Details have at most two levels and no lists; dates as ISO 8601")
        return details


def expiry_due(session: Session, at: datetime) -> bool:
    """Say whether an order should have expired by now."""
    return session.scalar(select(Order.id).where(*_overdue(at)).limit(1)) is not None


def expire_due(session: Session, at: datetime) -> int:
    """Expire a batch of orders whose time to begin is over; return how many."""
    overdue = session.scalars(
        select(Order)
        .where(*_overdue(at))
        .order_by(Order.expires_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)  # another process is at them, or the candidate
    ).all()
    for order in overdue:
        order.expire(session, at)
    return len(overdue)


def _overdue(at: datetime) -> list[Any]:
    return [
        # A literal, not a parameter: only so can the planner use the partial index.
        Order.status == text("'pending'"),
        Order.progress.in_(UNTOUCHED),
        Order.expires_at <= at,
    ]
