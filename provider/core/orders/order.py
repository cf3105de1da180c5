"""Orders.

`Order.change_status` is the only place where a status changes. It calls the subscribers, which
append messages about the change in the same transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from sqlalchemy import (
    JSON,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider import logging_config
from provider.core.accounts import Account
from provider.core.orders.candidate import Candidate
from provider.core.orders.given_time import ARRIVAL_GRACE
from provider.core.orders.history import OrderEvent, Result
from provider.core.orders.link import INVITE, PDF, REPORT, SHARED, Link, OrderSession
from provider.core.orders.order_hooks import OrderHooks
from provider.core.orders.order_messages import INVITATION, OrderMessages
from provider.core.orders.order_state import OrderState
from provider.core.orders.states import (
    ALLOWED_PREVIOUS_STATUSES,
    CANCELLED,
    COMPLETED,
    DECLINED,
    EXPIRED,
    FINAL_STATUSES,
    INVITED,
    NOT_STARTED,
    OPENED,
    PENDING,
    SUBMITTED,
)
from provider.core.orders.status_change import StatusChange, notify_subscribers
from provider.core.products.product import Product, ProductVersion
from provider.errors import Conflict, NotFound
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.secrets import SecretBox
from provider.texts import LazyText, find_language

RULE_KEY_PREFIX = "rule:"  # of the external key of an order that a rule placed


class Order(OrderState, OrderMessages, OrderHooks, Base):
    """An assessment, an interview or a check that an ATS placed for a candidate."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("account_id", "external_key"),
        # The console filters by a status and one of these columns. An index on one of them alone
        # could match many rows.
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
            "ix_orders_reminder",
            "reminder_at",
            sqlite_where=text("reminder_at IS NOT NULL"),
            postgresql_where=text("reminder_at IS NOT NULL"),
        ),
        Index(
            "ix_orders_bounced",
            "id",
            sqlite_where=text("bounced_at IS NOT NULL"),
            postgresql_where=text("bounced_at IS NOT NULL"),
        ),
        Index(
            "ix_orders_pause",
            "pause_ends_at",
            sqlite_where=text("pause_ends_at IS NOT NULL"),
            postgresql_where=text("pause_ends_at IS NOT NULL"),
        ),
        # With the account, so that the orders of some accounts are counted without their rows.
        Index("ix_orders_waiting", "waiting_for", "id", "account_id"),
        Index(
            "ix_orders_staff",
            "kind",
            "id",
            "account_id",
            sqlite_where=text("waiting_for = 'staff'"),
            postgresql_where=text("waiting_for = 'staff'"),
        ),
        Index(
            "ix_orders_hold",
            "account_id",
            "id",
            sqlite_where=text("hold_reason IS NOT NULL"),
            postgresql_where=text("hold_reason IS NOT NULL"),
        ),
        # All that `order_counts` reads.
        Index("ix_orders_placed", "placed_at", "status", "product_id", "account_id"),
        # The usage counts an account's orders of a product within a month.
        Index("ix_orders_usage", "account_id", "product_id", "placed_at"),
        Index(
            "ix_orders_completed",
            "account_id",
            "product_id",
            "finished_at",
            sqlite_where=text("status = 'completed'"),
            postgresql_where=text("status = 'completed'"),
        ),
    )
    __mapper_args__ = {"polymorphic_on": "kind"}  # noqa: RUF012

    # In which other ways a candidate may do the same, as an accommodation.
    other_ways: ClassVar[Mapping[str, LazyText]] = {}
    # Whether a granted pause stops the clock of an attempt. Otherwise it is extra time.
    has_clock_to_pause: ClassVar[bool] = False

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
    # A keyed digest of the request, to recognise the same order again.
    request_mac: Mapped[str] = mapped_column(String(100))
    # The adapter addresses a callback by these values.
    reply_context: Mapped[dict[str, Any]] = mapped_column(JSON)
    # The host of the callback URL in `reply_context`.
    callback_host: Mapped[str] = mapped_column(String(260), server_default="")
    job_title: Mapped[str] = mapped_column(String(500), default="")
    job_reference: Mapped[str] = mapped_column(String(200), default="")
    preferences: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    placed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    attempt_ends_at: Mapped[datetime | None]
    # Of this candidate, beside the time that the product gives everybody. No report and no ATS
    # shows it.
    extra_time_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    # How long the candidate may pause in total, and how much of that earlier pauses have used.
    pause_limit_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    pause_used_ms: Mapped[int] = mapped_column(default=0, server_default="0")
    # The pause that runs, and when it ends by itself; None without one. `attempt_ends_at` is later
    # by the whole pause from its beginning.
    paused_at: Mapped[datetime | None]
    pause_ends_at: Mapped[datetime | None]
    # An attempt is not closed before, because something that was begun in time is still arriving.
    held_open_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # Why the order must not be erased, such as a dispute; None for an order that may be.
    hold_reason: Mapped[str | None] = mapped_column(Text)
    # The candidate's choice, or the browser's language at the first act; empty until then.
    language: Mapped[str] = mapped_column(String(35), default="", server_default="")

    account: Mapped[Account] = relationship()
    product: Mapped[Product] = relationship()
    version: Mapped[ProductVersion] = relationship()
    candidate: Mapped[Candidate] = relationship()
    events: Mapped[list[OrderEvent]] = relationship(back_populates="order", order_by=OrderEvent.id)
    results: Mapped[list[Result]] = relationship(back_populates="order", order_by=Result.id)
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
        """Return an order of this kind, optionally of one account. Raises NotFound.

        `lock` locks the row until the end of the transaction. Other transactions can then neither
        change the order nor insert rows that refer to it.
        """
        order = None
        if len(public_id) <= 22 and "\x00" not in public_id:
            query = select(cls).where(cls.public_id == public_id)
            if account_id is not None:
                query = query.where(cls.account_id == account_id)
            order = session.scalar(query.with_for_update() if lock else query)
        if order is None:
            raise NotFound("There is no such order")
        return order

    @property
    def is_placed_by_rule(self) -> bool:
        """Whether a rule placed the order: the ATS named no address for callbacks."""
        return self.external_key.startswith(RULE_KEY_PREFIX)

    @property
    def result(self) -> Result | None:
        """The newest result; None for an order that is not completed."""
        return self.results[-1] if self.results and self.status == COMPLETED else None

    @property
    def result_figures(self) -> dict[str, Any]:
        """The figures of the current result; empty without one."""
        return self.result.figures if self.result else {}

    @property
    def earlier_results(self) -> list[Result]:
        """The results from before a reopening, oldest first."""
        return [result for result in self.results if result is not self.result]

    @property
    def texts_language(self) -> str:
        """The language of the candidate's pages and e-mails; empty if nothing has decided it.

        The product's language is the first one. The candidate may choose another.
        """
        return find_language(self.language, self.version.language)

    @property
    def is_waiting_for_candidate(self) -> bool:
        """Whether the candidate has not started; then the order expires at `expires_at`."""
        return self.status == PENDING and self.progress in NOT_STARTED

    @property
    def timezone(self) -> str:
        """The candidate's time zone; the account's until her browser has named one."""
        return self.candidate.timezone or self.account.timezone

    @property
    def submitted_at(self) -> datetime | None:
        """When the candidate's answers were submitted last; None for a kind without answers."""
        times = [event.occurred_at for event in self.events if event.type == SUBMITTED]
        return times[-1] if times else None

    def is_past_expiry(self, moment: datetime) -> bool:
        """Whether the candidate did not start in time, seen at `moment`."""
        return self.is_waiting_for_candidate and self.expires_at <= moment

    def is_overdue(self, now: datetime) -> bool:
        """Whether the order must expire now, though the status is still pending.

        What the candidate did in time may still arrive during `ARRIVAL_GRACE`.
        """
        return self.is_past_expiry(now - ARRIVAL_GRACE)

    def has_overdue_transition(self, now: datetime) -> bool:
        """Whether a deadline has passed that the scheduled work has not handled yet."""
        return self.is_overdue(now)

    def apply_overdue_transition(
        self, session: Session, secret_box: SecretBox, now: datetime
    ) -> None:
        """Handle a passed deadline now. A request must not wait for the scheduled work."""
        if self.is_overdue(now):
            self.expire(session, now)

    def invite(self, session: Session, secret_box: SecretBox, now: datetime) -> None:
        """Create the invitation link if there is none, and enqueue the invitation.

        The reminders before the deadline begin again.
        """
        if not any(link.purpose == INVITE and not link.revoked_at for link in self.links):
            session.add(Link.create(secret_box, self, INVITE, now))
        self.enqueue_email(session, INVITATION, now)
        self.schedule_reminder(now)

    def mark_opened(self, session: Session, now: datetime) -> None:
        if self.status == PENDING and self.progress == INVITED:
            self.change_progress(session, OPENED)
            self.record_event(session, "opened", "candidate", now)

    def decline(
        self, session: Session, reason: str, now: datetime, *, given_at: datetime | None = None
    ) -> Sequence[str]:
        """Decline for the candidate, who did it at `given_at`, if that is not `now`.

        Returns the media folders to delete after the commit; a kind may delete data at once.
        """
        self.require_open(given_at or now)
        self.change_status(
            session, DECLINED, actor="candidate", note=reason.strip()[:2000], now=now
        )
        return ()

    def expire(self, session: Session, now: datetime) -> None:
        self.change_status(session, EXPIRED, actor="system", now=now)

    def cancel(self, session: Session, actor: str, reason: str, now: datetime) -> None:
        self.change_status(session, CANCELLED, actor=actor, note=reason, now=now)

    def reopen(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Make a final order pending again, with a new deadline and a new invitation."""
        if self.status not in FINAL_STATUSES:
            raise Conflict("Only an order that has ended can be reopened")
        self.change_status(
            session,
            PENDING,
            progress=self.first_progress(),
            actor=actor,
            note=reason,
            now=now,
            expires_at=now + timedelta(seconds=self.account.expire_after_seconds),
            started_at=None,
            attempt_ends_at=None,
            held_open_until=None,
            pause_used_ms=0,
        )
        self.end_invitations(session, now)
        self.invite(session, secret_box, now)

    def revoke_links(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> int:
        """Revoke every link and end the candidate's sessions. Returns the number of links.

        Links without a limit get a successor, or the next e-mail and the next poll of the ATS would
        have no address. This sends no message.
        """
        revoked_links = [link for link in self.links if not link.revoked_at]
        for purpose in sorted({link.purpose for link in revoked_links if link.is_permanent}):
            if purpose != SHARED:  # the ATS gets a new shared link when it asks for one
                session.add(Link.create(secret_box, self, purpose, now))
        for link in revoked_links:
            link.revoked_at = now
        OrderSession.end_all(session, self)
        self.record_event(session, "links revoked", actor, now, reason)
        return len(revoked_links)

    def hold(self, session: Session, actor: str, reason: str, now: datetime) -> None:
        """Keep the order from being erased until it is released. Conflict if it is held."""
        if self.hold_reason is not None:
            raise Conflict("This order is on hold already")
        self.hold_reason = reason
        self.record_event(session, "held", actor, now, reason)

    def release(self, session: Session, actor: str, reason: str, now: datetime) -> None:
        """Let the order be erased again. Conflict if it is not on hold."""
        if self.hold_reason is None:
            raise Conflict("This order is not on hold")
        self.hold_reason = None
        self.record_event(session, "released", actor, now, reason)

    def end_invitations(self, session: Session, now: datetime) -> None:
        """Revoke the invitation links, and end the candidate's sessions."""
        for link in self.links:
            if link.purpose == INVITE and not link.revoked_at:
                link.revoked_at = now
        OrderSession.end_all(session, self)

    def complete(
        self, session: Session, secret_box: SecretBox, result: Result, actor: str, now: datetime
    ) -> None:
        """Store a result, create the links to its report, and complete the order."""
        result.revision = self.revision + 1
        result.created_at = now
        self.results.append(result)
        for purpose in (REPORT, PDF):
            self.create_report_link(session, secret_box, now, purpose)
        self.change_status(
            session, COMPLETED, progress=SUBMITTED, actor=actor, now=now, result=result
        )

    def create_report_link(
        self, session: Session, secret_box: SecretBox, now: datetime, purpose: str = REPORT
    ) -> None:
        """Create the link to the report, or to its PDF, if there is none."""
        if not any(link.purpose == purpose and not link.revoked_at for link in self.links):
            session.add(Link.create(secret_box, self, purpose, now))

    def change_status(
        self,
        session: Session,
        status: str,
        *,
        actor: str,
        now: datetime,
        note: str = "",
        result: Result | None = None,
        progress: str | None = None,
        **columns: Any,
    ) -> None:
        """Change the status, record the event and call the subscribers, in one transaction.

        The same UPDATE writes the progress, if one is given, and other `columns`. Raises Conflict
        for a transition that is not allowed.
        """
        old_status = self.status
        if old_status not in ALLOWED_PREVIOUS_STATUSES[status]:
            raise Conflict(
                "An order that is %(old)s cannot become %(new)s", old=old_status, new=status
            )
        self.write_state(
            session,
            status,
            progress or self.progress,
            revision=self.revision + 1,
            finished_at=now if status in FINAL_STATUSES else None,
            reminder_at=None,
            **columns,
        )
        self.record_event(session, status if status != PENDING else "reopened", actor, now, note)
        notify_subscribers(
            session, StatusChange(self, old_status, status, self.revision, result, now, note)
        )

    def require_open(self, given_at: datetime) -> None:
        """Raise Conflict unless the order is pending, and its time to start includes `given_at`."""
        if self.status != PENDING or self.is_past_expiry(given_at):
            raise Conflict("This invitation is no longer open")

    def record_event(
        self, session: Session, event_type: str, actor: str, now: datetime, note: str = ""
    ) -> None:
        """Add an event to the order, and log it after the commit."""
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
            session, "order_event_recorded", order=self.public_id, kind=self.kind, type=event_type
        )
