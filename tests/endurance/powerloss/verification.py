"""Opens the files that a power loss left with the server's own code, and looks for losses."""

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
    """The remaining database cannot be opened or read."""


@dataclass
class LossReport:
    """The checked points, and the losses, each a sentence that begins with its point."""

    points: int = 0
    acknowledgement_count: int = 0
    lost: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    points_with_loss: int = 0

    def __str__(self) -> str:
        return (
            f"{self.points:,} points, {self.acknowledgement_count:,} acknowledgements checked, "
            f"{len(self.lost):,} lost (at {self.points_with_loss:,} points), "
            f"{len(self.unreadable)} unreadable"
        )


def check_after_power_loss(
    replay: DiskReplay, count: int, rng: random.Random, verify: Verifier
) -> LossReport:
    """Lose power at `count` points of a log, and verify the remaining files of each."""
    report = LossReport()
    for point in _choose_points(replay, count, rng):
        replay.replay_until(point)
        acknowledged: Acknowledgements = [json.loads(line) for line in replay.acknowledgements]
        report.points += 1
        report.acknowledgement_count += len(acknowledged)
        try:
            lost = list(verify(replay.after_power_loss(rng), acknowledged))
        except UnreadableState as error:
            report.unreadable.append(f"at {point}: {error}")
        else:
            report.lost += [f"at {point}: {item}" for item in lost]
            report.points_with_loss += bool(lost)
    return report


def _choose_points(replay: DiskReplay, count: int, rng: random.Random) -> list[int]:
    """Choose points at random, half of them right after an acknowledgement."""
    after_acknowledgements = [
        number + 1
        for number, entry in enumerate(replay.entries)
        if replay.is_acknowledgement(entry)
    ]
    anywhere = range(1, len(replay.entries) + 1)
    return sorted(
        [
            *rng.choices(anywhere, k=count - count // 2),
            *rng.choices(after_acknowledgements, k=count // 2),
        ]
    )


def find_lost_files(remaining_files: FileContents, acknowledged: Acknowledgements) -> Iterator[str]:
    """Return the acknowledged files that are missing or damaged."""
    for acknowledgement in acknowledged:
        content = remaining_files.get(acknowledgement["file"])
        if content is None:
            yield f"{acknowledgement['file']} is missing"
        elif hashlib.sha256(content).hexdigest() != acknowledgement["sha256"]:
            yield f"{acknowledgement['file']} is damaged"


class OrderVerifier:
    """Writes the files of an instance to a folder, and checks its database there."""

    def __init__(self, folder: Path) -> None:
        self._instance = folder / "instance"
        self._db = Database(f"sqlite:///{self._instance / 'provider.db'}")

    def __call__(self, remaining_files: FileContents, acknowledged: Acknowledgements) -> list[str]:
        """Return the lost orders and statuses, and the orders that are incomplete."""
        self._write_files(remaining_files)
        try:
            return self._find_problems(remaining_files, acknowledged)
        except (DatabaseError, ProviderError, UnicodeError) as error:
            raise UnreadableState(f"{type(error).__name__}: {error}") from error
        finally:
            self._db.close()

    def _write_files(self, remaining_files: FileContents) -> None:
        """Write the files that the server opens: the database, its WAL and the key."""
        shutil.rmtree(self._instance, ignore_errors=True)
        self._instance.mkdir(parents=True)
        for name, content in remaining_files.items():
            if (path := self._instance.parent / name).parent == self._instance:
                path.write_bytes(content)

    def _find_problems(
        self, remaining_files: FileContents, acknowledged: Acknowledgements
    ) -> list[str]:
        with self._db.engine.connect() as connection:
            integrity = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            has_tables = inspect(connection).has_table("orders")
        if integrity != ["ok"]:
            raise UnreadableState(f"integrity_check returned {integrity[:3]}")
        settings = config.load_settings({"PROVIDER_INSTANCE": str(self._instance)})
        if not has_tables and not acknowledged:  # the next start must finish the migration
            schema_version.upgrade(self._db)
        if not has_tables:
            return [f"{acknowledgement} with all tables" for acknowledgement in acknowledged]
        with self._db.reading() as session:
            secret_box = SecretBox(settings.secret_keys)
            return [
                *_find_lost(session, secret_box, acknowledged),
                *_find_incomplete(session),
                *_find_lost_emails(session, secret_box, remaining_files),
            ]


def _find_lost(
    session: Session, secret_box: SecretBox, acknowledged: Acknowledgements
) -> Iterator[str]:
    statuses = dict(session.execute(select(Order.public_id, Order.status)).all())
    for acknowledgement in acknowledged:
        if "account" in acknowledgement:
            account = session.get(Account, acknowledgement["account"])
            if account is None or not account.get_callback_token(secret_box):
                yield "the account"
            continue
        order, status = acknowledgement["order"], acknowledgement["status"]
        if order not in statuses:
            yield f"order {order}"
        elif status not in ("pending", statuses[order]):
            yield f"order {order} is {statuses[order]}, not {status}"
    if acknowledged and acknowledged[-1].get("order") in statuses:
        _open_invitation(session, secret_box, acknowledged[-1]["order"])


def _find_incomplete(session: Session) -> Iterator[str]:
    """Return orders that lack a message, and parked messages."""
    messages = set(session.execute(select(Message.ordering_key, Message.topic)).all())
    for order, status in session.execute(select(Order.public_id, Order.status)):
        topics = ("invitation",) if status == "pending" else ("invitation", "status")
        for topic in topics:
            if (order, topic) not in messages:
                yield f"order {order} is {status} without its {topic} message"
    for name in session.scalars(select(Message.public_id).where(Message.state == PARKED)):
        yield f"message {name} is parked"


def _open_invitation(session: Session, secret_box: SecretBox, order: str) -> None:
    """Raise Unavailable when the remaining key did not encrypt the link."""
    link = Link.find_permanent(session, Order.find(session, order), INVITE)
    assert link is not None
    link.get_token(secret_box)


def _find_lost_emails(
    session: Session, secret_box: SecretBox, remaining_files: FileContents
) -> Iterator[str]:
    """Return the delivered e-mails whose files are missing or damaged."""
    is_delivered_email = (Message.topic == "invitation") & (Message.state == DELIVERED)
    for message in session.scalars(select(Message).where(is_delivered_email)):
        name, body = message.public_id, message.get_body(secret_box)
        if remaining_files.get(f"instance/mail/{name}.eml") != body:
            yield f"e-mail {name}"
