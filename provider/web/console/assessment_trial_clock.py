"""The time of a trial: the limits of the test, its parts and its questions run as for a candidate.

The moments are in the session cookie of the author, because a trial stores nothing.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import session

from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.parts import Part, split_parts

SESSION_KEY = "trial"


class TrialClock:
    """The clock of one author's trial of one product. It begins with the first question."""

    def __init__(self, product_id: str, test: TestContent, now: datetime) -> None:
        self.test, self.now, self.parts = test, now, split_parts(test)
        self._state: dict[str, Any] = session.get(SESSION_KEY) or {}
        if self._state.get("product") != product_id:
            self._state = {"product": product_id, "parts": {}}

    @staticmethod
    def forget() -> None:
        """Let the next question begin a new trial."""
        session.pop(SESSION_KEY, None)

    def part_of(self, number: int) -> Part:
        return next(part for part in self.parts if number in part)

    def open(self, number: int) -> None:
        """Begin the time of a question, of its part, and of the test, unless it runs already."""
        part, now = self.part_of(number), self.now.timestamp()
        if not part.is_practice:
            self._state.setdefault("started", now)
        self._state["parts"].setdefault(str(part.index), now)
        if self._state.get("number") != number:
            self._state |= {"number": number, "opened": now}
        session[SESSION_KEY] = self._state

    def ends_at(self, number: int) -> datetime | None:
        """Return when the time for a question is over; None without any limit."""
        return min((end for end, _ in self._ends(number)), default=None)

    def is_over(self, number: int) -> bool:
        end = self.ends_at(number)
        return end is not None and end <= self.now

    def next_number(self, number: int) -> int | None:
        """Return the question after the limit that is over; None where the test is over."""
        following = [after for end, after in self._ends(number) if end <= self.now]
        after = max(following, default=number)
        return after if after <= self.parts[-1].last else None

    def _ends(self, number: int) -> list[tuple[datetime, int]]:
        """Return the end of each limit, and the number of the question that follows then."""
        part, state = self.part_of(number), self._state
        ends = []
        if self.test.time_limit and not part.is_practice and "started" in state:
            after_test = self.parts[-1].last + 1
            ends.append((_end(state["started"], self.test.time_limit * 60), after_test))
        if part.time_limit_seconds and str(part.index) in state["parts"]:
            opened = state["parts"][str(part.index)]
            ends.append((_end(opened, part.time_limit_seconds), part.last + 1))
        seconds = part.item(number).time_limit_seconds
        if part.is_forward and seconds and state.get("number") == number:
            ends.append((_end(state["opened"], seconds), number + 1))
        return ends


def _end(moment: float, seconds: int) -> datetime:
    return datetime.fromtimestamp(moment, UTC) + timedelta(seconds=seconds)
