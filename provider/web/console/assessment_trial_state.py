"""The state of a trial: the form that was drawn, the limits that run, and the break.

It is in the session cookie of the author, because a trial stores nothing. A seed stands for the
form: the same seed draws the same questions again.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from secrets import randbelow
from typing import Any

from flask import session

from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.form import apply_form, draw_form
from provider.core.kinds.assessment.parts import Part, split_parts

SESSION_KEY = "trial"
MAX_SEED = 2**32


class Trial:
    """One author's trial of one product. `test` has the questions as they were drawn.

    The clock begins with the first question.
    """

    def __init__(self, product_id: str, test: TestContent, now: datetime) -> None:
        self.now = now
        self._state: dict[str, Any] = session.get(SESSION_KEY) or {}
        if self._state.get("product") != product_id or "seed" not in self._state:
            self._state = _new_state(product_id, shows_all=False)
        self.shows_all = bool(self._state["shows_all"])
        self.test = test
        if not self.shows_all:
            self.test = apply_form(test, draw_form(test, Random(self._state["seed"])))  # noqa: S311
        self.parts = split_parts(self.test)

    @staticmethod
    def begin(product_id: str, *, shows_all: bool) -> None:
        """Begin a new trial: with every question as it was written, or as an attempt draws them."""
        session[SESSION_KEY] = _new_state(product_id, shows_all=shows_all)

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
        self._save()

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

    @property
    def break_left(self) -> timedelta:
        """What is left of the break; zero without one."""
        if "break" not in self._state:
            return timedelta(0)
        state = self._state["break"]
        return max(_end(state["began"], state["seconds"]) - self.now, timedelta(0))

    @property
    def number_after_break(self) -> int:
        """The question at which the trial goes on after the break; the first without one."""
        return int(self._state.get("break", {}).get("next", 1))

    def begin_break(self, number: int, following: int) -> bool:
        """Begin the break between two questions; return whether there is one."""
        part = self.part_of(number)
        if not part.break_seconds or following <= part.last:
            return False
        began = self.now.timestamp()
        self._state["break"] = {"began": began, "seconds": part.break_seconds, "next": following}
        self._save()
        return True

    def end_break(self) -> None:
        """Go on. The time of the test stood still during the break."""
        if "break" not in self._state:
            return
        length = self._state["break"]["seconds"] - self.break_left.total_seconds()
        del self._state["break"]
        if "started" in self._state:
            self._state["started"] += length
        self._save()

    def _save(self) -> None:
        session[SESSION_KEY] = self._state

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


def _new_state(product_id: str, *, shows_all: bool) -> dict[str, Any]:
    seed = randbelow(MAX_SEED)
    return {"product": product_id, "parts": {}, "seed": seed, "shows_all": shows_all}


def _end(moment: float, seconds: int) -> datetime:
    return datetime.fromtimestamp(moment, UTC) + timedelta(seconds=seconds)
