"""Opens what a power loss left with the server's own parts, and looks for what was promised."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from provider import config
from provider.core.accounts import Account
from provider.core.orders import INVITE, Link, Order
from provider.errors import ProviderError
from provider.maintenance import schema_version
from provider.outbox import DELIVERED, PARKED, Message
from provider.storage.database import Database
from provider.storage.secrets import SecretBox
from tests.endurance.powerloss.replay import DiskReplay

Acknowledgements = list[dict[str, Any]]
FileContents = dict[str, bytes]
Verifier = Callable[[FileContents, Acknowledgements], Iterable[str]]


class UnreadableState(Exception):
    """What is left cannot even be opened and read."""


@dataclass
class LossReport:
    """What was looked at, and what was not kept, each a sentence that begins with its place."""

    points: int = 0
    acknowledgement_count: int = 0
    lost: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    points_with_loss: int = 0

    def __str__(self) -> str:
        return (
            f"{self.points:,} points, {self.acknowledgement_count:,} promises looked for, {len(self.lost):,} "
            f"lost (at {self.points_with_loss:,} points), {len(self.unreadable)} broken"
        )


def check_after_power_loss(
    replay: DiskReplay, count: int, rng: random.Random, verify: Verifier
) -> LossReport:
    """Lose power at `count` places of a log, and look at what is left of each."""
    found = LossReport()
    for place in _choose_points(replay, count, rng):
        replay.replay_until(place)
        promised: Acknowledgements = [json.loads(line) for line in replay.acknowledgements]
        found.points, found.acknowledgement_count = (
            found.points + 1,
            found.acknowledgement_count + len(promised),
        )
        try:
            lost = list(verify(replay.after_power_loss(rng), promised))
        except UnreadableState as error:
            found.unreadable.append(f"at {place}: {error}")
        else:
            found.lost += [f"at {place}: {each}" for each in lost]
            found.points_with_loss += bool(lost)
    return found


def _choose_points(replay: DiskReplay, count: int, rng: random.Random) -> list[int]:
    """Choose places in the log: half anywhere, half just after a promise, where it is hardest."""
    after = [
        number + 1
        for number, entry in enumerate(replay.entries)
        if replay.is_acknowledgement(entry)
    ]
    anywhere = range(1, len(replay.entries) + 1)
    return sorted([*rng.choices(anywhere, k=count - count // 2), *rng.choices(after, k=count // 2)])


def find_lost_files(remaining_files: FileContents, acknowledged: Acknowledgements) -> Iterator[str]:
    """Name the promised files that are not there, or not whole."""
    for promise in acknowledged:
        content = remaining_files.get(promise["file"])
        if content is None:
            yield f"{promise['file']} is not there"
        elif hashlib.sha256(content).hexdigest() != promise["sha256"]:
            yield f"{promise['file']} is not whole"


class OrderVerifier:
    """Lays an instance out in a folder, again and again, and opens its database there."""

    def __init__(self, folder: Path) -> None:
        self._instance = folder / "instance"
        self._db = Database(f"sqlite:///{self._instance / 'provider.db'}")

    def __call__(self, remaining_files: FileContents, acknowledged: Acknowledgements) -> list[str]:
        """Name the promised orders and statuses that are not there, and what is half done."""
        self._write_files(remaining_files)
        try:
            return self._find_problems(remaining_files, acknowledged)
        except (DatabaseError, ProviderError, UnicodeError) as error:
            raise UnreadableState(f"{type(error).__name__}: {error}") from error
        finally:
            self._db.close()

    def _write_files(self, remaining_files: FileContents) -> None:
        """Write what is opened as a file: the database, its log, the key."""
        shutil.rmtree(self._instance, ignore_errors=True)
        self._instance.mkdir(parents=True)
        for name, content in remaining_files.items():
            if (path := self._instance.parent / name).parent == self._instance:
                path.write_bytes(content)

    def _find_problems(
        self, remaining_files: FileContents, acknowledged: Acknowledgements
    ) -> list[str]:
        with self._db.engine.connect() as connection:
            said = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            made = inspect(connection).has_table("orders")
        if said != ["ok"]:
            raise UnreadableState(f"integrity_check says {said[:3]}")
        settings = config.load_settings({"PROVIDER_INSTANCE": str(self._instance)})
        if not made and not acknowledged:  # it was being set up: the next start goes on
            schema_version.upgrade(self._db)
        if not made:
            return [f"{promise} with all the rest" for promise in acknowledged]
        with self._db.reading() as session:
            secret_box = SecretBox(settings.secret_keys)
            return [
                *_find_lost(session, secret_box, acknowledged),
                *_find_incomplete(session),
                *_find_lost_emails(session, remaining_files),
            ]


def _find_lost(
    session: Session, secret_box: SecretBox, acknowledged: Acknowledgements
) -> Iterator[str]:
    standing = dict(session.execute(select(Order.public_id, Order.status)).all())
    for promise in acknowledged:
        if "account" in promise:
            account = session.get(Account, promise["account"])
            if account is None or not account.get_callback_token(secret_box):
                yield "the account"
            continue
        order, status = promise["order"], promise["status"]
        if order not in standing:
            yield f"order {order}"
        elif status not in ("pending", standing[order]):
            yield f"order {order} is {standing[order]}, not {status}"
    if acknowledged and acknowledged[-1].get("order") in standing:
        _open_invitation(session, secret_box, acknowledged[-1]["order"])


def _find_incomplete(session: Session) -> Iterator[str]:
    """Name orders, promised or not, without the messages that belong to them; parked messages."""
    messages = set(session.execute(select(Message.ordering_key, Message.topic)).all())
    for order, status in session.execute(select(Order.public_id, Order.status)):
        topics = ("invitation",) if status == "pending" else ("invitation", "status")
        for topic in topics:
            if (order, topic) not in messages:
                yield f"order {order} is {status} without its {topic} message"
    for name in session.scalars(select(Message.public_id).where(Message.state == PARKED)):
        yield f"message {name} waits for somebody's hands"


def _open_invitation(session: Session, secret_box: SecretBox, order: str) -> None:
    """Raise Unready when the key in the folder is not the one that sealed the link."""
    link = Link.find_permanent(session, Order.find(session, order), INVITE)
    assert link is not None
    link.get_token(secret_box)


def _find_lost_emails(session: Session, remaining_files: FileContents) -> Iterator[str]:
    """Name the letters that are said to be kept, and are not there, or not whole."""
    kept = (Message.topic == "invitation") & (Message.state == DELIVERED)
    for name, rendered in session.execute(select(Message.public_id, Message.body).where(kept)):
        if remaining_files.get(f"instance/mail/{name}.eml") != rendered:
            yield f"letter {name}"
