"""A simulation with a clock of its own: two dispatchers, a few hosts and orders, and failures.

All parts are real except the network and the threads: the outbox in a database, the dispatcher's
cycles, its pauses and concurrency limits. The caller chooses each event: a seed replays a history.
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
from provider.storage.secrets import SecretBox
from tests.factories import ManualClock, build_services

QUEUE_NAMES = tuple(
    str(QueueName(account, CALLBACK, host)) for account in (1, 2) for host in ("a", "b")
)
KEYS_PER_QUEUE = 3
# Possible ends of an attempt: whether it reaches the receiver, and the dispatcher's outcome.
SEND_OUTCOMES: dict[str, tuple[bool, Outcome]] = {
    "accepted": (True, Outcome("delivered", status_code=200)),
    "accepted, response lost": (True, Outcome("retry", failure_scope="destination")),
    "not reached": (False, Outcome("retry", failure_scope="destination")),
    "server error": (True, Outcome("retry", status_code=500, failure_scope="destination")),
    "unauthorized": (
        True,
        Outcome("retry", status_code=401, retry_after=timedelta(0), failure_scope="account"),
    ),
    "gone": (True, Outcome("rejected", status_code=410)),
    "too many requests": (
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
    """A prepared delivery; the simulation decides how its sending ends."""

    body: bytes

    def send(self) -> Outcome:
        raise AssertionError("the simulation sends nothing")


class SimulatedChannel(Channel):
    """Renders a random word, so that a second rendering would be noticed; can fail."""

    def __init__(self, secret_box: SecretBox) -> None:
        self.secret_box = secret_box
        self.is_failing = False

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> Sequence[PreparedDelivery | Exception]:
        """Render the messages that have no body yet."""
        return [self._prepare_claim(claim) for claim in claims]

    def _prepare_claim(self, claim: Claim) -> PreparedDelivery | Exception:
        stored_body = claim.get_body(self.secret_box)
        if stored_body is None and self.is_failing:
            return ValueError("the message cannot be rendered")
        status = claim.get_payload(self.secret_box)["status"]
        payload = {"status": status, "word": secrets.generate_public_id()}
        return SimulatedDelivery(stored_body or json.dumps(payload).encode())


class SimulatedDispatcher(Dispatcher):
    """A dispatcher whose sends stay in flight until the simulation completes them."""

    def __init__(self, services: Services, channel: SimulatedChannel) -> None:
        super().__init__(services, {CALLBACK: channel}, max_concurrent_sends=4)
        self.in_flight: list[Delivery] = []

    def _submit(self, delivery: Delivery) -> None:
        self.in_flight.append(delivery)

    def complete_send(self, index: int, outcome: Outcome) -> Delivery:
        delivery = self.in_flight.pop(index % len(self.in_flight))
        self._finish(delivery, outcome, self.services.now())
        return delivery


@dataclass
class SimulatedWorld:
    """The state of the simulation, and what its receivers saw."""

    services: Services
    clock: ManualClock
    channel: SimulatedChannel = field(init=False)
    dispatchers: list[SimulatedDispatcher] = field(default_factory=list)
    sequences: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    sent_bodies: dict[str, bytes] = field(default_factory=dict)  # by public id of the message
    first_sequences: dict[tuple[str, str], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    accepted_ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.channel = SimulatedChannel(self.services.secret_box)

    @classmethod
    def create(cls, settings: Settings) -> "SimulatedWorld":
        """Create a simulation on a new database, without fsync on SQLite."""
        clock = ManualClock()
        services = build_services(settings, clock)
        if services.db.is_sqlite:
            event.listen(services.db.engine, "connect", _disable_fsync)
        schema_version.upgrade(services.db)
        world = cls(services, clock)
        world.dispatchers = [SimulatedDispatcher(services, world.channel) for _ in range(2)]
        return world

    def reset(self) -> "SimulatedWorld":
        """Return a new simulation on the same database, emptied."""
        with self.services.db.writing() as session:
            for table in (Attempt, Message, Pause):
                session.execute(delete(table))
        world = SimulatedWorld(self.services, self.clock)
        world.dispatchers = [SimulatedDispatcher(self.services, world.channel) for _ in range(2)]
        return world

    # Events

    def append(self, queue_index: int, key_index: int, status: str) -> None:
        """Give an order a new status."""
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
        """Run a cycle with all due queues; with `is_failing` nothing can be rendered."""
        self.channel.is_failing = is_failing
        with self.services.db.reading() as session:
            due = outbox.list_due_queues(session, self.services.now())
        dispatcher = self.dispatchers[dispatcher_index % len(self.dispatchers)]
        dispatcher.wake(due)
        dispatcher.run_once()
        self.channel.is_failing = False

    def complete_send(self, dispatcher_index: int, index: int, outcome_name: str) -> None:
        """Complete one send, if the dispatcher has one in flight."""
        dispatcher = self.dispatchers[dispatcher_index % len(self.dispatchers)]
        if dispatcher.in_flight:
            received, outcome = SEND_OUTCOMES[outcome_name]
            delivery = dispatcher.complete_send(index, outcome)
            if received:
                self._receive(
                    delivery,
                    is_accepted=outcome.decision == "delivered"
                    or outcome_name == "accepted, response lost",
                )

    def crash_dispatcher(self, dispatcher_index: int, received_count: int) -> None:
        """Replace a dispatcher; `received_count` of its sends had reached their receiver."""
        number = dispatcher_index % len(self.dispatchers)
        for delivery in self.dispatchers[number].in_flight[: received_count % 4]:
            self._receive(delivery, is_accepted=True)
        self.dispatchers[number] = SimulatedDispatcher(self.services, self.channel)

    def requeue(self, message_index: int) -> None:
        """Requeue a parked message, as staff do."""
        with self.services.db.writing() as session:
            parked = session.scalars(select(Message).where(Message.state == PARKED)).all()
            if parked:
                outbox.requeue(session, parked[message_index % len(parked)], self.services.now())

    def replace_token(self, account: int) -> None:
        """Resume the callbacks of an account, as a new callback token does."""
        with self.services.db.writing() as session:
            outbox.resume(session, f"account/{1 + account % 2}/{CALLBACK}")

    def advance_clock(self, duration: timedelta) -> None:
        self.clock.advance(duration)

    # Invariants

    def _receive(self, delivery: Delivery, *, is_accepted: bool) -> None:
        claim, body = delivery.claim, delivery.prepared.body
        assert body is not None
        first_body = self.sent_bodies.setdefault(claim.public_id, body)
        assert first_body == body, f"{claim.ordering_key} {claim.sequence} was rendered twice"
        received = self.first_sequences[claim.queue, claim.ordering_key]
        if claim.sequence not in received:
            assert not received or received[-1] < claim.sequence or self._may_arrive_late(claim), (
                f"{claim.ordering_key}: {claim.sequence} was first sent after {received}"
            )
            skipped = set(range(1, claim.sequence)) - set(received)
            assert skipped <= self._skipped_sequences(claim), (
                f"{claim.ordering_key}: {skipped} were not sent yet"
            )
            received.append(claim.sequence)
        if is_accepted:
            self.accepted_ids.add(claim.public_id)

    def _may_arrive_late(self, claim: Claim) -> bool:
        """Return True unless a later message was accepted: staff may have requeued a parked one."""
        with self.services.db.reading() as session:
            later = select(Message.public_id).where(
                Message.queue == claim.queue,
                Message.ordering_key == claim.ordering_key,
                Message.sequence > claim.sequence,
            )
            return not self.accepted_ids & set(session.scalars(later))

    def _skipped_sequences(self, claim: Claim) -> set[int]:
        with self.services.db.reading() as session:
            query = select(Message.sequence).where(
                Message.queue == claim.queue,
                Message.ordering_key == claim.ordering_key,
                Message.state.in_((PARKED, SUPERSEDED)),
            )
            return set(session.scalars(query))

    def settle_all(self) -> None:
        """Let all sends succeed from now on, and check that every message is delivered."""
        for _ in range(200):
            self.advance_clock(timedelta(hours=30))
            for number, dispatcher in enumerate(self.dispatchers):
                self.run_dispatcher(number)
                while dispatcher.in_flight:
                    self.complete_send(number, 0, "accepted")
                dispatcher.run_once()
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
                        f"{message.ordering_key} was never accepted"
                    )
                attempts = session.scalars(
                    select(Attempt.number).where(Attempt.message_id == message.id)
                ).all()
                numbers = sorted(attempts)
                assert numbers == list(range(1, message.attempts + 1)), (
                    f"{message.ordering_key}: {message.attempts} attempts, stored {numbers}"
                )
            newest: dict[tuple[str, str], Message] = {}
            for message in messages:
                newest_known = newest.get((message.queue, message.ordering_key))
                if newest_known is None or newest_known.sequence < message.sequence:
                    newest[message.queue, message.ordering_key] = message
            assert all(message.state in ("delivered", PARKED) for message in newest.values())


def sqlite_settings(folder: Path) -> Settings:
    """Return settings for a simulation on SQLite."""
    return config.load_settings(
        {"PROVIDER_INSTANCE": str(folder), "PROVIDER_PRIVATE_CALLBACKS": "allow"}
    )


def _disable_fsync(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF").close()
