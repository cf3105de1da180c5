"""Accommodations: the requests of candidates before the start, and the decisions of staff.

An accommodation says something about a person's health, so both are encrypted. No report, no result
and no message to an ATS has them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    String,
    event,
    exists,
    inspect,
    select,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, Mapper, Session, mapped_column, relationship

from provider.core.formats import format_duration, format_percent
from provider.core.orders.candidate import Candidate
from provider.core.orders.candidate_acts import require_not_started as require_candidate_can_start
from provider.core.orders.order import Order
from provider.core.orders.person import is_order_of_person
from provider.core.orders.staff_acts import (
    EXTRA_TIME_PERCENTAGES,
    MAX_EXTRA_TIME_MINUTES,
    give_extra_time,
    percent_of_time,
    require_not_started,
)
from provider.core.orders.timed_order import TimedOrder
from provider.core.products.schema_fields import clean_text
from provider.errors import Invalid
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted, KeyedDigest
from provider.storage.secrets import SecretBox
from provider.texts import gettext

ASKED, GRANTED, REFUSED = "asked", "granted", "refused"  # the states
DECISION_EMAIL = "accommodation"  # the template
MAX_TEXT_LENGTH = 2000  # characters
MAX_PAUSE_MINUTES = 240


@dataclass(frozen=True)
class Terms:
    """The content of a request or of a decision.

    `percent` or `minutes` are extra time. `other_way` is a key of `Order.other_ways`. `text` has
    the candidate's words, or the words of the staff to the candidate.
    """

    percent: int = 0
    minutes: int = 0
    pause_minutes: int = 0
    other_way: str = ""
    text: str = ""

    @classmethod
    def parse(cls, form: Mapping[str, str]) -> Self:
        """Return the values of a form; Invalid for numbers that are out of range."""
        time = form.get("time") or "0"
        if time not in ("minutes", *map(str, (0, *EXTRA_TIME_PERCENTAGES))):
            raise Invalid("Choose how much extra time it is")
        text = clean_text(form.get("text", ""))
        if len(text) > MAX_TEXT_LENGTH:
            raise Invalid("Write at most %(maximum)d characters", maximum=MAX_TEXT_LENGTH)
        is_minutes = time == "minutes"
        minutes = _parse_minutes(form.get("minutes", ""), MAX_EXTRA_TIME_MINUTES)
        if is_minutes and not minutes:
            raise Invalid("Write how many minutes of extra time it is")
        return cls(
            percent=0 if is_minutes else int(time),
            minutes=minutes if is_minutes else 0,
            pause_minutes=_parse_minutes(form.get("pause", ""), MAX_PAUSE_MINUTES),
            other_way=form.get("way", ""),
            text=text,
        )

    def to_form(self) -> dict[str, str]:
        """Return the values of the form from which `parse` makes these terms."""
        return {
            "time": "minutes" if self.minutes else str(self.percent),
            "minutes": str(self.minutes or ""),
            "pause": str(self.pause_minutes or ""),
            "way": self.other_way,
            "text": self.text,
        }

    def fit(self, order: Order) -> "Terms":
        """Return the part that the order offers: time where it is limited, and its other ways."""
        terms = self
        if not order.usual_seconds:
            terms = replace(terms, percent=0, minutes=0, pause_minutes=0)
        if terms.other_way not in order.other_ways:
            terms = replace(terms, other_way="")
        return terms

    def without_text(self) -> "Terms":
        return replace(self, text="")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but perhaps a text."""
        return self.without_text() == Terms()

    def extra_seconds(self, order: Order) -> int:
        """Return the extra time, with the pauses where no clock can be paused."""
        if not isinstance(order, TimedOrder):
            return 0
        seconds = percent_of_time(order, self.percent) or self.minutes * 60
        return seconds if order.has_clock_to_pause else seconds + self.pause_minutes * 60

    def pause_seconds(self, order: Order) -> int:
        """Return how long the candidate may pause the clock in total."""
        return self.pause_minutes * 60 if order.has_clock_to_pause else 0

    def lines(self, order: Order) -> list[str]:
        """Return the terms in words, without the text."""
        lines = []
        if self.percent:
            amount = format_percent(self.percent)
            lines.append(gettext("Extra time: %(amount)s", amount=amount))
        if self.minutes:
            amount = format_duration(self.minutes * 60)
            lines.append(gettext("Extra time: %(amount)s", amount=amount))
        if self.pause_minutes:
            amount = format_duration(self.pause_minutes * 60)
            lines.append(
                gettext(
                    "Pauses: up to %(amount)s in total, while the time stands still", amount=amount
                )
                if order.has_clock_to_pause
                else gettext("Pauses: %(amount)s, as time that is added", amount=amount)
            )
        if self.other_way in order.other_ways:
            lines.append(gettext("Another way: %(way)s", way=order.other_ways[self.other_way]))
        return lines


@dataclass(frozen=True)
class Decision:
    """The newest decision of the staff, as an e-mail tells it."""

    is_granted: bool
    terms: Terms


def _parse_minutes(text: str, maximum: int) -> int:
    text = text.strip()
    if not text:
        return 0
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= maximum:
        raise Invalid("Write a number of minutes from 1 to %(maximum)d", maximum=maximum)
    return int(text)


class Accommodation(Base):
    """The accommodation of an order: the newest request, and the newest decision."""

    __tablename__ = "accommodations"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), unique=True)
    # That of the candidate, by which placing an order finds what the person was granted before.
    email_digest: Mapped[bytes] = mapped_column(KeyedDigest, index=True)
    asked_encrypted: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/accommodation/asked")
    )
    asked_at: Mapped[datetime | None]
    decided_encrypted: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/accommodation/decided")
    )
    decided_at: Mapped[datetime | None]
    is_granted: Mapped[bool | None]  # by the newest decision; None without one
    decided_by: Mapped[str] = mapped_column(String(254), default="")
    order: Mapped[Order] = relationship()

    @property
    def state(self) -> str:
        if self.order.accommodation_asked_at or self.is_granted is None:
            return ASKED
        return GRANTED if self.is_granted else REFUSED

    @classmethod
    def of(cls, session: Session, order: Order) -> "Accommodation | None":
        return session.scalar(select(cls).where(cls.order_id == order.id))

    def asked(self, secret_box: SecretBox) -> Terms | None:
        return self._decrypt(secret_box, self.asked_encrypted, "asked")

    def decided(self, secret_box: SecretBox) -> Terms | None:
        """Return what was granted, or the text of a refusal."""
        return self._decrypt(secret_box, self.decided_encrypted, "decided")

    def decision(self, secret_box: SecretBox) -> Decision | None:
        """Return the newest decision, also while a later request waits."""
        terms = self.decided(secret_box)
        return Decision(bool(self.is_granted), terms) if terms else None

    def set_asked(self, secret_box: SecretBox, terms: Terms) -> None:
        self.asked_encrypted = self._encrypt(secret_box, terms, "asked")

    def set_decided(self, secret_box: SecretBox, terms: Terms) -> None:
        self.decided_encrypted = self._encrypt(secret_box, terms, "decided")

    def _encrypt(self, secret_box: SecretBox, terms: Terms, column: str) -> bytes:
        return secret_box.encrypt(json.dumps(asdict(terms)), self._row_path(column))

    def _decrypt(self, secret_box: SecretBox, encrypted: bytes | None, column: str) -> Terms | None:
        if encrypted is None:
            return None
        return Terms(**json.loads(secret_box.decrypt(encrypted, self._row_path(column))))

    def _row_path(self, column: str) -> str:
        return f"orders/{self.order.public_id}/accommodation/{column}"


def ask(session: Session, secret_box: SecretBox, order: Order, terms: Terms, now: datetime) -> None:
    """Store what the candidate asks for; the order waits for the staff until they decide.

    A second request replaces the first one. Raises Conflict after the start.
    """
    require_candidate_can_start(order, now)
    terms = terms.fit(order)
    if terms == Terms():
        raise Invalid("Please choose or write what you need")
    accommodation = _find_or_add(session, order)
    accommodation.asked_at = now
    accommodation.set_asked(secret_box, terms)
    order.write_state(session, order.status, order.progress, accommodation_asked_at=now)
    # No note: everybody who sees the order reads the timeline.
    order.record_event(session, "accommodation asked", "candidate", now)


def decide(
    session: Session,
    secret_box: SecretBox,
    order: Order,
    terms: Terms,
    actor: str,
    now: datetime,
    *,
    is_granted: bool,
) -> None:
    """Grant or refuse an accommodation, and tell the candidate by e-mail.

    Another decision replaces an earlier one. The time that a request has waited is added to the
    time to start. Raises Conflict after the start.
    """
    require_not_started(order, now)
    terms = terms.fit(order) if is_granted else Terms(text=terms.text)
    if is_granted and terms.is_empty and not terms.text:
        raise Invalid("Choose what the candidate gets, or write it to the candidate")
    if not is_granted and not terms.text:
        raise Invalid("Write to the candidate why the request is refused")
    accommodation = _find_or_add(session, order)
    seconds = terms.extra_seconds(order)
    if seconds or accommodation.is_granted:  # by an earlier decision
        _set_extra_time(session, order, seconds, actor, now)
    accommodation.is_granted = is_granted
    accommodation.decided_at, accommodation.decided_by = now, actor
    accommodation.set_decided(secret_box, terms)
    waited_since = order.accommodation_asked_at or now
    order.write_state(
        session,
        order.status,
        order.progress,
        accommodation_asked_at=None,
        pause_limit_seconds=terms.pause_seconds(order),
        expires_at=order.expires_at + (now - waited_since),
    )
    order.schedule_reminder(now)
    order.record_event(session, f"accommodation {accommodation.state}", actor, now)
    order.enqueue_email(session, DECISION_EMAIL, now)


def propose_terms(session: Session, secret_box: SecretBox, order: Order) -> Terms | None:
    """Return what the same person was granted last, as far as this order offers it.

    Without the text: the note to the candidate was about another order.
    """
    earlier = find_earlier_grant(session, secret_box, order)
    terms = earlier.decided(secret_box) if earlier else None
    return terms.without_text().fit(order) if terms else None


def find_earlier_grant(
    session: Session, secret_box: SecretBox, order: Order
) -> Accommodation | None:
    """Return what the same person was granted last for another order of the account."""
    return session.scalar(
        select(Accommodation)
        .join(Accommodation.order)
        .where(
            is_order_of_person(secret_box, order.account_id, order.candidate.email),
            Order.id != order.id,
            Accommodation.is_granted.is_(True),
        )
        .order_by(Accommodation.decided_at.desc())
        .limit(1)
    )


def is_granted_to(
    email_digests: Sequence[ColumnElement[Any]], account_id: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Return the condition that an account has granted an accommodation to a person."""
    orders = Order.__table__.c
    granted = select(Accommodation.id).join(Order.__table__, orders.id == Accommodation.order_id)
    return exists(
        granted.where(
            Accommodation.email_digest.in_(email_digests),
            Accommodation.is_granted.is_(True),
            orders.account_id == account_id,
        )
    )


@event.listens_for(Candidate, "after_update")
def _update_digest(_: Mapper[Candidate], connection: Connection, candidate: Candidate) -> None:
    """Store the digest of a corrected address."""
    if not inspect(candidate).attrs.email_digest.history.has_changes():
        return
    orders = Order.__table__.c
    connection.execute(
        update(Accommodation.__table__)  # type: ignore[arg-type]
        .where(
            Accommodation.order_id.in_(select(orders.id).where(orders.candidate_id == candidate.id))
        )
        .values(email_digest=candidate.email_digest)
    )


def export_accommodation(
    session: Session, secret_box: SecretBox, order: Order
) -> dict[str, Mapping[str, object]]:
    """Return what an order stores encrypted about an accommodation."""
    accommodation = Accommodation.of(session, order)
    if accommodation is None:
        return {}
    terms = {
        "asked": accommodation.asked(secret_box),
        "decided": accommodation.decided(secret_box),
    }
    return {"accommodation": {name: asdict(value) for name, value in terms.items() if value}}


def _find_or_add(session: Session, order: Order) -> Accommodation:
    accommodation = Accommodation.of(session, order)
    if accommodation is None:
        accommodation = Accommodation(order=order, email_digest=order.candidate.email_digest)
        session.add(accommodation)
    return accommodation


def _set_extra_time(
    session: Session, order: Order, seconds: int, actor: str, now: datetime
) -> None:
    if order.usual_seconds and seconds != order.extra_time_seconds:
        give_extra_time(session, order, seconds, actor, now)
