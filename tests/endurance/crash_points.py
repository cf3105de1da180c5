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
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.channels.base import Channel, PreparedDelivery
from provider.delivery.channels.callback import CallbackChannel
from provider.delivery.channels.email import EmailChannel
from provider.outbox import CALLBACK, EMAIL, WAITING, AttemptResult, Claim, Message, Outcome
from provider.services import Services
from provider.storage.database import Database
from tests.endurance.actors import STEPS as ACTS
from tests.endurance.scenario import silence_logs
from tests.factories import ManualClock

# How often each step comes by at least, so that any of these times may be the last.
CRASH_POINTS = {
    "act before commit": 9,
    "act after commit": 9,
    "claim before commit": 3,
    "claim after commit": 3,
    "send before": 9,
    "send after": 9,
    "done before commit": 3,
    "done after commit": 3,
    "again before commit": 2,
    "again after commit": 2,
}
SCRIPTS = (("decline", "reopen", "cancel"), ("consent", "conclude", "reopen"))
MAX_CONCURRENT_SENDS = 4
MAX_DRAIN_ROUNDS = 100  # of draining: more is a message that never arrives


@dataclass
class CrashTrigger:
    """Kills its process when a step comes by for the n-th time; without a step it never does."""

    step: str = ""
    remaining_passes: int = 1

    def reach(self, step: str) -> None:
        """Die here, if it is time."""
        if step == self.step:
            self.remaining_passes -= 1
            if self.remaining_passes == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class CrashingDatabase(Database):
    """A database whose process may die around a commit."""

    def __init__(self, url: str, trigger: CrashTrigger) -> None:
        super().__init__(url)
        self._trigger = trigger

    @contextmanager
    def writing(self, *, separate_commit: bool = False) -> Iterator[Session]:
        """Open a transaction, and die before or after its commit if what it does is labelled."""
        with super().writing(separate_commit=separate_commit) as session:
            yield session
            labels = sorted(session.info.get("labels", ()))
            for label in labels:
                self._trigger.reach(f"{label} before commit")
        for label in labels:
            self._trigger.reach(f"{label} after commit")


@dataclass(frozen=True)
class CrashingChannel:
    """A sink whose process may die around a request."""

    channel: Channel
    trigger: CrashTrigger

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[PreparedDelivery | Exception]:
        """Render, and give the parcels their risk."""
        parcels = self.channel.prepare(session, claims)
        return [
            each if isinstance(each, Exception) else CrashingDelivery(each, self.trigger)
            for each in parcels
        ]

    def close(self) -> None:
        """Let go of what is kept open."""
        self.channel.close()


@dataclass(frozen=True)
class CrashingDelivery:
    """A parcel whose process may die before it is sent, or after it was answered."""

    prepared: PreparedDelivery
    trigger: CrashTrigger

    @property
    def body(self) -> bytes | None:
        """The bytes that every try sends."""
        return self.prepared.body

    def send(self) -> Outcome:
        """Try once, at some risk."""
        self.trigger.reach("send before")
        outcome = self.prepared.send()
        self.trigger.reach("send after")
        return outcome


def run_orders(
    environment: dict[str, str], orders: Sequence[str], now: datetime, trigger: CrashTrigger
) -> None:
    """Go on with the orders' lives from where they stand, and deliver until nothing waits."""
    silence_logs()
    _label_transactions()
    settings = config.load_settings(environment)
    clock = ManualClock(now)
    services = replace(
        Services.build(settings, clock), db=CrashingDatabase(settings.database_url, trigger)
    )
    courier = Dispatcher(
        services,
        {
            CALLBACK: CrashingChannel(CallbackChannel(services), trigger),
            EMAIL: EmailChannel(services),
        },
        max_concurrent_sends=MAX_CONCURRENT_SENDS,
    )
    acknowledged = settings.instance / "acknowledged"
    for _ in SCRIPTS[0]:
        for number, order in enumerate(orders):
            _perform_step(services, order, SCRIPTS[number % len(SCRIPTS)], acknowledged)
        _deliver(services, courier, clock)
    courier.stop()


def _perform_step(
    services: Services, order: str, script: tuple[str, ...], acknowledged: Path
) -> None:
    with services.db.reading() as session:
        done = Order.find(session, order).revision
    if done == len(script):
        return
    with services.db.writing() as session:
        for part in ACTS[script[done]]:
            part(services, session, order, services.now())
        _label(session, "act")
    with acknowledged.open("a") as file:
        file.write(f"{order} {done + 1}\n")


def _deliver(services: Services, dispatcher: Dispatcher, clock: ManualClock) -> None:
    waiting = select(func.count()).select_from(Message).where(Message.state == WAITING)
    for _ in range(MAX_DRAIN_ROUNDS):
        with services.db.reading() as session:
            lanes = outbox.list_due_queues(session, services.now())
            if not session.scalar(waiting):
                return
        dispatcher.drain(*lanes)
        clock.advance(timedelta(minutes=10))
    raise RuntimeError("something waits for ever")


def _label_transactions() -> None:
    """Note in each transaction what the courier does in it."""
    claim, settle = outbox.claim, outbox.settle

    def claiming(session: Session, *told: Any) -> list[Claim]:
        claims = claim(session, *told)
        if any(each.queue.split("/")[1] == CALLBACK for each in claims):
            _label(session, "claim")
        return claims

    def settling(session: Session, ended: Sequence[AttemptResult], at: Any) -> Any:
        for each in ended:
            if each.claim.queue.split("/")[1] == CALLBACK:
                _label(session, each.outcome.decision)
        return settle(session, ended, at)

    outbox.claim, outbox.settle = claiming, settling  # type: ignore[assignment]


def _label(session: Session, label: str) -> None:
    session.info.setdefault("labels", set()).add(label)
