"""A small world with a clock of its own: two couriers, some hosts, orders, and what goes wrong.

Everything is real but the network and the threads: the outbox in a database, the courier's turns,
its holds and hands. What happens next is chosen by the caller, so that a seed replays a history.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, event, select
from sqlalchemy.orm import Session

from provider import config, outbox
from provider.config import Settings
from provider.delivery.channels.base import Channel, PreparedDelivery
from provider.delivery.dispatcher import Delivery, Dispatcher
from provider.maintenance import schema_version
from provider.outbox import (
    CALLBACK,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Claim,
    Message,
    Outcome,
    Pause,
    QueueName,
)
from provider.services import Services
from provider.storage import secrets
from tests.factories import ManualClock

QUEUE_NAMES = tuple(
    str(QueueName(account, CALLBACK, host)) for account in (1, 2) for host in ("a", "b")
)
KEYS_PER_QUEUE = 3  # orders of a lane
# What may come of a try: does it reach the receiver, and what does the courier learn?
SEND_OUTCOMES: dict[str, tuple[bool, Outcome]] = {
    "taken": (True, Outcome("delivered", status_code=200)),
    "taken, answer lost": (True, Outcome("retry", failure_scope="destination")),
    "unreached": (False, Outcome("retry", failure_scope="destination")),
    "failed": (True, Outcome("retry", status_code=500, failure_scope="destination")),
    "refused": (
        True,
        Outcome("retry", status_code=401, retry_after=timedelta(0), failure_scope="account"),
    ),
    "gone": (True, Outcome("rejected", status_code=410)),
    "too many": (
        True,
        Outcome(
            "retry",
            status_code=429,
            retry_after=timedelta(seconds=30),
            pause_duration=timedelta(seconds=30),
        ),
    ),
}


@dataclass(frozen=True)
class SimulatedDelivery:
    """A parcel whose sending the world decides."""

    body: bytes

    def send(self) -> Outcome:
        """Nobody calls this: there are no threads here."""
        raise AssertionError


class SimulatedChannel(Channel):
    """Renders with a random word, so that a second rendering would be seen; now and then fails."""

    is_failing = False

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> Sequence[PreparedDelivery | Exception]:
        """Render what has no bytes yet."""
        return [self._prepare_one(claim) for claim in claims]

    def _prepare_one(self, claim: Claim) -> PreparedDelivery | Exception:
        if claim.body is None and self.is_failing:
            return ValueError("it cannot be written")
        said = {"status": claim.payload["status"], "word": secrets.generate_public_id()}
        return SimulatedDelivery(claim.body or json.dumps(said).encode())


class SimulatedDispatcher(Dispatcher):
    """A courier whose sends are in the air until the world lets them land."""

    def __init__(self, services: Services, channel: SimulatedChannel) -> None:
        super().__init__(services, {CALLBACK: channel}, max_concurrent_sends=4)
        self.in_flight: list[Delivery] = []

    def _submit(self, delivery: Delivery) -> None:
        self.in_flight.append(delivery)

    def complete_send(self, index: int, outcome: Outcome) -> Delivery:
        """End one try."""
        job = self.in_flight.pop(index % len(self.in_flight))
        self._finish(job, outcome, self.services.now())
        return job


@dataclass
class SimulatedWorld:
    """The state of everything, and what the receivers saw."""

    services: Services
    clock: ManualClock
    channel: SimulatedChannel = field(default_factory=SimulatedChannel)
    dispatchers: list[SimulatedDispatcher] = field(default_factory=list)
    sequences: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    sent_bodies: dict[str, bytes] = field(default_factory=dict)  # by message: its bytes
    first_sequences: dict[tuple[str, str], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    accepted_ids: set[str] = field(default_factory=set)

    @classmethod
    def create(cls, settings: Settings) -> "SimulatedWorld":
        """Make a world on a database of its own, which need not outlive this machine."""
        clock = ManualClock()
        services = Services.build(settings, clock)
        if services.db.is_sqlite:
            event.listen(services.db.engine, "connect", _disable_fsync)
        schema_version.upgrade(services.db)
        world = cls(services, clock)
        world.dispatchers = [SimulatedDispatcher(services, world.channel) for _ in range(2)]
        return world

    def reset(self) -> "SimulatedWorld":
        """Return a new world on the same database, emptied."""
        with self.services.db.writing() as session:
            for table in (Attempt, Message, Pause):
                session.execute(delete(table))
        world = SimulatedWorld(self.services, self.clock)
        world.dispatchers = [SimulatedDispatcher(self.services, world.channel) for _ in range(2)]
        return world

    # What can happen

    def append(self, queue_index: int, key_index: int, status: str) -> None:
        """An order gets a new status."""
        name, order = (
            QUEUE_NAMES[queue_index % len(QUEUE_NAMES)],
            f"{queue_index % len(QUEUE_NAMES)}-{key_index % KEYS_PER_QUEUE}",
        )
        self.sequences[name, order] += 1
        with self.services.db.writing() as session:
            outbox.append(
                session,
                queue=name,
                ordering_key=order,
                sequence=self.sequences[name, order],
                topic="status",
                payload={"status": status},
                supersedes_earlier=True,
                now=self.services.now(),
            )

    def run_dispatcher(self, dispatcher_index: int, *, is_failing: bool = False) -> None:
        """A courier sweeps and takes a turn; with `fails` nothing new can be rendered."""
        self.channel.is_failing = is_failing
        with self.services.db.reading() as session:
            due = outbox.list_due_queues(session, self.services.now())
        puppet = self.dispatchers[dispatcher_index % len(self.dispatchers)]
        puppet.wake(due)
        puppet.run_once()
        self.channel.is_failing = False

    def complete_send(self, dispatcher_index: int, index: int, outcome_name: str) -> None:
        """One try ends, if one is in the air."""
        puppet = self.dispatchers[dispatcher_index % len(self.dispatchers)]
        if puppet.in_flight:
            received, outcome = SEND_OUTCOMES[outcome_name]
            job = puppet.complete_send(index, outcome)
            if received:
                self._receive(
                    job,
                    is_accepted=outcome.decision == "delivered"
                    or outcome_name == "taken, answer lost",
                )

    def crash_dispatcher(self, dispatcher_index: int, received_count: int) -> None:
        """A courier dies; so many of its tries had reached their receiver."""
        number = dispatcher_index % len(self.dispatchers)
        for job in self.dispatchers[number].in_flight[: received_count % 4]:
            self._receive(job, is_accepted=True)
        self.dispatchers[number] = SimulatedDispatcher(self.services, self.channel)

    def requeue(self, message_index: int) -> None:
        """Staff send something parked again."""
        with self.services.db.writing() as session:
            parked = session.scalars(select(Message).where(Message.state == PARKED)).all()
            if parked:
                outbox.requeue(session, parked[message_index % len(parked)], self.services.now())

    def replace_token(self, account: int) -> None:
        """An account gets a new callback token."""
        with self.services.db.writing() as session:
            outbox.resume(session, f"account/{1 + account % 2}/{CALLBACK}")

    def advance_clock(self, duration: timedelta) -> None:
        """Time passes."""
        self.clock.advance(duration)

    # What must hold

    def _receive(self, delivery: Delivery, *, is_accepted: bool) -> None:
        claim, body = delivery.claim, delivery.prepared.body
        assert body is not None
        known = self.sent_bodies.setdefault(claim.public_id, body)
        assert known == body, f"{claim.ordering_key} {claim.sequence} was rendered twice"
        firsts = self.first_sequences[claim.queue, claim.ordering_key]
        if claim.sequence not in firsts:
            assert not firsts or firsts[-1] < claim.sequence or self._may_arrive_late(claim), (
                f"{claim.ordering_key}: {claim.sequence} came first after {firsts}"
            )
            skipped = set(range(1, claim.sequence)) - set(firsts)
            assert skipped <= self._skipped_sequences(claim), (
                f"{claim.ordering_key}: {skipped} did not come yet"
            )
            firsts.append(claim.sequence)
        if is_accepted:
            self.accepted_ids.add(claim.public_id)

    def _may_arrive_late(self, claim: Claim) -> bool:
        """Say whether no later one was taken: staff may have sent a parked one again."""
        with self.services.db.reading() as session:
            later = select(Message.public_id).where(
                Message.queue == claim.queue,
                Message.ordering_key == claim.ordering_key,
                Message.sequence > claim.sequence,
            )
            return not self.accepted_ids & set(session.scalars(later))

    def _skipped_sequences(self, claim: Claim) -> set[int]:
        with self.services.db.reading() as session:
            aside = select(Message.sequence).where(
                Message.queue == claim.queue,
                Message.ordering_key == claim.ordering_key,
                Message.state.in_((PARKED, SUPERSEDED)),
            )
            return set(session.scalars(aside))

    def settle_all(self) -> None:
        """Let everything be well from now on, and see that all arrives."""
        for _ in range(200):
            self.advance_clock(timedelta(hours=30))
            for number, puppet in enumerate(self.dispatchers):
                self.run_dispatcher(number)
                while puppet.in_flight:
                    self.complete_send(number, 0, "taken")
                puppet.run_once()
            with self.services.db.reading() as session:
                if not session.scalar(select(Message.id).where(Message.state == WAITING).limit(1)):
                    break
        self._check_invariants()

    def _check_invariants(self) -> None:
        with self.services.db.reading() as session:
            messages = session.scalars(select(Message)).all()
            for message in messages:
                assert message.state != WAITING, (
                    f"{message.ordering_key} {message.sequence} is stranded"
                )
                if message.state == "delivered":
                    assert message.public_id in self.accepted_ids, (
                        f"{message.ordering_key} was never taken"
                    )
                tries = session.scalars(
                    select(Attempt.number).where(Attempt.message_id == message.id)
                ).all()
                assert sorted(tries) == list(range(1, message.attempts + 1)), (
                    f"{message.ordering_key}: {message.attempts} tries, kept {sorted(tries)}"
                )
            newest: dict[tuple[str, str], Message] = {}
            for message in messages:
                known = newest.get((message.queue, message.ordering_key))
                if known is None or known.sequence < message.sequence:
                    newest[message.queue, message.ordering_key] = message
            assert all(one.state in ("delivered", PARKED) for one in newest.values())


def sqlite_settings(folder: Path) -> Settings:
    """Return the settings of a world on SQLite in a folder."""
    return config.load_settings(
        {"PROVIDER_INSTANCE": str(folder), "PROVIDER_PRIVATE_CALLBACKS": "allow"}
    )


def _disable_fsync(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF").close()
