"""A dispatcher whose process dies at a labelled step; this module wraps its parts.

act        a status is changed           before commit, after commit
claim      messages are leased           before commit, after commit
send       a request is made             before, after
delivered  a delivery is settled         before commit, after commit
retry      a failed attempt is settled   before commit, after commit
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
from provider.outbox import (
    CALLBACK,
    EMAIL,
    WAITING,
    AttemptResult,
    Claim,
    Message,
    Outcome,
    QueueName,
)
from provider.services import Services
from provider.storage.database import Database
from tests.endurance.actors import STEPS as ACTS
from tests.endurance.scenario import silence_logs
from tests.factories import ManualClock, build_services

# The least number of passes of each step in one run; the process may die at any of them.
CRASH_POINTS = {
    "act before commit": 9,
    "act after commit": 9,
    "claim before commit": 3,
    "claim after commit": 3,
    "send before": 9,
    "send after": 9,
    "delivered before commit": 3,
    "delivered after commit": 3,
    "retry before commit": 2,
    "retry after commit": 2,
}
SCRIPTS = (("decline", "reopen", "cancel"), ("consent", "conclude", "reopen"))
MAX_CONCURRENT_SENDS = 4
MAX_DRAIN_ROUNDS = 100  # after more rounds a message counts as undeliverable


@dataclass
class CrashTrigger:
    """Kills its process when `step` is reached for the n-th time; never without a step."""

    step: str = ""
    remaining_passes: int = 1

    def reach(self, step: str) -> None:
        """Kill the process when this is the chosen pass of `step`."""
        if step == self.step:
            self.remaining_passes -= 1
            if self.remaining_passes == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class CrashingDatabase(Database):
    """A database whose process may die before or after a commit."""

    def __init__(self, url: str, trigger: CrashTrigger) -> None:
        super().__init__(url)
        self._trigger = trigger

    @contextmanager
    def writing(self, *, separate_commit: bool = False) -> Iterator[Session]:
        """Open a transaction. At its commit, reach the steps that label the transaction."""
        with super().writing(separate_commit=separate_commit) as session:
            yield session
            labels = sorted(session.info.get("labels", ()))
            for label in labels:
                self._trigger.reach(f"{label} before commit")
        for label in labels:
            self._trigger.reach(f"{label} after commit")


@dataclass(frozen=True)
class CrashingChannel(Channel):
    """A channel whose process may die before or after a request."""

    channel: Channel
    trigger: CrashTrigger

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[PreparedDelivery | Exception]:
        return [
            prepared
            if isinstance(prepared, Exception)
            else CrashingDelivery(prepared, self.trigger)
            for prepared in self.channel.prepare(session, claims)
        ]

    def close(self) -> None:
        self.channel.close()


@dataclass(frozen=True)
class CrashingDelivery:
    """A delivery whose process may die before it is sent, or after its response."""

    prepared: PreparedDelivery
    trigger: CrashTrigger

    @property
    def body(self) -> bytes | None:
        return self.prepared.body

    def send(self) -> Outcome:
        self.trigger.reach("send before")
        outcome = self.prepared.send()
        self.trigger.reach("send after")
        return outcome


def run_orders(
    environment: dict[str, str], orders: Sequence[str], now: datetime, trigger: CrashTrigger
) -> None:
    """Perform each order's remaining steps, and deliver until no message waits."""
    silence_logs()
    _label_transactions()
    settings = config.load_settings(environment)
    clock = ManualClock(now)
    services = build_services(settings, clock)
    db = CrashingDatabase(settings.database_url, trigger)
    db.session_info = services.db.session_info
    services = replace(services, db=db)
    dispatcher = Dispatcher(
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
        _deliver(services, dispatcher, clock)
    dispatcher.stop()


def _perform_step(
    services: Services, order: str, script: tuple[str, ...], acknowledged: Path
) -> None:
    with services.db.reading() as session:
        completed = Order.find(session, order).revision
    if completed == len(script):
        return
    with services.db.writing() as session:
        for act in ACTS[script[completed]]:
            act(services, session, order, services.now())
        _label(session, "act")
    with acknowledged.open("a") as file:
        file.write(f"{order} {completed + 1}\n")


def _deliver(services: Services, dispatcher: Dispatcher, clock: ManualClock) -> None:
    waiting_count = select(func.count()).select_from(Message).where(Message.state == WAITING)
    for _ in range(MAX_DRAIN_ROUNDS):
        with services.db.reading() as session:
            queues = outbox.list_due_queues(session, services.now())
            if not session.scalar(waiting_count):
                return
        dispatcher.drain(*queues)
        clock.advance(timedelta(minutes=10))
    raise RuntimeError(f"messages still wait after {MAX_DRAIN_ROUNDS} rounds")


def _label_transactions() -> None:
    """Label each transaction with what the dispatcher does in it."""
    claim, settle = outbox.claim, outbox.settle

    def labelled_claim(session: Session, *arguments: Any) -> list[Claim]:
        claims = claim(session, *arguments)
        if any(QueueName.parse(claimed.queue).channel == CALLBACK for claimed in claims):
            _label(session, "claim")
        return claims

    def labelled_settle(session: Session, results: Sequence[AttemptResult], now: datetime) -> Any:
        for result in results:
            if QueueName.parse(result.claim.queue).channel == CALLBACK:
                _label(session, result.outcome.decision)
        return settle(session, results, now)

    outbox.claim, outbox.settle = labelled_claim, labelled_settle  # type: ignore[assignment]


def _label(session: Session, label: str) -> None:
    session.info.setdefault("labels", set()).add(label)
