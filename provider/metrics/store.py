"""What every process has counted, kept in the database, so that any one can tell it of all.

Each process writes its own row over and over. The rows of those that ended are put together into
one, so that no figure ever falls. A process that stood still for so long that its row is gone goes
on with a new one, for what it has counted since.
"""

import socket
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.metrics import samples
from provider.metrics.recorder import Meter
from provider.metrics.samples import Counts
from provider.storage import secrets
from provider.storage.database import Base, Database

ENDED = timedelta(minutes=10)  # without a word, and a process's row is put to those that ended


class Tally(Base):
    """What one process counted, or several that have ended."""

    __tablename__ = "tallies"

    process: Mapped[str] = mapped_column(String(22), primary_key=True)
    machine: Mapped[str] = mapped_column(String(255))  # empty where several ended
    at: Mapped[datetime]
    counted: Mapped[list[Any]] = mapped_column(JSON)


class Ledger:
    """Keeps what a meter counts in its process's row, and adds up all rows."""

    def __init__(self, db: Database, meter: Meter) -> None:
        self._db, self._meter = db, meter
        self._lock = threading.Lock()
        self._machine = socket.gethostname()[:255]
        self._process = secrets.generate_public_id()
        self._base: Counts = {}  # stands in a row that is this process's no more
        self._sent: Counts | None = None  # what the row holds, if it is there
        self._others: Counts = {}

    def keep(self, now: datetime) -> None:
        """Write down what was counted, if that is anything new, and put together what ended."""
        with self._lock:
            self._keep(now)

    def all(self, now: datetime) -> Counts:
        """Return what all processes counted; at most seconds old of others.

        Where there are several it is what all of them can read, so that the figures do not fall
        when now one is asked and now another. When the database fails, that error: see `known`.
        """
        with self._lock:
            if not self._db.is_sqlite:
                self._keep(now)
            with self._db.reading() as session:
                rows = session.scalars(select(Tally)).all()
            if self._sent is not None and not any(row.process == self._process for row in rows):
                self._begin_anew()
            self._others = _sum([row for row in rows if row.process != self._process])
        return self.known()

    def known(self) -> Counts:
        """Return what was counted here, and what was last read of others."""
        return samples.add((self._others, self._own(self._meter.counted())))

    def _keep(self, now: datetime) -> None:
        counted = self._meter.counted()
        if counted == self._sent:
            return
        with self._db.writing() as session:
            if not self._rewrite(session, counted, now):
                if self._sent is not None:
                    self._begin_anew()
                session.add(self._row(counted, now))
            self._put_together(session, now)
            # Before the commit, of which one may never hear: nothing is ever counted twice.
            self._sent = counted

    def _rewrite(self, session: Session, counted: Counts, now: datetime) -> bool:
        mine = update(Tally).where(Tally.process == self._process).returning(Tally.process)
        values = {"at": now, "counted": samples.dump(self._own(counted))}
        return session.scalar(mine.values(values)) is not None

    def _row(self, counted: Counts, now: datetime) -> Tally:
        kept = samples.dump(self._own(counted))
        return Tally(process=self._process, machine=self._machine, at=now, counted=kept)

    def _begin_anew(self) -> None:
        self._process = secrets.generate_public_id()
        self._base, self._sent = self._sent or {}, None

    def _own(self, counted: Counts) -> Counts:
        return samples.less(counted, self._base)

    def _put_together(self, session: Session, now: datetime) -> None:
        # Who else does it at the same time finds these rows locked and leaves them out.
        old = session.scalars(
            select(Tally)
            .where(Tally.at < now - ENDED, Tally.process != self._process)
            .order_by(Tally.machine, Tally.process)  # those put together before first
            .with_for_update(skip_locked=True)
        ).all()
        if len(old) < 2:
            return
        kept = samples.dump(samples.of_few_hosts(_sum(old)))
        last = max(row.at for row in old)
        session.add(Tally(process=secrets.generate_public_id(), machine="", at=last, counted=kept))
        for row in old:
            session.delete(row)


def _sum(rows: Sequence[Tally]) -> Counts:
    return samples.add(samples.load(row.counted) for row in rows)
