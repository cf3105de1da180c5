"""Writers: what an adapter writes into the ATS at a change of status. A writer does no I/O.

`Writer.steps` is a generator: it yields requests and receives the answers. The channel sends them.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from provider.ats.api.connection import Connection
from provider.ats.api.http import ApiRequest, ApiResponse

# `Writer.writes` receives a status, or this word when a rule has placed an order.
PLACED = "placed"
Steps = Generator[ApiRequest, ApiResponse, str]


class WriteRejected(Exception):
    """The ATS will never take this message; the text is one sentence for the staff."""


@dataclass(frozen=True)
class WriteTask:
    """The input of a writer: `document` was rendered once, `target` is the order's reply context.

    `is_repeated` says that an earlier attempt may have been carried out although it looked failed:
    a step that is not idempotent first looks for its marker. `render_pdf` returns the report, or
    None when the order has been reopened since.
    """

    document: Mapping[str, Any]
    target: Mapping[str, Any]
    email: str  # the candidate's
    is_repeated: bool
    render_pdf: Callable[[], bytes | None]


@dataclass(frozen=True)
class OrderSummary:
    """An order at one revision, as writers render it.

    `is_correction` says that an earlier end of the order was written before.
    """

    public_id: str
    revision: int
    kind: str
    product: str
    status: str
    score: float | None
    grade: str | None
    outcome: str  # of a check: clear, consider … ; empty for other kinds
    report_url: str
    has_pdf: bool
    is_correction: bool

    @property
    def sentence(self) -> str:
        """The result in one line, with the report's address and the marker."""
        outcome = self.grade or self.outcome or self.status
        score = "" if self.score is None else f", {self.score:g} %"
        report = f" Report: {self.report_url}" if self.report_url else ""
        correction = "Correction: " if self.is_correction else ""
        return f"{correction}{self.product}: {outcome}{score}.{report}  {self.marker}"

    @property
    def marker(self) -> str:
        """The text by which an earlier attempt's note is found again."""
        return f"[order {self.public_id}, {self.revision}]"

    @property
    def filename(self) -> str:
        """The name of the report's file. A writer finds an earlier attempt's file by it."""
        stem = re.sub(r"[^\w-]+", "-", self.product).strip("-") or "Report"
        return f"{stem[:80]}-{self.public_id}-{self.revision}.pdf"


class Writer(ABC):
    """One thing to write, such as a tag or a note. Each writer has its own queue of messages."""

    name: ClassVar[str]  # snake_case; a part of the ordering key
    # The requests that `steps` usually yields; their budget is reserved together.
    request_count: ClassVar[int] = 1

    @abstractmethod
    def writes(self, status: str, settings: Mapping[str, Any]) -> bool:
        """Return whether the account's settings want this status written."""

    @abstractmethod
    def render(self, summary: OrderSummary, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what to write, as JSON; every attempt writes the same."""

    @abstractmethod
    def steps(self, task: WriteTask, connection: Connection) -> Steps:
        """Yield each request, receive its answer, and return a sentence about what was written.

        The answers are successes, and refusals of the request itself (4xx): the channel deals with
        credentials, budgets and failures. Raises WriteRejected.
        """
