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

from provider import config, outbox, schema, vault
from provider.config import Settings
from provider.courier.courier import Courier, Job
from provider.courier.parcel import Parcel, Sink
from provider.house import House
from provider.outbox import (
    CALLBACK,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Claim,
    Hold,
    Lane,
    Message,
    Outcome,
)
from tests.cast import HandClock

LANES = tuple(str(Lane(account, CALLBACK, host)) for account in (1, 2) for host in ("a", "b"))
KEYS = 3  # orders of a lane
# What may come of a try: does it reach the receiver, and what does the courier learn?
LANDINGS: dict[str, tuple[bool, Outcome]] = {
    "taken": (True, Outcome("done", code=200)),
    "taken, answer lost": (True, Outcome("again", blame="route")),
    "unreached": (False, Outcome("again", blame="route")),
    "failed": (True, Outcome("again", code=500, blame="route")),
    "refused": (True, Outcome("again", code=401, after=timedelta(0), blame="account")),
    "gone": (True, Outcome("never", code=410)),
    "too many": (
        True,
        Outcome("again", code=429, after=timedelta(seconds=30), rest=timedelta(seconds=30)),
    ),
}


@dataclass(frozen=True)
class Note:
    """A parcel whose sending the world decides."""

    rendered: bytes

    def send(self) -> Outcome:
        """Nobody calls this: there are no threads here."""
        raise AssertionError


class Desk(Sink):
    """Renders with a random word, so that a second rendering would be seen; now and then fails."""

    fails = False

    def prepare(self, session: Session, claims: Sequence[Claim]) -> Sequence[Parcel | Exception]:
        """Render what has no bytes yet."""
        return [self._one(claim) for claim in claims]

    def _one(self, claim: Claim) -> Parcel | Exception:
        if claim.rendered is None and self.fails:
            return ValueError("it cannot be written")
        said = {"status": claim.payload["status"], "word": vault.public_id()}
        return Note(claim.rendered or json.dumps(said).encode())


class Puppet(Courier):
    """A courier whose sends are in the air until the world lets them land."""

    def __init__(self, house: House, desk: Desk) -> None:
        super().__init__(house, {CALLBACK: desk}, hands=4)
        self.air: list[Job] = []

    def _hand_over(self, job: Job) -> None:
        self.air.append(job)

    def land(self, index: int, outcome: Outcome) -> Job:
        """End one try."""
        job = self.air.pop(index % len(self.air))
        self._lay_down(job, outcome, self.house.now())
        return job


@dataclass
class World:
    """The state of everything, and what the receivers saw."""

    house: House
    clock: HandClock
    desk: Desk = field(default_factory=Desk)
    couriers: list[Puppet] = field(default_factory=list)
    sequences: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    seen: dict[str, bytes] = field(default_factory=dict)  # by message: its bytes
    firsts: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    taken: set[str] = field(default_factory=set)

    @classmethod
    def make(cls, settings: Settings) -> "World":
        """Make a world on a database of its own, which need not outlive this machine."""
        clock = HandClock()
        house = House.build(settings, clock)
        if house.db.sqlite:
            event.listen(house.db.engine, "connect", _hasty)
        schema.upgrade(house.db)
        world = cls(house, clock)
        world.couriers = [Puppet(house, world.desk) for _ in range(2)]
        return world

    def again(self) -> "World":
        """Return a new world on the same database, emptied."""
        with self.house.db.writing() as session:
            for table in (Attempt, Message, Hold):
                session.execute(delete(table))
        world = World(self.house, self.clock)
        world.couriers = [Puppet(self.house, world.desk) for _ in range(2)]
        return world

    # What can happen

    def append(self, lane: int, key: int, status: str) -> None:
        """An order gets a new status."""
        name, order = LANES[lane % len(LANES)], f"{lane % len(LANES)}-{key % KEYS}"
        self.sequences[name, order] += 1
        with self.house.db.writing() as session:
            outbox.append(
                session, lane=name, key=order, sequence=self.sequences[name, order],
                topic="status", payload={"status": status}, absolute=True, at=self.house.now(),
            )  # fmt: skip

    def turn(self, courier: int, *, fails: bool = False) -> None:
        """A courier sweeps and takes a turn; with `fails` nothing new can be rendered."""
        self.desk.fails = fails
        with self.house.db.reading() as session:
            due = outbox.due_lanes(session, self.house.now())
        puppet = self.couriers[courier % len(self.couriers)]
        puppet.call(due)
        puppet.turn()
        self.desk.fails = False

    def land(self, courier: int, index: int, how: str) -> None:
        """One try ends, if one is in the air."""
        puppet = self.couriers[courier % len(self.couriers)]
        if puppet.air:
            received, outcome = LANDINGS[how]
            job = puppet.land(index, outcome)
            if received:
                self._receive(job, took=outcome.word == "done" or how == "taken, answer lost")

    def crash(self, courier: int, reached: int) -> None:
        """A courier dies; so many of its tries had reached their receiver."""
        number = courier % len(self.couriers)
        for job in self.couriers[number].air[: reached % 4]:
            self._receive(job, took=True)
        self.couriers[number] = Puppet(self.house, self.desk)

    def send_again(self, which: int) -> None:
        """Staff send something parked again."""
        with self.house.db.writing() as session:
            parked = session.scalars(select(Message).where(Message.state == PARKED)).all()
            if parked:
                outbox.send_again(session, parked[which % len(parked)], self.house.now())

    def new_token(self, account: int) -> None:
        """An account gets a new callback token."""
        with self.house.db.writing() as session:
            outbox.lift(session, f"account/{1 + account % 2}/{CALLBACK}")

    def pass_(self, wait: timedelta) -> None:
        """Time passes."""
        self.clock.pass_(wait)

    # What must hold

    def _receive(self, job: Job, *, took: bool) -> None:
        claim, body = job.claim, job.parcel.rendered
        assert body is not None
        known = self.seen.setdefault(claim.public_id, body)
        assert known == body, f"{claim.key} {claim.sequence} was rendered twice"
        firsts = self.firsts[claim.lane, claim.key]
        if claim.sequence not in firsts:
            assert not firsts or firsts[-1] < claim.sequence or self._may_come_late(claim), (
                f"{claim.key}: {claim.sequence} came first after {firsts}"
            )
            skipped = set(range(1, claim.sequence)) - set(firsts)
            assert skipped <= self._set_aside(claim), f"{claim.key}: {skipped} did not come yet"
            firsts.append(claim.sequence)
        if took:
            self.taken.add(claim.public_id)

    def _may_come_late(self, claim: Claim) -> bool:
        """Say whether no later one was taken: staff may have sent a parked one again."""
        with self.house.db.reading() as session:
            later = select(Message.public_id).where(
                Message.lane == claim.lane, Message.key == claim.key,
                Message.sequence > claim.sequence,
            )  # fmt: skip
            return not self.taken & set(session.scalars(later))

    def _set_aside(self, claim: Claim) -> set[int]:
        with self.house.db.reading() as session:
            aside = select(Message.sequence).where(
                Message.lane == claim.lane, Message.key == claim.key,
                Message.state.in_((PARKED, SUPERSEDED)),
            )  # fmt: skip
            return set(session.scalars(aside))

    def settle(self) -> None:
        """Let everything be well from now on, and see that all arrives."""
        for _ in range(200):
            self.pass_(timedelta(hours=30))
            for number, puppet in enumerate(self.couriers):
                self.turn(number)
                while puppet.air:
                    self.land(number, 0, "taken")
                puppet.turn()
            with self.house.db.reading() as session:
                if not session.scalar(select(Message.id).where(Message.state == WAITING).limit(1)):
                    break
        self._judge()

    def _judge(self) -> None:
        with self.house.db.reading() as session:
            messages = session.scalars(select(Message)).all()
            for message in messages:
                assert message.state != WAITING, f"{message.key} {message.sequence} is stranded"
                if message.state == "delivered":
                    assert message.public_id in self.taken, f"{message.key} was never taken"
                tries = session.scalars(
                    select(Attempt.number).where(Attempt.message_id == message.id)
                ).all()
                assert sorted(tries) == list(range(1, message.attempts + 1)), (
                    f"{message.key}: {message.attempts} tries, kept {sorted(tries)}"
                )
            newest: dict[tuple[str, str], Message] = {}
            for message in messages:
                known = newest.get((message.lane, message.key))
                if known is None or known.sequence < message.sequence:
                    newest[message.lane, message.key] = message
            assert all(one.state in ("delivered", PARKED) for one in newest.values())


def alone(folder: Path) -> Settings:
    """Return the settings of a world on SQLite in a folder."""
    return config.read({"PROVIDER_INSTANCE": str(folder), "PROVIDER_PRIVATE_CALLBACKS": "allow"})


def _hasty(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF").close()
