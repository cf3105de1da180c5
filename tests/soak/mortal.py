"""A courier that dies at a labelled step: only here, by wrapping what it is given.

act     a status is changed            before commit, after commit
claim   messages are leased            before commit, after commit
send    a request is made              before, after
done    a delivery is settled          before commit, after commit
again   a failed try is put off        before commit, after commit
"""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider import config, outbox
from provider.courier import Courier
from provider.courier.callback import CallbackSink
from provider.courier.letters import MailSink
from provider.courier.parcel import Parcel, Sink
from provider.db import Database
from provider.house import House
from provider.orders import Order
from provider.outbox import CALLBACK, MAIL, WAITING, Claim, Ended, Message, Outcome
from tests.cast import HandClock
from tests.soak.actor import STEPS as ACTS
from tests.soak.proof import quiet

# How often each step comes by at least, so that any of these times may be the last.
STEPS = {
    "act before commit": 9, "act after commit": 9,
    "claim before commit": 3, "claim after commit": 3,
    "send before": 9, "send after": 9,
    "done before commit": 3, "done after commit": 3,
    "again before commit": 2, "again after commit": 2,
}  # fmt: skip
SCRIPTS = (("decline", "reopen", "cancel"), ("consent", "conclude", "reopen"))
HANDS = 4
ROUNDS = 100  # of draining: more is a message that never arrives


@dataclass
class Death:
    """Kills its process when a step comes by for the n-th time; without a step it never does."""

    step: str = ""
    times: int = 1

    def near(self, step: str) -> None:
        """Die here, if it is time."""
        if step == self.step:
            self.times -= 1
            if self.times == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class MortalDatabase(Database):
    """A database whose process may die around a commit."""

    def __init__(self, url: str, death: Death) -> None:
        super().__init__(url)
        self._death = death

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Session]:
        """Open a transaction, and die before or after its commit if what it does is labelled."""
        with super().writing(alone=alone) as session:
            yield session
            labels = sorted(session.info.get("labels", ()))
            for label in labels:
                self._death.near(f"{label} before commit")
        for label in labels:
            self._death.near(f"{label} after commit")


@dataclass(frozen=True)
class MortalSink:
    """A sink whose process may die around a request."""

    sink: Sink
    death: Death

    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[Parcel | Exception]:
        """Render, and give the parcels their risk."""
        parcels = self.sink.prepare(session, claims)
        return [
            each if isinstance(each, Exception) else MortalParcel(each, self.death)
            for each in parcels
        ]

    def close(self) -> None:
        """Let go of what is kept open."""
        self.sink.close()


@dataclass(frozen=True)
class MortalParcel:
    """A parcel whose process may die before it is sent, or after it was answered."""

    parcel: Parcel
    death: Death

    @property
    def rendered(self) -> bytes | None:
        """The bytes that every try sends."""
        return self.parcel.rendered

    def send(self) -> Outcome:
        """Try once, at some risk."""
        self.death.near("send before")
        outcome = self.parcel.send()
        self.death.near("send after")
        return outcome


def live(environment: dict[str, str], orders: Sequence[str], at: datetime, death: Death) -> None:
    """Go on with the orders' lives from where they stand, and deliver until nothing waits."""
    quiet()
    _label_transactions()
    settings = config.read(environment)
    clock = HandClock(at)
    house = replace(House.build(settings, clock), db=MortalDatabase(settings.database_url, death))
    courier = Courier(
        house,
        {CALLBACK: MortalSink(CallbackSink(house), death), MAIL: MailSink(house)},
        hands=HANDS,
    )
    acknowledged = settings.instance / "acknowledged"
    for _ in SCRIPTS[0]:
        for number, order in enumerate(orders):
            _act(house, order, SCRIPTS[number % len(SCRIPTS)], acknowledged)
        _deliver(house, courier, clock)
    courier.stop()


def _act(house: House, order: str, script: tuple[str, ...], acknowledged: Path) -> None:
    with house.db.reading() as session:
        done = Order.find(session, order).revision
    if done == len(script):
        return
    with house.db.writing() as session:
        for part in ACTS[script[done]]:
            part(house, session, order, house.now())
        _label(session, "act")
    with acknowledged.open("a") as file:
        file.write(f"{order} {done + 1}\n")


def _deliver(house: House, courier: Courier, clock: HandClock) -> None:
    waiting = select(func.count()).select_from(Message).where(Message.state == WAITING)
    for _ in range(ROUNDS):
        with house.db.reading() as session:
            lanes = outbox.due_lanes(session, house.now())
            if not session.scalar(waiting):
                return
        courier.drain(*lanes)
        clock.pass_(timedelta(minutes=10))
    raise RuntimeError("something waits for ever")


def _label_transactions() -> None:
    """Note in each transaction what the courier does in it."""
    claim, settle = outbox.claim, outbox.settle

    def claiming(session: Session, *told: Any) -> list[Claim]:
        claims = claim(session, *told)
        if any(each.lane.split("/")[1] == CALLBACK for each in claims):
            _label(session, "claim")
        return claims

    def settling(session: Session, ended: Sequence[Ended], at: Any) -> Any:
        for each in ended:
            if each.claim.lane.split("/")[1] == CALLBACK:
                _label(session, each.outcome.word)
        return settle(session, ended, at)

    outbox.claim, outbox.settle = claiming, settling  # type: ignore[assignment]


def _label(session: Session, label: str) -> None:
    session.info.setdefault("labels", set()).add(label)
