"""Backups are made one after another while a server works; each is restored and compared."""

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

BACKUP_INTERVAL_SECONDS = 10.0  # from the start of one backup to the start of the next
LONG_BACKUP_COUNT, SHORT_BACKUP_COUNT = 15, 1  # of each database
WRITE_DELAY_SECONDS = 0.5  # between two recordings, and between two orders of a client


def ignore_progress(*_: object) -> None:
    """Discard the progress of a backup or restore."""


@dataclass
class RecordingCandidate:
    """Stores recordings continuously and remembers the acknowledged ones."""

    services: Services
    order: str
    acknowledged: dict[str, str] = field(default_factory=dict)  # media key to SHA-256
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record in a thread until the end of the block."""
        thread = threading.Thread(target=self._record_until_stopped)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _record_until_stopped(self) -> None:
        while not self._stopped.wait(WRITE_DELAY_SECONDS):
            with suppress(Unavailable):  # a busy database acknowledges nothing
                self._store_recording(secrets.token_bytes(10_000), vault.generate_public_id())

    def _store_recording(self, video: bytes, name: str) -> None:
        sha256 = self.services.media.put(f"recordings/{name}/original", [video]).sha256
        with self.services.db.writing() as session:
            order_id = session.scalar(select(Order.id).where(Order.public_id == self.order))
            recording = Recording(
                public_id=name,
                order_id=order_id,
                question="why",
                take=1,
                mime="video/webm",
                size=len(video),
                sha256=sha256,
                created_at=self.services.now(),
            )
            session.add(recording)
        self.acknowledged[recording.original_key] = sha256


@dataclass
class BackupRound:
    """Successive backups of one instance."""

    run: Run
    instance: Instance
    services: Services
    clients: OrderingClients
    candidate: RecordingCandidate
    verdict: ScenarioVerdict

    def make_backup(self, number: int) -> float:
        """Make a backup and check it. Return the seconds that the backup took."""
        started_at, folder = time.monotonic(), self.instance.folder / f"backup-{number}"
        orders, recordings = dict(self.clients.acknowledged), dict(self.candidate.acknowledged)
        create_backup(
            self.services.db,
            self.services.media,
            self.services.settings,
            folder,
            self.services.now(),
            ignore_progress,
        )
        seconds = time.monotonic() - started_at
        lost = self._find_lost(folder, orders, recordings)
        self.verdict.problems += [f"backup {number} lacks {item}" for item in lost]
        self.verdict.require(
            len(self.clients.acknowledged) > len(orders),
            f"no order was placed during backup {number}",
        )
        self.run.print_progress(f"backup {number}: {len(orders):,} orders, {seconds:.1f} s")
        if not self.run.short:
            time.sleep(max(0.0, started_at + BACKUP_INTERVAL_SECONDS - time.monotonic()))
        return seconds

    def _find_lost(
        self, folder: Path, orders: dict[str, str], recordings: dict[str, str]
    ) -> list[str]:
        """Restore a backup; return what was acknowledged and is missing from it."""
        restored = self.instance.with_folder(folder.with_name(f"{folder.name}-restored"))
        restored.environment["PROVIDER_DATABASE_URL"] = ""
        restore_key(folder, restored.folder)
        restore_backup(folder, restored.settings, ignore_progress)
        with restored.open_services() as services:
            schema_version.require_current(services.db)
            with services.db.reading() as session:
                ids = dict(session.execute(select(Order.external_key, Order.public_id)).all())
                keys = [recording.original_key for recording in session.scalars(select(Recording))]
            digests = {key: inspect_media(services.media, key).sha256 for key in keys}
        lost = [f"order {url}" for url, order_id in orders.items() if ids.get(url) != order_id]
        return lost + [
            f"recording {key}" for key, sha256 in recordings.items() if digests.get(key) != sha256
        ]


def _back_up_instance(run: Run, instance: Instance, verdict: ScenarioVerdict) -> str:
    with instance.open_services() as services:
        account, token = factories.create_account(services)
        # Few writes, so that ten seconds suffice for a backup and its restore beside the server.
        clients = OrderingClients(
            AtsClient(instance.port, token),
            {"test_id": factories.create_test(services)},
            delay_seconds=WRITE_DELAY_SECONDS,
        )
        candidate = RecordingCandidate(
            services,
            factories.place_order(
                services, account, factories.create_interview(services), "interview"
            ),
        )
        backups = BackupRound(run, instance, services, clients, candidate, verdict)
        with instance.start_server() as server, candidate.running():
            server.wait_until_ready()
            threads = clients.order_until_killed(10)
            backup_seconds = [
                backups.make_backup(number)
                for number in range(SHORT_BACKUP_COUNT if run.short else LONG_BACKUP_COUNT)
            ]
            server.kill()
            for thread in threads:
                thread.join()
    verdict.problems += clients.errors
    mean_seconds = sum(backup_seconds) / len(backup_seconds)
    return (
        f"{len(backup_seconds)} backups on {services.db.url.get_backend_name()}, "
        f"{mean_seconds:.1f} s each, {len(clients.acknowledged):,} orders and "
        f"{len(candidate.acknowledged):,} recordings at the end"
    )


def backups(run: Run) -> ScenarioVerdict:
    """Every backup can be restored, and holds all that was acknowledged before it began."""
    verdict = ScenarioVerdict("")
    figures = [_back_up_instance(run, Instance(run.create_folder("sqlite")), verdict)]
    if not run.short:
        with open_postgres_instance(run, "postgresql") as (instance, _):
            figures.append(_back_up_instance(run, instance, verdict))
    verdict.figures = "; ".join(figures)
    return verdict
