"""Recordings as messages of the outbox: each is copied once so that it seeks at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from provider.courier.parcel import Sink, attempted
from provider.errors import Invalid, NotFound, Unready
from provider.house import House
from provider.kinds.interview import BROKEN, READY, Recording
from provider.kinds.interview.remux import remux
from provider.media import CHUNK
from provider.outbox import Claim, Outcome


@dataclass(frozen=True)
class Reel:
    """A recording that waits for its copy and its poster."""

    house: House
    public_id: str
    original: str
    copy: str
    poster: str
    rendered: bytes = b""

    def send(self) -> Outcome:
        """Make the copy and the poster; doing it twice makes the same again."""
        with TemporaryDirectory(prefix="remux-") as folder:
            try:
                return self._send(Path(folder))
            except NotFound:
                return Outcome("never", error="The recording's file is not there any more")
            except Unready as error:
                return Outcome("again", error=str(error), blame="route")
            except Invalid as error:
                self._note(BROKEN, None)
                return Outcome("done", answer=str(error))

    def _send(self, folder: Path) -> Outcome:
        source, copy, poster = (folder / name for name in ("source", "copy", "poster.jpg"))
        self.house.media.fetch(self.original, source)
        made = remux(source, copy, poster)
        if made.poster:
            self.house.media.keep(self.poster, _pieces(poster))
        self.house.media.keep(self.copy, _pieces(copy))
        self._note(READY, made.seconds)
        return Outcome("done", answer=f"{made.seconds:.1f} seconds")

    def _note(self, state: str, seconds: float | None) -> None:
        with self.house.db.writing() as session:
            session.execute(
                update(Recording)
                .where(Recording.public_id == self.public_id)
                .values(state=state, seconds=seconds)
            )


class MediaSink(Sink):
    """Makes recordings watchable."""

    def __init__(self, house: House) -> None:
        self.house = house

    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[Reel | Exception]:
        """Find the recordings that messages name."""
        return [attempted(self._prepare, session, claim) for claim in claims]

    def _prepare(self, session: Session, claim: Claim) -> Reel:
        named = Recording.public_id == claim.payload["recording"]
        found = session.scalars(select(Recording).where(named)).one()
        return Reel(self.house, found.public_id, found.original, found.copy, found.poster)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece
