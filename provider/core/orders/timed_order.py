"""Orders with an attempt: the candidate starts it once, and it ends at a deadline.

An attempt is closed some seconds after its end: what was given in time may arrive a little later.

A pause stops the clock. When it begins, the end of the attempt becomes later by all that is left of
the candidate's pauses. When the candidate goes on earlier, the end moves back by the rest. So the
stored end is right at every moment, and a pause ends by itself without any work.
"""

from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any

from sqlalchemy.orm import Session

from provider.core.formats import format_duration
from provider.core.orders.given_time import ARRIVAL_GRACE
from provider.core.orders.heartbeat import is_server_silent, wake_heartbeat
from provider.core.orders.history import Result
from provider.core.orders.order import Order
from provider.core.orders.states import FINAL_STATUSES, PENDING, STARTED, SUBMITTED
from provider.errors import Conflict
from provider.storage.secrets import SecretBox
from provider.texts import gettext_noop

# The minimum duration of an attempt without a time limit. Without it, a candidate who starts just
# before the order expires would have no time.
MIN_UNTIMED_DURATION = timedelta(hours=24)
# The events of a pause.
PAUSED, WENT_ON = "paused", "went on"
GIVEN_BACK = "time given back"  # the event after an outage of the server
_MILLISECOND = timedelta(milliseconds=1)


class TimedOrder(Order):
    """An assessment or an interview: the time runs from the start of the attempt."""

    __mapper_args__ = {"polymorphic_abstract": True}  # noqa: RUF012

    time_over_message = gettext_noop("The time is over")  # the error for a late candidate

    @property
    def time_limit(self) -> timedelta | None:
        """The maximum duration of the attempt, without the candidate's extra time.

        None for an order without a time limit.
        """
        return None

    @property
    def duration_seconds(self) -> int | None:
        usual_seconds = self.usual_seconds
        return usual_seconds + self.extra_time_seconds if usual_seconds else None

    def with_extra_time(self, seconds: int) -> int:
        """Return a part of the usual time, made longer in proportion to the extra time."""
        if not self.usual_seconds:
            return seconds
        return ceil(
            Fraction(seconds * (self.usual_seconds + self.extra_time_seconds), self.usual_seconds)
        )

    @property
    def extra_time(self) -> timedelta:
        return timedelta(seconds=self.extra_time_seconds)

    def close_at_deadline(self, session: Session, secret_box: SecretBox, now: datetime) -> None:
        """Handle the end of the time, with the answers that were saved before it."""
        raise NotImplementedError

    def require_attempt(self) -> None:
        """Raise Conflict unless staff can end the attempt for the candidate."""
        if self.status in FINAL_STATUSES or self.progress == SUBMITTED:
            raise Conflict("The candidate has finished already")
        if not self._is_started():
            raise Conflict("The candidate has not started: cancel the order instead")

    def end_attempt(
        self, session: Session, secret_box: SecretBox, actor: str, now: datetime
    ) -> None:
        """Submit what the candidate has answered so far, for staff."""
        raise NotImplementedError

    def is_running(self, now: datetime) -> bool:
        return (
            self._is_started() and self.attempt_ends_at is not None and now < self.attempt_ends_at
        )

    def require_running(self, now: datetime) -> None:
        if not self.is_running(now):
            raise Conflict(self.time_over_message)

    def is_clock_running(self, now: datetime) -> bool:
        """Whether the candidate may see the questions and answer them."""
        return self.is_running(now) and not self.is_paused(now)

    def require_clock_running(self, now: datetime) -> None:
        """Raise Conflict after the end, and during a pause."""
        self.require_running(now)
        if self.is_paused(now):
            raise Conflict(
                "The time is paused, so this was not saved: press “Go on” first, then do it again"
            )

    def require_in_time(self, given_at: datetime) -> None:
        """Raise Conflict for what was given after the end or during a pause.

        What was given before a pause may arrive during it.
        """
        self.require_clock_running(given_at)

    def give_back(self, session: Session, began_at: datetime, ended_at: datetime) -> bool:
        """Give back the time that an outage of ours took; return whether it took any."""
        if not self.usual_seconds or self.started_at is None or self.attempt_ends_at is None:
            return False
        lost = ended_at - max(began_at, self.started_at)
        if self.paused_at and self.pause_ends_at:  # the clock stood still
            paused_until = min(self.pause_ends_at, ended_at)
            lost -= max(paused_until - max(self.paused_at, began_at), timedelta(0))
        if lost <= timedelta(0):
            return False
        self.write_state(
            session, self.status, self.progress, attempt_ends_at=self.attempt_ends_at + lost
        )
        seconds = ceil(lost.total_seconds())
        self.record_event(session, GIVEN_BACK, "system", ended_at, format_duration(seconds))
        return True

    def is_paused(self, now: datetime) -> bool:
        return (
            self._is_started()
            and self.paused_at is not None
            and self.pause_ends_at is not None
            and self.paused_at <= now < self.pause_ends_at
        )

    def time_left(self, now: datetime) -> timedelta:
        """Return the rest of the attempt's time; during a pause, what is left after it."""
        if self.attempt_ends_at is None:
            return timedelta(0)
        clock_at = self.pause_ends_at if self.is_paused(now) and self.pause_ends_at else now
        return max(self.attempt_ends_at - clock_at, timedelta(0))

    def pause_left(self, now: datetime) -> timedelta:
        """Return how much longer the candidate may pause, in total."""
        left = timedelta(seconds=self.pause_limit_seconds) - self.pause_used_ms * _MILLISECOND
        if self.paused_at and self.pause_ends_at:
            left -= _pause_length(self.paused_at, self.pause_ends_at, now)
        return left

    @property
    def has_paused(self) -> bool:
        """Whether the candidate has paused this attempt."""
        return self.pause_used_ms > 0 or self.paused_at is not None

    def can_pause(self, now: datetime) -> bool:
        return self.is_clock_running(now) and self.pause_left(now) > timedelta(0)

    def pause(self, session: Session, now: datetime) -> None:
        """Stop the clock, at most for what is left. During a pause this changes nothing.

        Raises Conflict after the end, and when nothing is left.
        """
        self.require_running(now)
        if self.paused_at and not self._is_pause_over(now):
            return
        self.go_on(session, now)
        left = self.pause_left(now)
        if left <= timedelta(0):
            raise Conflict("You have used up your pauses, so the time goes on")
        assert self.attempt_ends_at, "the attempt has been started"
        self.write_state(
            session,
            self.status,
            self.progress,
            paused_at=now,
            pause_ends_at=now + left,
            attempt_ends_at=self.attempt_ends_at + left,
        )
        self.record_event(session, PAUSED, "candidate", now)

    def go_on(self, session: Session, now: datetime, actor: str = "candidate") -> None:
        """End the pause, and record its end. Without a pause this changes nothing.

        A pause that has ended by itself is recorded with the time at which it did.
        """
        if self.paused_at is None or self.pause_ends_at is None or self.attempt_ends_at is None:
            return
        is_over = self._is_pause_over(now)
        length = _pause_length(self.paused_at, self.pause_ends_at, now)
        unused = self.pause_ends_at - self.paused_at - length
        ended_at = self.pause_ends_at if is_over else now
        self.write_state(
            session,
            self.status,
            self.progress,
            paused_at=None,
            pause_ends_at=None,
            attempt_ends_at=self.attempt_ends_at - unused,
            pause_used_ms=self.pause_used_ms + self._used_pause_ms(length),
        )
        note = f"Paused for {ceil(length.total_seconds())} s"
        self.record_event(session, WENT_ON, "system" if is_over else actor, ended_at, note)

    def _used_pause_ms(self, length: timedelta) -> int:
        """Return how much of what was granted a pause has used."""
        return length // _MILLISECOND

    def _is_pause_over(self, now: datetime) -> bool:
        """Whether a pause has ended by itself, and nobody has recorded its end."""
        return self.pause_ends_at is not None and self.pause_ends_at <= now

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
        """Change the status, and end a pause before."""
        self.go_on(session, now, actor)
        super().change_status(
            session,
            status,
            actor=actor,
            now=now,
            note=note,
            result=result,
            progress=progress,
            **columns,
        )

    def require_open(self, given_at: datetime) -> None:
        super().require_open(given_at)
        if self._is_started():
            self.require_running(given_at)

    def is_ending(self, now: datetime) -> bool:
        """Whether the attempt has ended, but what was given in time may still arrive."""
        return self._is_started() and not self.is_running(now)

    @property
    def closes_at(self) -> datetime | None:
        """The time at which the attempt is closed; None before its start."""
        if self.attempt_ends_at is None:
            return None
        closes_at = self.attempt_ends_at + ARRIVAL_GRACE
        return max(closes_at, self.held_open_until) if self.held_open_until else closes_at

    def is_past_deadline(self, now: datetime) -> bool:
        """Whether the attempt must be closed now."""
        return self._is_started() and self.closes_at is not None and self.closes_at <= now

    def hold_open(self, until: datetime) -> None:
        """Close the attempt at `until` at the earliest: something begun in time is arriving."""
        if self.closes_at and until > self.closes_at:
            self.held_open_until = until

    def is_held_open(self, now: datetime) -> bool:
        """Whether the attempt is closed later than usual, because something is arriving."""
        return self.held_open_until is not None and now < self.held_open_until

    def late_seconds(self, arrived_at: datetime) -> int | None:
        """Return how many seconds after the end something arrived, at least 1; None in time."""
        if self.attempt_ends_at is None or arrived_at < self.attempt_ends_at:
            return None
        return max(1, ceil((arrived_at - self.attempt_ends_at).total_seconds()))

    @property
    def was_submitted_at_end(self) -> bool:
        """Whether the order was submitted for the candidate, at the end of the time."""
        submits = [event.actor for event in self.events if event.type == SUBMITTED]
        return bool(submits) and submits[-1] == "system"

    def late_note(self, actor: str, now: datetime) -> str:
        """Return the note of an act of the candidate that arrived after the end; else empty."""
        seconds = self.late_seconds(now)
        if seconds is None or actor != "candidate":
            return ""
        return f"Given in time, and arrived at most {seconds} s after the end"

    def has_overdue_transition(self, now: datetime) -> bool:
        return (
            super().has_overdue_transition(now)
            or self._is_pause_over(now)
            or self.is_past_deadline(now)
        )

    def apply_overdue_transition(
        self, session: Session, secret_box: SecretBox, now: datetime
    ) -> None:
        super().apply_overdue_transition(session, secret_box, now)
        if self._is_pause_over(now):
            self.go_on(session, now)
        if self.is_past_deadline(now) and not is_server_silent(session, now):
            self.close_at_deadline(session, secret_box, now)

    def start(self, session: Session, now: datetime, *, given_at: datetime | None = None) -> None:
        """Start the attempt and its time. A repeated call changes nothing.

        `given_at` is the time at which the candidate did it, if it is not `now`. Raises Conflict
        when the order is not open or the attempt has ended.
        """
        if self.is_running(now):
            return
        self.require_open(given_at or now)
        self.change_progress(
            session,
            STARTED,
            started_at=now,
            attempt_ends_at=self.extra_time
            + (
                now + self.time_limit
                if self.time_limit
                else max(self.expires_at, now + MIN_UNTIMED_DURATION)
            ),
        )
        wake_heartbeat(session, now)
        self.record_event(session, "started", "candidate", now)

    def elapsed_seconds(self, now: datetime) -> int:
        """Return the seconds from the start until now, at most until the deadline."""
        if not self._is_started():
            raise Conflict("This has not been started, or has already ended")
        return self.attempt_seconds(now)

    def attempt_seconds(self, ended_at: datetime) -> int:
        """Return the seconds of an attempt that ended at `ended_at`, at most its deadline."""
        if self.started_at is None or self.attempt_ends_at is None:
            raise Conflict("This has not been started, or has already ended")
        return int((min(ended_at, self.attempt_ends_at) - self.started_at).total_seconds())

    def _is_started(self) -> bool:
        return self.status == PENDING and self.progress == STARTED


def _pause_length(paused_at: datetime, ends_at: datetime, now: datetime) -> timedelta:
    """Return the length of a pause until now, in whole milliseconds: the table stores no others."""
    length = max(now - paused_at, timedelta(0))
    return min(-(-length // _MILLISECOND) * _MILLISECOND, ends_at - paused_at)
