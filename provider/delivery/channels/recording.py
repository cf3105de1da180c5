"""Recordings: each is remuxed to a copy in which a player can seek."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from provider.core.kinds.interview import BROKEN, READY, SENT, Interview, Recording
from provider.core.kinds.interview.remux import remux
from provider.delivery.channels.base import Channel, prepare_or_error
from provider.errors import Invalid, NotFound, Unavailable
from provider.outbox import MEDIA, Claim, Outcome
from provider.services import Services
from provider.storage.media import CHUNK_BYTES

LEASE = timedelta(minutes=15)  # a recording is a large file: fetched, copied and stored
MAX_CLAIMS = 2  # a process may die twice during a recording: once by chance
FOLDER_PREFIX = "remux-"
# A process that is killed leaves its folder. No attempt lasts several leases.
LEFTOVER_AGE_SECONDS = 4 * LEASE.total_seconds()

log = structlog.get_logger()


@dataclass(frozen=True)
class RecordingDelivery:
    """A recording without its copy and its poster image."""

    services: Services
    public_id: str
    original_key: str
    copy_key: str
    poster_key: str
    sound_only: bool = False
    unsettled_claims: int = 1
    body: None = None  # the payload says everything

    def send(self) -> Outcome:
        """Make the copy and the poster; a repetition gives the same files."""
        delete_leftover_folders()
        if self.unsettled_claims > MAX_CLAIMS:
            return self._mark_broken("Processing the recording stopped the server twice")
        try:
            with TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
                return self._process(Path(folder))
        except NotFound:
            return Outcome("rejected", error="The recording's file no longer exists")
        except Unavailable as error:
            return Outcome("retry", error=str(error), failure_scope="destination")
        except Invalid as error:
            return self._mark_broken(str(error))

    def _process(self, folder: Path) -> Outcome:
        source, copy, poster = (folder / name for name in ("source", "copy", "poster.jpg"))
        self.services.media.fetch(self.original_key, source)
        remuxed = remux(
            source,
            copy,
            poster,
            sound_only=self.sound_only,
            shrink=self.services.settings.shrinks_recordings,
        )
        self.services.media.put(self.poster_key, _read_chunks(poster))
        self.services.media.put(self.copy_key, _read_chunks(copy))
        self._update_recording(READY, remuxed.seconds)
        summary = f"{remuxed.seconds:.1f} seconds, {remuxed.width} × {remuxed.height} pixels"
        if remuxed.damaged:
            log.warning("recording_mended", recording=self.public_id, packets=remuxed.damaged)
            summary = f"{summary}, {remuxed.damaged} damaged packets left out"
        return Outcome("delivered", response_excerpt=summary)

    def _mark_broken(self, reason: str) -> Outcome:
        log.warning("recording_broken", recording=self.public_id, reason=reason)
        self._update_recording(BROKEN, None)
        return Outcome("delivered", response_excerpt=reason)

    def _update_recording(self, state: str, seconds: float | None) -> None:
        query = update(Recording).where(Recording.public_id == self.public_id)
        if state == BROKEN:  # an attempt that lost its lease may have made the copy since
            query = query.where(Recording.state == SENT)
        with self.services.db.writing() as session:
            session.execute(query.values(state=state, seconds=seconds))
            if state == BROKEN:
                named = select(Recording).where(Recording.public_id == self.public_id)
                order = session.scalars(named).one().interview.public_id
                Interview.find(session, order, lock=True).replace_broken_answer(self.public_id)


class RecordingChannel(Channel):
    """Processes recordings for playback."""

    name = MEDIA
    lease = LEASE
    max_concurrent_sends = 2  # a remux uses a whole core

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        delete_leftover_folders()  # a process that was killed may have left one

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[RecordingDelivery | Exception]:
        return [prepare_or_error(self._prepare, session, claim) for claim in claims]

    def _prepare(self, session: Session, claim: Claim) -> RecordingDelivery:
        is_named = Recording.public_id == claim.get_payload(self.services.secret_box)["recording"]
        recording = session.scalars(select(Recording).where(is_named)).one()
        return RecordingDelivery(
            self.services,
            recording.public_id,
            recording.original_key,
            recording.copy_key,
            recording.poster_key,
            recording.mime.startswith("audio/"),
            claim.unsettled_claims,
        )


def delete_leftover_folders() -> None:
    """Delete the folders that killed processes left in this machine's temporary folder."""
    for folder in Path(gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with suppress(OSError):  # another process may delete the folder at the same time
            status = folder.lstat()
            # A file's time is the machine's, and so is this clock.
            is_old = time.time() - status.st_mtime > LEFTOVER_AGE_SECONDS
            if is_old and status.st_uid == os.getuid():
                shutil.rmtree(folder)


def _read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
