"""Backups: made one after the other while a server works, each restored and looked through."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from provider import schema, vault
from provider.errors import Unready
from provider.house import House
from provider.kinds.interview import Recording
from provider.orders import Order
from provider.transfer import back_up, put_key, restore
from provider.transfer.files import hash_of
from tests import cast
from tests.soak.durable import Clients
from tests.soak.fleet import scaled
from tests.soak.proof import Run, Verdict
from tests.soak.server import Instance
from tests.soak.web import Machine

EVERY = 10.0  # seconds from one backup to the next
LONG, SHORT = 15, 1  # backups of each database
BREATH = 0.5  # seconds between two recordings, and two orders of each who orders


def quiet(*_: object) -> None:
    """Hear how far it is, and say nothing."""


@dataclass
class Films:
    """A candidate who records without a pause, and keeps what is acknowledged."""

    house: House
    order: str
    kept: dict[str, str] = field(default_factory=dict)  # media key to SHA-256
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record until the end."""
        thread = threading.Thread(target=self._record)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _record(self) -> None:
        while not self._over.wait(BREATH):
            with suppress(Unready):  # busy: it acknowledges nothing
                self._keep(secrets.token_bytes(10_000), vault.public_id())

    def _keep(self, film: bytes, name: str) -> None:
        sha256 = self.house.media.keep(f"recordings/{name}/original", [film]).sha256
        with self.house.db.writing() as session:
            order = session.scalar(select(Order.id).where(Order.public_id == self.order))
            new = Recording(
                public_id=name, order_id=order, question="why", take=1, mime="video/webm",
                size=len(film), sha256=sha256, created_at=self.house.now(),
            )  # fmt: skip
            session.add(new)
        self.kept[new.original] = sha256


@dataclass
class Round:
    """One backup after the other of one instance."""

    run: Run
    instance: Instance
    house: House
    clients: Clients
    films: Films
    verdict: Verdict

    def once(self, number: int) -> float:
        """Make a backup and look through it; return the seconds that making it took."""
        began, folder = time.monotonic(), self.instance.folder / f"backup-{number}"
        orders, films = dict(self.clients.kept), dict(self.films.kept)
        back_up(
            self.house.db, self.house.media, self.house.settings, folder, self.house.now(), quiet
        )
        took = time.monotonic() - began
        lost = self._lost(folder, orders, films)
        self.verdict.problems += [f"backup {number} lacks {each}" for each in lost]
        self.verdict.claim(len(self.clients.kept) > len(orders), f"{number}: nothing went on")
        self.run.say(f"backup {number}: {len(orders):,} orders, {took:.1f} s")
        if not self.run.short:
            time.sleep(max(0.0, began + EVERY - time.monotonic()))
        return took

    def _lost(self, folder: Path, orders: dict[str, str], films: dict[str, str]) -> list[str]:
        """Restore a backup; return what was acknowledged and is not in it."""
        there = self.instance.at(folder.with_name(f"{folder.name}-restored"))
        there.environment["PROVIDER_DATABASE_URL"] = ""
        put_key(folder, there.folder)
        restore(folder, there.settings, quiet)
        with there.house() as house:
            schema.require_current(house.db)
            with house.db.reading() as session:
                found = dict(session.execute(select(Order.origin, Order.public_id)).all())
                keys = [each.original for each in session.scalars(select(Recording))]
            kept = {key: hash_of(house.media, key).sha256 for key in keys}
        lost = [f"order {each}" for each, known in orders.items() if found.get(each) != known]
        return lost + [f"film {each}" for each, known in films.items() if kept.get(each) != known]


def _on(run: Run, instance: Instance, verdict: Verdict) -> str:
    with instance.house() as house:
        account, token = cast.account(house)
        # Ten seconds must do for a backup and its restoring, with the server beside them.
        clients = Clients(
            Machine(instance.port, token), {"test_id": cast.test(house)}, breath=BREATH
        )
        films = Films(house, cast.order(house, account, cast.interview(house), "interview"))
        backups = Round(run, instance, house, clients, films, verdict)
        with instance.start() as server, films.running():
            server.wait()
            threads = clients.order_until_death(10)
            times = [backups.once(number) for number in range(SHORT if run.short else LONG)]
            server.kill()
            for thread in threads:
                thread.join()
    verdict.problems += clients.refused
    return (
        f"{len(times)} backups on {house.db.url.get_backend_name()}, {sum(times) / len(times):.1f} "
        f"s each, {len(clients.kept):,} orders and {len(films.kept):,} recordings in the end"
    )


def backups(run: Run) -> Verdict:
    """Each can be restored, and holds all that was acknowledged before it began."""
    verdict = Verdict("")
    told = [_on(run, Instance(run.part("sqlite")), verdict)]
    if not run.short:
        with scaled(run, "postgresql") as (instance, _):
            told.append(_on(run, instance, verdict))
    verdict.figures = "; ".join(told)
    return verdict
