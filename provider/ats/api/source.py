"""Sources: lists of an ATS that are read again and again. A source does no I/O.

A source maps a state to a request, and an answer to records and the next state. The state is JSON,
so that a round goes on after a crash where it was.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from provider.ats.api.connection import Connection
from provider.ats.api.http import ApiRequest, ApiResponse
from provider.core.connections import Record

PageState = dict[str, Any]
# The key of a record's reply context that has the candidate's id: writers need it.
CANDIDATE_KEY = "candidate"


@dataclass(frozen=True)
class Window:
    """The time of the changes that a round reads: `start` belongs to it, `end` does not."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Page:
    """The records of one answer, and the state of the next page; None after the last page.

    `problems` has a sentence for each entry that could not be read.
    """

    records: Sequence[Record]
    next_state: PageState | None
    problems: Sequence[str] = ()


class Source(ABC):
    """One list of an ATS.

    With `is_full` a round reads every record that can match: after the first such round a rule
    knows which records are older. Without it a round reads what changed within its window.
    """

    name: ClassVar[str]
    is_full: ClassVar[bool] = False

    @abstractmethod
    def interval(self, connection: Connection) -> timedelta:
        """Return the time from the start of a round to the start of the next."""

    @abstractmethod
    def first_state(
        self, connection: Connection, conditions: Sequence[Mapping[str, str]]
    ) -> PageState | None:
        """Return the state of the first page; None where the rules' conditions need no page."""

    @abstractmethod
    def request(self, connection: Connection, window: Window, state: PageState) -> ApiRequest:
        """Return the request of a page."""

    @abstractmethod
    def read(
        self, connection: Connection, window: Window, state: PageState, response: ApiResponse
    ) -> Page:
        """Return the page.

        UnreadableAnswer if the answer has another form. SourceStopped if the same request again is
        useless.
        """
