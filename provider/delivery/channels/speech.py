"""Captions: the configured engine transcribes a recording."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.kinds.interview import READY, Interview, Recording
from provider.core.kinds.interview.captions import STAFF, Cue, save_captions, write_cues
from provider.core.kinds.interview.speech import find_engine, write_sound
from provider.delivery.channels.base import Channel, prepare_or_error
from provider.errors import Invalid, NotFound, Unavailable
from provider.outbox import SPEECH, Claim, Outcome
from provider.services import Services

LEASE = timedelta(minutes=40)  # longer than the time limits of both programs together


@dataclass(frozen=True)
class SpeechDelivery:
    """A recording without captions."""

    services: Services
    public_id: str
    media_key: str
    actor: str
    is_ready: bool
    body: None = None  # the payload says everything

    def send(self) -> Outcome:
        """Transcribe the recording and store the captions; those of the staff stay."""
        name = self.services.settings.speech_engine
        engine_class = find_engine(name)
        if engine_class is None:
            return Outcome("rejected", error=f"There is no speech engine “{name}”")
        if not self.is_ready:
            return Outcome("rejected", error="The recording is not processed, or is deleted")
        try:
            engine = engine_class()
            with TemporaryDirectory(prefix="speech-") as folder:
                source, sound = Path(folder) / "source", Path(folder) / "sound.wav"
                self.services.media.fetch(self.media_key, source)
                write_sound(source, sound)
                cues = engine.transcribe(sound)
        except NotFound:
            return Outcome("rejected", error="The recording's file no longer exists")
        except Invalid as error:
            return Outcome("rejected", error=str(error))
        except Unavailable as error:
            return Outcome("retry", error=str(error), failure_scope="destination")
        if not cues:
            return Outcome("delivered", response_excerpt="No words were found")
        return self._store(cues, engine.language, name)

    def _store(self, cues: Sequence[Cue], language: str, source: str) -> Outcome:
        with self.services.db.writing() as session:
            named = select(Recording).where(Recording.public_id == self.public_id)
            recording = session.scalars(named).one_or_none()
            if recording is None or recording.is_deleted:
                return Outcome("rejected", error="The recording no longer exists")
            Interview.find(session, recording.interview.public_id, lock=True)
            session.refresh(recording, ["caption"])
            if recording.caption and recording.caption.source == STAFF:
                return Outcome("delivered", response_excerpt="The captions of the staff stay")
            text = write_cues(cues)
            save_captions(recording, text, language, source, self.actor, self.services.now())
        return Outcome("delivered", response_excerpt=f"{len(cues)} cues")


class SpeechChannel(Channel):
    """Transcribes recordings."""

    name = SPEECH
    lease = LEASE
    max_concurrent_sends = 1  # an engine uses every core
    has_private_responses = False  # a response has no words of the candidate

    def prepare(
        self, session: Session, claims: Sequence[Claim]
    ) -> list[SpeechDelivery | Exception]:
        return [prepare_or_error(self._prepare, session, claim) for claim in claims]

    def _prepare(self, session: Session, claim: Claim) -> SpeechDelivery:
        payload = claim.get_payload(self.services.secret_box)
        is_named = Recording.public_id == payload["recording"]
        recording = session.scalars(select(Recording).where(is_named)).one()
        return SpeechDelivery(
            self.services,
            recording.public_id,
            recording.playable_key,
            payload["actor"],
            recording.state == READY,
        )
