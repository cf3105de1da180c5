"""Recordings as messages of the outbox: each is copied once so that it seeks at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from provider.core.kinds.interview import BROKEN, READY, Recording
from provider.core.kinds.interview.remux import remux
from provider.delivery.channels.base import Channel, prepare_or_error
from provider.errors import Invalid, NotFound, Unavailable
from provider.outbox import Claim, Outcome
from provider.services import Services
from provider.storage.media import CHUNK_BYTES


@dataclass(frozen=True)
class RecordingDelivery:
    """A recording that waits for its copy and its poster."""

    services: Services
    public_id: str
    original_key: str
    copy_key: str
    poster_key: str
    body: bytes = b""

    def send(self) -> Outcome:
        """Make the copy and the poster; doing it twice makes the same again."""
        with TemporaryDirectory(prefix="remux-") as folder:
            try:
                return self._process(Path(folder))
            except NotFound:
                return Outcome("rejected", error="The recording's file is not there any more")
            except Unavailable as error:
                return Outcome("retry", error=str(error), failure_scope="destination")
            except Invalid as error:
                self._update_recording(BROKEN, None)
                return Outcome("delivered", response_excerpt=str(error))

    def _process(self, folder: Path) -> Outcome:
        source, copy, poster = (folder / name for name in ("source", "copy", "poster.jpg"))
        self.services.media.fetch(self.original_key, source)
        made = remux(source, copy, poster)
        if made.has_poster:
            self.services.media.put(self.poster_key, _read_chunks(poster))
        self.services.media.put(self.copy_key, _read_chunks(copy))
        self._update_recording(READY, made.seconds)
        return Outcome("delivered", response_excerpt=f"{made.seconds:.1f} seconds")

    def _update_recording(self, state: str, seconds: float | None) -> None:
        with self.services.db.writing() as session:
            session.execute(
                update(Recording)
                .where(Recording.public_id == self.public_id)
                .values(state=state, seconds=seconds)
            )


class RecordingChannel(Channel):
    """Makes recordings watchable."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[RecordingDelivery | Exception]:
        """Find the recordings that messages name."""
        return [prepare_or_error(self._prepare, session, claim) for claim in claims]

    def _prepare(self, session: Session, claim: Claim) -> RecordingDelivery:
        named = Recording.public_id == claim.payload["recording"]
        found = session.scalars(select(Recording).where(named)).one()
        return RecordingDelivery(
            self.services, found.public_id, found.original_key, found.copy_key, found.poster_key
        )


def _read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece
