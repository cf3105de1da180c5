"""Backups: made one after the other while a server works, each restored and looked through."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from provider.core.kinds.interview import Recording
from provider.core.orders import Order
from provider.errors import Unavailable
from provider.maintenance import create_backup, restore_backup, restore_key, schema_version
from provider.maintenance.media_copy import inspect_media
from provider.services import Services
from provider.storage import secrets as vault
from tests import factories
from tests.endurance.cluster import open_postgres_instance
from tests.endurance.durable import OrderingClients
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.endurance.web import AtsClient

BACKUP_INTERVAL_SECONDS = 10.0  # seconds from one backup to the next
LONG_BACKUP_COUNT, SHORT_BACKUP_COUNT = 15, 1  # backups of each database
WRITE_DELAY_SECONDS = 0.5  # seconds between two recordings, and two orders of each who orders


def ignore_progress(*_: object) -> None:
    """Hear how far it is, and say nothing."""


@dataclass
class RecordingCandidate:
    """A candidate who records without a pause, and keeps what is acknowledged."""

    services: Services
    order: str
    acknowledged: dict[str, str] = field(default_factory=dict)  # media key to SHA-256
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record until the end."""
        thread = threading.Thread(target=self._record_until_stopped)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _record_until_stopped(self) -> None:
        while not self._stopped.wait(WRITE_DELAY_SECONDS):
            with suppress(Unavailable):  # busy: it acknowledges nothing
                self._store_recording(secrets.token_bytes(10_000), vault.generate_public_id())

    def _store_recording(self, video: bytes, name: str) -> None:
        sha256 = self.services.media.put(f"recordings/{name}/original", [video]).sha256
        with self.services.db.writing() as session:
            order = session.scalar(select(Order.id).where(Order.public_id == self.order))
            new = Recording(
                public_id=name,
                order_id=order,
                question="why",
                take=1,
                mime="video/webm",
                size=len(video),
                sha256=sha256,
                created_at=self.services.now(),
            )
            session.add(new)
        self.acknowledged[new.original_key] = sha256


@dataclass
class BackupRound:
    """One backup after the other of one instance."""

    run: Run
    instance: Instance
    services: Services
    clients: OrderingClients
    candidate: RecordingCandidate
    verdict: ScenarioVerdict

    def make_backup(self, number: int) -> float:
        """Make a backup and look through it; return the seconds that making it took."""
        began, folder = time.monotonic(), self.instance.folder / f"backup-{number}"
        orders, films = dict(self.clients.acknowledged), dict(self.candidate.acknowledged)
        create_backup(
            self.services.db,
            self.services.media,
            self.services.settings,
            folder,
            self.services.now(),
            ignore_progress,
        )
        took = time.monotonic() - began
        lost = self._find_lost(folder, orders, films)
        self.verdict.problems += [f"backup {number} lacks {each}" for each in lost]
        self.verdict.require(
            len(self.clients.acknowledged) > len(orders), f"{number}: nothing went on"
        )
        self.run.print_progress(f"backup {number}: {len(orders):,} orders, {took:.1f} s")
        if not self.run.short:
            time.sleep(max(0.0, began + BACKUP_INTERVAL_SECONDS - time.monotonic()))
        return took

    def _find_lost(
        self, folder: Path, orders: dict[str, str], recordings: dict[str, str]
    ) -> list[str]:
        """Restore a backup; return what was acknowledged and is not in it."""
        there = self.instance.with_folder(folder.with_name(f"{folder.name}-restored"))
        there.environment["PROVIDER_DATABASE_URL"] = ""
        restore_key(folder, there.folder)
        restore_backup(folder, there.settings, ignore_progress)
        with there.open_services() as services:
            schema_version.require_current(services.db)
            with services.db.reading() as session:
                found = dict(session.execute(select(Order.external_key, Order.public_id)).all())
                keys = [each.original_key for each in session.scalars(select(Recording))]
            kept = {key: inspect_media(services.media, key).sha256 for key in keys}
        lost = [f"order {each}" for each, known in orders.items() if found.get(each) != known]
        return lost + [
            f"film {each}" for each, known in recordings.items() if kept.get(each) != known
        ]


def _back_up_instance(run: Run, instance: Instance, verdict: ScenarioVerdict) -> str:
    with instance.open_services() as services:
        account, token = factories.create_account(services)
        # Ten seconds must do for a backup and its restoring, with the server beside them.
        clients = OrderingClients(
            AtsClient(instance.port, token),
            {"test_id": factories.create_test(services)},
            delay_seconds=WRITE_DELAY_SECONDS,
        )
        films = RecordingCandidate(
            services,
            factories.place_order(
                services, account, factories.create_interview(services), "interview"
            ),
        )
        backups = BackupRound(run, instance, services, clients, films, verdict)
        with instance.start_server() as server, films.running():
            server.wait_until_ready()
            threads = clients.order_until_killed(10)
            times = [
                backups.make_backup(number)
                for number in range(SHORT_BACKUP_COUNT if run.short else LONG_BACKUP_COUNT)
            ]
            server.kill()
            for thread in threads:
                thread.join()
    verdict.problems += clients.errors
    return (
        f"{len(times)} backups on {services.db.url.get_backend_name()}, {sum(times) / len(times):.1f} "
        f"s each, {len(clients.acknowledged):,} orders and {len(films.acknowledged):,} recordings in the end"
    )


def backups(run: Run) -> ScenarioVerdict:
    """Each can be restored, and holds all that was acknowledged before it began."""
    verdict = ScenarioVerdict("")
    told = [_back_up_instance(run, Instance(run.create_folder("sqlite")), verdict)]
    if not run.short:
        with open_postgres_instance(run, "postgresql") as (instance, _):
            told.append(_back_up_instance(run, instance, verdict))
    verdict.figures = "; ".join(told)
    return verdict
