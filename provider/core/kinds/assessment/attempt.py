"""The stored state of a candidate's attempt at a test: its form, and where the candidate is."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from provider.storage.database import Base

MAX_DEVICE_LENGTH = 40  # characters of the random name that a browser gives itself
_MILLISECOND = timedelta(milliseconds=1)


class TestAttempt(Base):
    """The form of one order, and the part and question that are open.

    The end of a part and of a question is stored as the rest of the attempt's time at that moment.
    Whatever moves the end of the attempt (a pause, a break, extra time) moves the other ends too.
    """

    __tablename__ = "test_attempts"
    __test__ = False  # pytest would collect a class whose name begins with Test

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    form: Mapped[dict[str, Any]] = mapped_column(JSON)  # see form.py
    part: Mapped[int] = mapped_column(default=0)  # the index of the part that is next or open
    part_opened_at: Mapped[datetime | None]
    part_rest_ms: Mapped[int | None] = mapped_column(BigInteger)  # None: the part has no limit
    # The open question of a part without a way back; after the last one, the number behind it.
    item_number: Mapped[int] = mapped_column(default=0)
    item_rest_ms: Mapped[int | None] = mapped_column(BigInteger)
    # When parts and questions were left, in milliseconds since 1970:
    # {"parts": [MS, …], "items": {NUMBER: MS}}.
    closed: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    is_break: Mapped[bool] = mapped_column(default=False)  # the order's pause is a break
    # During practice the end of the attempt is this moment, and so much is left afterwards.
    practice_until: Mapped[datetime | None]
    practice_left_ms: Mapped[int | None] = mapped_column(BigInteger)
    frozen_ms: Mapped[int] = mapped_column(BigInteger, default=0)  # of practice and breaks
    flags: Mapped[list[str]] = mapped_column(JSON, default=list)  # the keys of marked questions
    device: Mapped[str] = mapped_column(String(MAX_DEVICE_LENGTH), default="")  # the newest
    given_back_seconds: Mapped[int] = mapped_column(default=0)  # after outages of ours

    def restart(self) -> None:
        """Return to the first part with the same form, for an order that was reopened."""
        self.part = self.item_number = self.frozen_ms = self.given_back_seconds = 0
        self.part_opened_at = self.practice_until = None
        self.part_rest_ms = self.item_rest_ms = self.practice_left_ms = None
        self.closed, self.is_break = {}, False

    def part_closed_ms(self, index: int) -> int | None:
        """Return when a part was left; None for one that is open or comes later."""
        times: list[int] = self.closed.get("parts", [])
        return times[index] if index < len(times) else None

    def item_closed_ms(self, number: int) -> int | None:
        closed_ms: int | None = self.closed.get("items", {}).get(str(number))
        return closed_ms

    def record_closed_part(self, at_ms: int) -> None:
        self.closed = {**self.closed, "parts": [*self.closed.get("parts", []), at_ms]}

    def record_closed_item(self, number: int, at_ms: int) -> None:
        items = {**self.closed.get("items", {}), str(number): at_ms}
        self.closed = {**self.closed, "items": items}

    def set_flag(self, item_key: str, *, is_set: bool) -> None:
        """Mark a question to come back to, or remove the mark."""
        others = [key for key in self.flags if key != item_key]
        self.flags = [*others, item_key] if is_set else others


def rest_ms(attempt_ends_at: datetime, ends_at: datetime) -> int | None:
    """Return the rest of the attempt's time at a moment; None where the attempt ends before."""
    rest = (attempt_ends_at - ends_at) // _MILLISECOND
    return rest if rest > 0 else None


def end_from_rest(attempt_ends_at: datetime, rest: int | None) -> datetime | None:
    return None if rest is None else attempt_ends_at - rest * _MILLISECOND
