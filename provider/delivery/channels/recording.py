"""Recordings: each is remuxed to a copy in which a player can seek."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from provider.core.kinds.interview import BROKEN, READY, Recording
from provider.core.kinds.interview.remux import remux
from provider.delivery.channels.base import Channel, prepare_or_error
from provider.errors import Invalid, NotFound, Unavailable
from provider.outbox import MEDIA, Claim, Outcome
from provider.services import Services
from provider.storage.media import CHUNK_BYTES


@dataclass(frozen=True)
class RecordingDelivery:
    """A recording without its copy and its poster image."""

    services: Services
    public_id: str
    original_key: str
    copy_key: str
    poster_key: str
    body: None = None  # the payload says everything

    def send(self) -> Outcome:
        """Make the copy and the poster; a repetition gives the same files."""
        with TemporaryDirectory(prefix="remux-") as folder:
            try:
                return self._process(Path(folder))
            except NotFound:
                return Outcome("rejected", error="The recording's file no longer exists")
            except Unavailable as error:
                return Outcome("retry", error=str(error), failure_scope="destination")
            except Invalid as error:
                self._update_recording(BROKEN, None)
                return Outcome("delivered", response_excerpt=str(error))

    def _process(self, folder: Path) -> Outcome:
        source, copy, poster = (folder / name for name in ("source", "copy", "poster.jpg"))
        self.services.media.fetch(self.original_key, source)
        remuxed = remux(source, copy, poster)
        if remuxed.has_poster:
            self.services.media.put(self.poster_key, _read_chunks(poster))
        self.services.media.put(self.copy_key, _read_chunks(copy))
        self._update_recording(READY, remuxed.seconds)
        return Outcome("delivered", response_excerpt=f"{remuxed.seconds:.1f} seconds")

    def _update_recording(self, state: str, seconds: float | None) -> None:
        with self.services.db.writing() as session:
            session.execute(
                update(Recording)
                .where(Recording.public_id == self.public_id)
                .values(state=state, seconds=seconds)
            )


class RecordingChannel(Channel):
    """Processes recordings for playback."""

    name = MEDIA
    lease = timedelta(minutes=15)  # a recording is a large file: fetched, copied and stored
    max_concurrent_sends = 2  # a remux uses a whole core

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
        )


def _read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
