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

from provider import config, schema
from provider.accounts import Account
from provider.db import Database
from provider.errors import ProviderError
from provider.orders import INVITE, Link, Order
from provider.outbox import DELIVERED, PARKED, Message
from provider.vault import Vault
from tests.soak.powerloss.replay import Tape

Promises = list[dict[str, Any]]
Files = dict[str, bytes]
Look = Callable[[Files, Promises], Iterable[str]]


class Broken(Exception):
    """What is left cannot even be opened and read."""


@dataclass
class Findings:
    """What was looked at, and what was not kept, each a sentence that begins with its place."""

    points: int = 0
    promises: int = 0
    lost: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    points_with_loss: int = 0

    def __str__(self) -> str:
        return (
            f"{self.points:,} points, {self.promises:,} promises looked for, {len(self.lost):,} "
            f"lost (at {self.points_with_loss:,} points), {len(self.broken)} broken"
        )


def judge(tape: Tape, count: int, luck: random.Random, look: Look) -> Findings:
    """Lose power at `count` places of a log, and look at what is left of each."""
    found = Findings()
    for place in _places(tape, count, luck):
        tape.play(place)
        promised: Promises = [json.loads(line) for line in tape.promises]
        found.points, found.promises = found.points + 1, found.promises + len(promised)
        try:
            lost = list(look(tape.after_power_loss(luck), promised))
        except Broken as error:
            found.broken.append(f"at {place}: {error}")
        else:
            found.lost += [f"at {place}: {each}" for each in lost]
            found.points_with_loss += bool(lost)
    return found


def _places(tape: Tape, count: int, luck: random.Random) -> list[int]:
    """Choose places in the log: half anywhere, half just after a promise, where it is hardest."""
    after = [number + 1 for number, entry in enumerate(tape.entries) if tape.is_promise(entry)]
    anywhere = range(1, len(tape.entries) + 1)
    return sorted(
        [*luck.choices(anywhere, k=count - count // 2), *luck.choices(after, k=count // 2)]
    )


def files(left: Files, promised: Promises) -> Iterator[str]:
    """Name the promised files that are not there, or not whole."""
    for promise in promised:
        content = left.get(promise["file"])
        if content is None:
            yield f"{promise['file']} is not there"
        elif hashlib.sha256(content).hexdigest() != promise["sha256"]:
            yield f"{promise['file']} is not whole"


class Orders:
    """Lays an instance out in a folder, again and again, and opens its database there."""

    def __init__(self, folder: Path) -> None:
        self._instance = folder / "instance"
        self._db = Database(f"sqlite:///{self._instance / 'provider.db'}")

    def __call__(self, left: Files, promised: Promises) -> list[str]:
        """Name the promised orders and statuses that are not there, and what is half done."""
        self._lay_out(left)
        try:
            return self._found(left, promised)
        except (DatabaseError, ProviderError, UnicodeError) as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
        finally:
            self._db.close()

    def _lay_out(self, left: Files) -> None:
        """Write what is opened as a file: the database, its log, the key."""
        shutil.rmtree(self._instance, ignore_errors=True)
        self._instance.mkdir(parents=True)
        for name, content in left.items():
            if (path := self._instance.parent / name).parent == self._instance:
                path.write_bytes(content)

    def _found(self, left: Files, promised: Promises) -> list[str]:
        with self._db.engine.connect() as connection:
            said = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            made = inspect(connection).has_table("orders")
        if said != ["ok"]:
            raise Broken(f"integrity_check says {said[:3]}")
        settings = config.read({"PROVIDER_INSTANCE": str(self._instance)})
        if not made and not promised:  # it was being set up: the next start goes on
            schema.upgrade(self._db)
        if not made:
            return [f"{promise} with all the rest" for promise in promised]
        with self._db.reading() as session:
            keeper = Vault(settings.secret_keys)
            return [
                *_lost(session, keeper, promised), *_half_done(session), *_letters(session, left)
            ]  # fmt: skip


def _lost(session: Session, keeper: Vault, promised: Promises) -> Iterator[str]:
    standing = dict(session.execute(select(Order.public_id, Order.status)).all())
    for promise in promised:
        if "account" in promise:
            account = session.get(Account, promise["account"])
            if account is None or not account.open_callback_token(keeper):
                yield "the account"
            continue
        order, status = promise["order"], promise["status"]
        if order not in standing:
            yield f"order {order}"
        elif status not in ("pending", standing[order]):
            yield f"order {order} is {standing[order]}, not {status}"
    if promised and promised[-1].get("order") in standing:
        _open_invitation(session, keeper, promised[-1]["order"])


def _half_done(session: Session) -> Iterator[str]:
    """Name orders, promised or not, without the messages that belong to them; parked messages."""
    messages = set(session.execute(select(Message.key, Message.topic)).all())
    for order, status in session.execute(select(Order.public_id, Order.status)):
        topics = ("invitation",) if status == "pending" else ("invitation", "status")
        for topic in topics:
            if (order, topic) not in messages:
                yield f"order {order} is {status} without its {topic} message"
    for name in session.scalars(select(Message.public_id).where(Message.state == PARKED)):
        yield f"message {name} waits for somebody's hands"


def _open_invitation(session: Session, keeper: Vault, order: str) -> None:
    """Raise Unready when the key in the folder is not the one that sealed the link."""
    link = Link.of(session, Order.find(session, order), INVITE)
    assert link is not None
    link.token(keeper)


def _letters(session: Session, left: Files) -> Iterator[str]:
    """Name the letters that are said to be kept, and are not there, or not whole."""
    kept = (Message.topic == "invitation") & (Message.state == DELIVERED)
    for name, rendered in session.execute(select(Message.public_id, Message.rendered).where(kept)):
        if left.get(f"instance/mail/{name}.eml") != rendered:
            yield f"letter {name}"
