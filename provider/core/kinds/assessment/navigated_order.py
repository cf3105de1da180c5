"""Orders whose candidate moves through the parts of a test, each with its own end.

The tightest of the ends counts: of the attempt, of the part, of the question. A part whose time is
over is left by itself, at the moment at which its time ended. A question whose time is over is left
when the candidate asks for the next one, so that an absent candidate loses one question only.
"""

from datetime import datetime, timedelta

from sqlalchemy.orm import Mapped, Session, joinedload, relationship
from sqlalchemy.orm.interfaces import ORMOption

from provider.core.kinds.assessment.attempt import TestAttempt, end_from_rest, rest_ms
from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.form import apply_form, draw_form
from provider.core.kinds.assessment.parts import Part, Structure, describe_structure, split_parts
from provider.core.orders import TimedOrder
from provider.core.orders.given_time import to_milliseconds
from provider.core.orders.heartbeat import is_server_silent
from provider.core.orders.timed_order import MIN_UNTIMED_DURATION, PAUSED
from provider.errors import Conflict
from provider.storage.secrets import SecretBox
from provider.texts import gettext_noop

_MILLISECOND = timedelta(milliseconds=1)
# In the instance's dictionary: the attempt and its content, and a content and its parts.
_DRAWN, _PARTS = "_drawn_content", "_split_parts"
BREAK_NOTE = "Break between sections"


class ClosedItem(Conflict):
    """The question is not open: it was left, its time is over, or it comes later."""


class NavigatedOrder(TimedOrder):
    """A test with a form and parts."""

    __mapper_args__ = {"polymorphic_abstract": True}  # noqa: RUF012

    attempt: Mapped[TestAttempt | None] = relationship(
        cascade="all, delete-orphan", single_parent=True, uselist=False
    )

    @classmethod
    def page_options(cls) -> tuple[ORMOption, ...]:
        return (joinedload(cls.attempt),)

    @property
    def full_content(self) -> TestContent:
        """The content of the version that was ordered, with whole banks."""
        raise NotImplementedError

    @property
    def content(self) -> TestContent:
        """The test as this candidate gets it; before the start, with whole banks."""
        attempt = self.attempt
        if attempt is None:
            return self.full_content
        drawn: tuple[TestAttempt, TestContent] | None = vars(self).get(_DRAWN)
        if drawn is None or drawn[0] is not attempt:
            drawn = (attempt, apply_form(self.full_content, attempt.form))
            vars(self)[_DRAWN] = drawn
        return drawn[1]

    @property
    def parts(self) -> tuple[Part, ...]:
        content = self.content
        split: tuple[TestContent, tuple[Part, ...]] | None = vars(self).get(_PARTS)
        if split is None or split[0] is not content:
            split = vars(self)[_PARTS] = (content, split_parts(content))
        return split[1]

    @property
    def structure(self) -> Structure:
        return describe_structure(self.parts)

    @property
    def part(self) -> Part:
        """The part that is open, or that the candidate opens next."""
        return self.parts[self.attempt.part if self.attempt else 0]

    @property
    def is_last_part(self) -> bool:
        return self.part.index == len(self.parts) - 1

    @property
    def is_part_open(self) -> bool:
        """Whether the candidate sees questions; true for an attempt of an earlier program."""
        return self.attempt is None or self.attempt.part_opened_at is not None

    @property
    def is_practising(self) -> bool:
        return self.attempt is not None and self.attempt.practice_until is not None

    @property
    def part_ends_at(self) -> datetime | None:
        return self._end(self.attempt.part_rest_ms if self.attempt else None)

    @property
    def item_ends_at(self) -> datetime | None:
        """The end of the open question's time; None where it has no limit."""
        return self._end(self.attempt.item_rest_ms if self.attempt else None)

    def _end(self, rest: int | None) -> datetime | None:
        return end_from_rest(self.attempt_ends_at, rest) if self.attempt_ends_at else None

    @property
    def answer_ends_at(self) -> datetime | None:
        """The earliest of the ends of the attempt, the part and the question."""
        ends = (self.attempt_ends_at, self.part_ends_at, self.item_ends_at)
        return min((end for end in ends if end is not None), default=None)

    def answer_time_left(self, now: datetime) -> timedelta:
        """Return the time that is left for the open question.

        After the end of its own time it is that of the part or the attempt: the next question
        opens when the candidate asks for it.
        """
        item_end = self.item_ends_at if self.item_ends_at and self.item_ends_at > now else None
        ends = [end for end in (self.attempt_ends_at, self.part_ends_at, item_end) if end]
        if self.attempt_ends_at is None:
            return timedelta(0)
        left = self.time_left(now) - (self.attempt_ends_at - min(ends))
        return max(left, timedelta(0))

    @property
    def shows_time(self) -> bool:
        """Whether any limit runs for the open question."""
        has_limit = self.item_ends_at is not None or self.has_limit_beside_item
        return not self.is_practising and has_limit

    @property
    def has_limit_beside_item(self) -> bool:
        """Whether the open part or the attempt has a limit."""
        # The limit of the last part is that of the attempt: see `open_part`.
        is_last_limited = self.is_last_part and bool(self.part.time_limit_seconds)
        has_attempt_limit = self.time_limit is not None or (is_last_limited and self.is_part_open)
        return self.part_ends_at is not None or has_attempt_limit

    def can_open_item(self, number: int, now: datetime) -> bool:
        """Whether the candidate may see this question now."""
        try:
            self.require_open_item(number, now)
        except ClosedItem:
            return False
        return self.part_index_of(number) == self.part.index

    def part_index_of(self, number: int) -> int:
        return next(part.index for part in self.parts if number in part)

    def require_open_item(self, number: int, given_at: datetime) -> None:
        """Raise ClosedItem unless an answer of this moment counts for a question.

        What was given before a question was left may arrive afterwards.
        """
        attempt = self.attempt
        if attempt is None:
            return
        index, given_ms = self.part_index_of(number), to_milliseconds(given_at)
        closed_times = [attempt.part_closed_ms(index), attempt.item_closed_ms(number)]
        if index == attempt.part:
            closed_times.append(_to_ms(self.part_ends_at))
            if not self.is_part_open:
                raise ClosedItem(gettext_noop("This question is not open yet"))
            if self.part.is_forward and number == attempt.item_number:
                closed_times.append(_to_ms(self.item_ends_at))
            if self.part.is_forward and number > attempt.item_number:
                raise ClosedItem(gettext_noop("This question is not open yet"))
        if index > attempt.part:
            raise ClosedItem(gettext_noop("This question is not open yet"))
        if any(closed_ms is not None and given_ms >= closed_ms for closed_ms in closed_times):
            raise ClosedItem(gettext_noop("This question is closed, so this was not saved"))

    def is_item_over(self, number: int, now: datetime) -> bool:
        """Whether the time of the open question is over: only the next one can be opened."""
        attempt, end = self.attempt, self.item_ends_at
        return attempt is not None and number == attempt.item_number and bool(end and end <= now)

    def open_part(self, session: Session, index: int, now: datetime) -> None:
        """Begin a part, and its time. A repeated call changes nothing."""
        attempt = self.attempt
        self.require_clock_running(now)
        if attempt is None or attempt.part != index or attempt.part_opened_at is not None:
            return
        assert self.attempt_ends_at, "the attempt has been started"
        part = self.part
        attempt.part_opened_at = now
        if part.is_practice:
            self._stop_for_practice(session, attempt, now)
        elif part.time_limit_seconds:
            seconds = self.with_extra_time(part.time_limit_seconds)
            ends_at = now + timedelta(seconds=seconds)
            if self.is_last_part:
                # The attempt ends with its last part, and is submitted then.
                self._write_end(session, min(ends_at, self.attempt_ends_at))
            else:
                attempt.part_rest_ms = rest_ms(self.attempt_ends_at, ends_at)
        if part.is_forward:
            self._open_item(attempt, part, part.first, now)
        session.flush()

    def finish_part(self, session: Session, index: int, now: datetime) -> None:
        """Leave the open part for good. A repeated call changes nothing."""
        self.require_clock_running(now)
        attempt = self.attempt
        if attempt is None or attempt.part != index or attempt.part_opened_at is None:
            return
        if self.is_last_part:
            raise Conflict("This is the last part: submit the test instead")
        self._close_part(session, attempt, now)

    def move_forward(self, session: Session, number: int, now: datetime) -> None:
        """Leave a question without a way back, and open the next. Elsewhere this does nothing."""
        attempt = self.attempt
        if attempt is None or not self.is_part_open or attempt.item_number != number:
            return
        part = self.part
        if not part.is_forward or number not in part:
            return
        self._close_item(attempt, number, now)
        self._open_item(attempt, part, number + 1, now)
        session.flush()

    def start(self, session: Session, now: datetime, *, given_at: datetime | None = None) -> None:
        """Start the attempt with a form of its own; after a reopening, with the same one."""
        if self.is_running(now):
            return
        super().start(session, now, given_at=given_at)
        if self.attempt is None:
            self.attempt = TestAttempt(
                form=draw_form(self.full_content), part=0, item_number=0, closed={}, flags=[]
            )
        else:
            self.attempt.restart()
        session.flush()
        if self.part.opens_by_itself:
            self.open_part(session, 0, now)
        elif self.part.is_practice and self.attempt:
            # The landing page promises that the time begins after the practice.
            self._stop_for_practice(session, self.attempt, now)
            session.flush()

    def time_limits_over(self, now: datetime) -> bool:
        """Whether the time of the open part is over, and nobody has recorded it."""
        return self._is_started() and (end := self.part_ends_at) is not None and end <= now

    def has_overdue_transition(self, now: datetime) -> bool:
        return super().has_overdue_transition(now) or self.time_limits_over(now)

    def apply_overdue_transition(
        self, session: Session, secret_box: SecretBox, now: datetime
    ) -> None:
        if not is_server_silent(session, now):  # else the time of the outage is given back first
            self.close_overdue_part(session, now)
        super().apply_overdue_transition(session, secret_box, now)

    def close_overdue_part(self, session: Session, now: datetime) -> None:
        """Leave the part whose time is over, at the end of its time; a break begins then."""
        if self._is_pause_over(now):
            self.go_on(session, now)
        attempt, ends_at = self.attempt, self.part_ends_at
        if attempt is None or ends_at is None or not self.time_limits_over(now):
            return
        self._close_part(session, attempt, ends_at)
        if self._is_pause_over(now):
            self.go_on(session, now)

    def give_back(self, session: Session, began_at: datetime, ended_at: datetime) -> bool:
        if self.is_practising or not super().give_back(session, began_at, ended_at):
            return False
        if self.attempt:
            began_at = max(began_at, self.started_at or began_at)
            self.attempt.given_back_seconds += int((ended_at - began_at).total_seconds())
        return True

    def can_pause(self, now: datetime) -> bool:
        return super().can_pause(now) and not self.is_practising

    def pause(self, session: Session, now: datetime) -> None:
        if self.is_practising:
            raise Conflict("No time runs during practice, so there is nothing to pause")
        super().pause(session, now)

    def pause_left(self, now: datetime) -> timedelta:
        if self.paused_at and self.attempt and self.attempt.is_break:
            return timedelta(seconds=self.pause_limit_seconds) - self.pause_used_ms * _MILLISECOND
        return super().pause_left(now)

    def elapsed_seconds(self, now: datetime) -> int:
        """Return the seconds since the start, without practice and breaks."""
        seconds, attempt = super().elapsed_seconds(now), self.attempt
        if attempt is None:
            return seconds
        if self.is_practising and (began_at := self._practice_began_at):
            seconds -= int((now - began_at).total_seconds())
        return max(0, seconds - attempt.frozen_ms // 1000)

    def _used_pause_ms(self, length: timedelta) -> int:
        if self.attempt is None or not self.attempt.is_break:
            return super()._used_pause_ms(length)
        self.attempt.is_break = False
        self.attempt.frozen_ms += length // _MILLISECOND
        return 0

    @property
    def _practice_began_at(self) -> datetime | None:
        """When the clock stopped for the open practice: for the first part at the start."""
        attempt = self.attempt
        if attempt is None or attempt.part == 0:
            return self.started_at
        return attempt.part_opened_at

    def _stop_for_practice(self, session: Session, attempt: TestAttempt, now: datetime) -> None:
        """Stop the clock until the practice is finished. A repeated call changes nothing."""
        if attempt.practice_until or self.attempt_ends_at is None:
            return
        until = max(self.expires_at, now + MIN_UNTIMED_DURATION)
        attempt.practice_left_ms = (self.attempt_ends_at - now) // _MILLISECOND
        attempt.practice_until = until
        self._write_end(session, until)

    def _close_part(self, session: Session, attempt: TestAttempt, at: datetime) -> None:
        part = self.part
        if part.is_forward and attempt.item_number in part:
            self._close_item(attempt, attempt.item_number, at)
        attempt.record_closed_part(to_milliseconds(at))
        attempt.part_rest_ms = attempt.item_rest_ms = None
        began_at = self._practice_began_at
        if attempt.practice_until and began_at and self.attempt_ends_at:
            left = timedelta(milliseconds=attempt.practice_left_ms or 0)
            left += self.attempt_ends_at - attempt.practice_until  # extra time given meanwhile
            attempt.frozen_ms += (at - began_at) // _MILLISECOND
            attempt.practice_until = attempt.practice_left_ms = None
            self._write_end(session, at + left)
        attempt.part, attempt.part_opened_at, attempt.item_number = part.index + 1, None, 0
        if part.break_seconds:
            self._begin_break(session, attempt, timedelta(seconds=part.break_seconds), at)
        session.flush()

    def _begin_break(
        self, session: Session, attempt: TestAttempt, length: timedelta, at: datetime
    ) -> None:
        assert self.attempt_ends_at, "the attempt has been started"
        attempt.is_break = True
        self.write_state(
            session,
            self.status,
            self.progress,
            paused_at=at,
            pause_ends_at=at + length,
            attempt_ends_at=self.attempt_ends_at + length,
        )
        self.record_event(session, PAUSED, "candidate", at, BREAK_NOTE)

    def _open_item(self, attempt: TestAttempt, part: Part, number: int, now: datetime) -> None:
        attempt.item_number, attempt.item_rest_ms = number, None
        seconds = part.item(number).time_limit_seconds if number in part else None
        if seconds and self.attempt_ends_at:
            ends_at = now + timedelta(seconds=self.with_extra_time(seconds))
            attempt.item_rest_ms = rest_ms(self.attempt_ends_at, ends_at)

    def _close_item(self, attempt: TestAttempt, number: int, now: datetime) -> None:
        end = self.item_ends_at
        closed_at = min(now, end) if end else now
        attempt.record_closed_item(number, to_milliseconds(closed_at))
        attempt.item_rest_ms = None

    def _write_end(self, session: Session, attempt_ends_at: datetime) -> None:
        self.write_state(session, self.status, self.progress, attempt_ends_at=attempt_ends_at)


def _to_ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_milliseconds(moment)
