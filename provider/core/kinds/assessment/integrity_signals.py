"""The signals of an attempt at a test, such as another tab or pasted text.

A signal has a type, a time and a length. It never has the text that was copied or pasted. Signals
change neither the score nor the status: `integrity_summary` shows them to people.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.orders import COMPLETED, PENDING, Order
from provider.core.orders.given_time import MAX_CLOCK_SKEW, to_milliseconds
from provider.storage.database import Base
from provider.storage.encrypted import KeyedDigest
from provider.storage.secrets import SecretBox

# The candidate's page reports these. The length is in milliseconds (of the time away, and from
# seeing a question to its first answer), and in characters of a text.
LEFT, FAST, PASTED, COPIED = PAGE_TYPES = ("left", "fast", "pasted", "copied")
CONNECTION = "connection"  # a network and a browser that the server has not seen in this attempt
MAX_SIGNALS = 500  # of an attempt
MAX_CONNECTIONS = 50  # of an attempt
MAX_EVENTS_PER_REQUEST = 50
MAX_LENGTH = 2**31 - 1
MAX_BROWSER_LENGTH = 40  # characters
# A page reports its last signals while it is left, so they may arrive after the submission.
LATE_ARRIVAL = timedelta(minutes=10)
_DIGEST_PURPOSE = "integrity network"


@dataclass(frozen=True)
class PageEvent:
    """A signal as a page reports it. `number` is its time in milliseconds since 1970."""

    type: str
    number: int
    length: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the event of `TYPE:NUMBER:LENGTH`; None for other text."""
        match = re.fullmatch(r"([a-z]{1,10}):([0-9]{1,15}):([0-9]{1,12})", text)
        if not match or match[1] not in PAGE_TYPES:
            return None
        return cls(match[1], int(match[2]), min(int(match[3]), MAX_LENGTH))


class IntegritySignal(Base):
    """One signal. `attempt` is the start of the attempt, in milliseconds since 1970.

    `number` is the time of the signal, also in milliseconds. A page repeats a number until the
    server has answered, so it is unique. `network_digest` is a keyed digest of the candidate's
    network, of no use for any other order. `browser` is a name without versions.
    """

    __tablename__ = "integrity_signals"
    __table_args__ = (UniqueConstraint("order_id", "attempt", "type", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    attempt: Mapped[int] = mapped_column(BigInteger)
    type: Mapped[str] = mapped_column(String(10))
    number: Mapped[int] = mapped_column(BigInteger)
    length: Mapped[int | None]
    network_digest: Mapped[bytes | None] = mapped_column(KeyedDigest)
    browser: Mapped[str | None] = mapped_column(String(MAX_BROWSER_LENGTH))


def list_signals(session: Session, order: Order, attempt: int) -> Sequence[IntegritySignal]:
    """Return the signals of one attempt, in the order of their times."""
    query = select(IntegritySignal).where(
        IntegritySignal.order_id == order.id, IntegritySignal.attempt == attempt
    )
    return session.scalars(query.order_by(IntegritySignal.number, IntegritySignal.id)).all()


def attempt_of(started_at: datetime) -> int:
    return to_milliseconds(started_at)


def record_events(
    session: Session, order: Order, events: Iterable[PageEvent], now: datetime
) -> None:
    """Store what a page reports. Repeated events, and those of another time, are left out.

    The caller has locked the order, so that a repeated request finds the rows of the first one.
    """
    if order.started_at is None or not _takes_signals(order, now):
        return
    now = min(now, order.finished_at or now)
    attempt = attempt_of(order.started_at)
    earlier = list_signals(session, order, attempt)
    stored = {(signal.type, signal.number) for signal in earlier if signal.type != CONNECTION}
    latest = to_milliseconds(now + MAX_CLOCK_SKEW)
    for event in events:
        key = event.type, event.number
        if key in stored or len(stored) >= MAX_SIGNALS or not attempt <= event.number <= latest:
            continue
        stored.add(key)
        session.add(
            IntegritySignal(
                order_id=order.id,
                attempt=attempt,
                type=event.type,
                number=event.number,
                length=event.length,
            )
        )


def record_connection(
    session: Session, secret_box: SecretBox, order: Order, network: str, browser: str, now: datetime
) -> None:
    """Store the network and the browser of a running attempt, unless they are stored already."""
    if order.started_at is None or order.status != PENDING:
        return
    attempt = attempt_of(order.started_at)
    browser = browser[:MAX_BROWSER_LENGTH]
    earlier = session.execute(
        select(
            IntegritySignal.network_digest, IntegritySignal.browser, IntegritySignal.number
        ).where(
            IntegritySignal.order_id == order.id,
            IntegritySignal.attempt == attempt,
            IntegritySignal.type == CONNECTION,
        )
    ).all()
    # The order's id keeps anybody from finding the orders that share a network.
    digests = secret_box.blind_indexes(f"{order.public_id} {network}", _DIGEST_PURPOSE)
    is_known = any(row.network_digest in digests and row.browser == browser for row in earlier)
    if is_known or len(earlier) >= MAX_CONNECTIONS:
        return
    earlier_numbers = [row.number for row in earlier]
    session.add(
        IntegritySignal(
            order_id=order.id,
            attempt=attempt,
            type=CONNECTION,
            number=max([to_milliseconds(now), *(number + 1 for number in earlier_numbers)]),
            network_digest=digests[0],
            browser=browser,
        )
    )


def _takes_signals(order: Order, now: datetime) -> bool:
    if order.status == COMPLETED and order.finished_at and order.attempt_ends_at:
        # The scheduled work may complete an order long after the end of the time.
        return now <= min(order.finished_at, order.attempt_ends_at) + LATE_ARRIVAL
    return order.status == PENDING
