"""The callbacks of one check as an ATS receives them by HTTP, decoded and compared with a model.

The model has what the acts must have published: a status and its outcomes for each revision.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from provider import outbox
from provider.core.kinds.check import Check
from provider.core.orders import COMPLETED, CONSENTED, FINAL_STATUSES, PENDING
from provider.delivery import Dispatcher
from provider.outbox import CALLBACK
from provider.services import Services
from tests import factories
from tests.fake_ats import FakeAts, ReceivedRequest

WIRE_STATUSES = {"declined": "rejected", "cancelled": "expired"}  # our status → Workable's
RANKS = {PENDING: 0, CONSENTED: 1} | {
    WIRE_STATUSES.get(status, status): 2 for status in FINAL_STATUSES
}
FAILURE_CODE = 503  # of an answer after which a callback is sent again


@dataclass(frozen=True)
class Publication:
    """A status on the wire, with the names and outcomes of the screenings of a completed check."""

    status: str
    outcomes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_body(cls, document: dict[str, Any]) -> "Publication":
        """Decode a callback as an ATS does. The overall status must fit the outcomes."""
        result = document.get("check")
        if result is None:
            return cls(document["status"])
        outcomes = [(entry["name"], entry["status"]) for entry in result["result"]]
        is_clear = all(status == "clear" for _, status in outcomes)
        assert result["overall_status"] == ("clear" if is_clear else "consider")
        return cls(document["status"], tuple(outcomes))


@dataclass
class Wire:
    """The callbacks of a check. `published` is the model, by revision."""

    services: Services
    ats: FakeAts
    order_id: str
    published: dict[int, Publication] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(self.services)

    def close(self) -> None:
        self.dispatcher.stop()

    @property
    def revision(self) -> int:
        return len(self.published)

    @property
    def status(self) -> str:
        return self.published[self.revision].status if self.published else PENDING

    def publish(self, status: str, outcomes: Iterable[tuple[str, str]] = ()) -> None:
        """Note in the model that an act has published a status."""
        status = WIRE_STATUSES.get(status, status)
        self.published[self.revision + 1] = Publication(status, tuple(outcomes))

    def fail_next(self) -> None:
        """Let the ATS fail once: the callback is sent again, or a later one supersedes it."""
        self.ats.responses.append(FAILURE_CODE)

    def deliver(self) -> None:
        for queue in factories.queue_names(self.services, channel=CALLBACK):
            self.dispatcher.drain(queue)

    def require_consistent(self) -> None:
        """Compare what the ATS has received with the model and with the database."""
        received = [(_sequence(request), request) for request in self.ats.received]
        for (earlier, first), (later, second) in pairwise(received):
            assert earlier <= later, "an older callback never follows a newer one"
            assert earlier != later or first == second, "every attempt sends the same"
        for sequence, request in received:
            assert sequence in self.published, "no act has published this revision"
            assert Publication.from_body(request.json) == self.published[sequence]
        statuses = [(sequence, request.json["status"]) for sequence, request in received]
        for (earlier, before), (later, after) in pairwise([(0, PENDING), *statuses]):
            between = [self.published[number].status for number in range(earlier + 1, later + 1)]
            is_corrected = bool(between) and before == after == COMPLETED
            is_forward = RANKS[after] > RANKS[before]
            assert earlier == later or PENDING in between or is_corrected or is_forward
        self._require_state(received)

    def _require_state(self, received: list[tuple[int, ReceivedRequest]]) -> None:
        """Require that the last callback, unless it waits for a retry, says what is stored."""
        with self.services.db.reading() as session:
            check = Check.find(session, self.order_id)
            assert check.revision == self.revision
            assert WIRE_STATUSES.get(check.status, check.status) == self.status
            is_completed = check.status == COMPLETED
            stored = tuple(check.finding_statuses()) if is_completed else ()
            waiting = [
                row
                for row in outbox.history(session, self.order_id)
                if row.state != outbox.DELIVERED and row.topic == "status"
            ]
            assert all(row.state in (outbox.WAITING, outbox.SUPERSEDED) for row in waiting)
            is_waiting = any(row.state == outbox.WAITING for row in waiting)
        if self.published:
            assert stored == self.published[self.revision].outcomes
        if self.published and not is_waiting:
            assert received, "nothing waits, so that the ATS has got the newest status"
            assert received[-1][0] == self.revision


def _sequence(request: ReceivedRequest) -> int:
    return int(request.headers["X-Provider-Sequence"])
