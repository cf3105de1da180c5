"""The values of an order's state: its status, its progress, and whom it waits for.

An ATS learns the status. Each kind declares its progress values, and whom an order waits for at
each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PENDING, CONSENTED, COMPLETED = "pending", "consented", "completed"
DECLINED, EXPIRED, CANCELLED = "declined", "expired", "cancelled"
STATUSES = (PENDING, CONSENTED, COMPLETED, DECLINED, EXPIRED, CANCELLED)
FINAL_STATUSES = frozenset({COMPLETED, DECLINED, EXPIRED, CANCELLED})
OPEN_STATUSES = frozenset({PENDING, CONSENTED})

# The previous statuses that each status may follow. Only `reopen` changes a final status.
ALLOWED_PREVIOUS_STATUSES = {
    PENDING: FINAL_STATUSES,
    CONSENTED: {PENDING},
    COMPLETED: {PENDING, CONSENTED},
    DECLINED: {PENDING},
    EXPIRED: {PENDING},
    CANCELLED: {PENDING, CONSENTED},
}

INVITED, OPENED, STARTED, MARKING, SUBMITTED, ASKED, OUTSIDE = PROGRESS_STATES = (
    "invited",
    "opened",
    "started",
    "marking",
    "submitted",
    "asked",
    "outside",
)
NOT_STARTED = (INVITED, OPENED)

# In the order of precedence. An order waits for the clock when only a deadline changes it.
CANDIDATE, STAFF, VENDOR, CLOCK, NOBODY = WAITING_FOR = (
    "candidate",
    "staff",
    "vendor",
    "clock",
    "nobody",
)


@dataclass(frozen=True)
class ProgressState:
    """One progress value: whom an open order waits for, and the values that may follow."""

    waits_for: frozenset[str]
    next_values: frozenset[str] = frozenset()

    @property
    def first_waited_for(self) -> str:
        """The first, by precedence, of those that the order waits for."""
        return next((value for value in WAITING_FOR if value in self.waits_for), NOBODY)


# The progress values of a kind. Orders begin with the first one, and return to it when reopened.
ProgressTable = Mapping[str, ProgressState]


def progress_state(waits_for: str, *next_values: str) -> ProgressState:
    """Return a row of a ProgressTable. `waits_for` has one value, or several with spaces."""
    return ProgressState(frozenset(waits_for.split()), frozenset(next_values))


def waiting_for(
    table: ProgressTable, status: str, progress: str, *, has_request: bool = False
) -> str:
    """Return whom an order of a kind waits for; nobody, once its status is final.

    `has_request`: the candidate has asked for an accommodation, and the staff have not decided.
    """
    if status in FINAL_STATUSES:
        return NOBODY
    if has_request and progress in NOT_STARTED:
        return STAFF
    return table[progress].first_waited_for
