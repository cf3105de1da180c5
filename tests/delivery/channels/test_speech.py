"""Transcription: an engine writes captions, and never replaces those of the staff."""

import re
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from sqlalchemy import select

from provider.config import Settings
from provider.core.kinds.interview import BROKEN, Interview, speech
from provider.core.kinds.interview.answers import Caption
from provider.core.kinds.interview.captions import STAFF, Cue, request_captions, save_captions
from provider.core.kinds.interview.speech import ENGINES, MoonshineEngine, find_engine, write_sound
from provider.delivery import Dispatcher
from provider.errors import Invalid, Unavailable
from provider.outbox import Message
from provider.services import Services
from tests import interview_factories

STAFF_TEXT = "WEBVTT\n\n00:00.000 --> 00:01.000\nTyped by a person\n"


class FakeEngine:
    """An engine that tells how long the sound was; `error` is raised instead."""

    language = "en-GB"
    error: ClassVar[Exception | None] = None
    cues: ClassVar[Sequence[Cue] | None] = None

    def transcribe(self, sound: Path) -> Sequence[Cue]:
        if self.error:
            raise self.error
        if self.cues is not None:
            return self.cues
        with wave.open(str(sound), "rb") as file:
            seconds = file.getnframes() / file.getframerate()
            return [Cue(0, 1, f"{file.getnchannels()} channel"), Cue(1, seconds, "the end")]


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "fake", FakeEngine)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    object.__setattr__(settings, "speech_engine", "fake")
    return settings


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def answer(services: Services) -> tuple[str, str]:
    """Return an interview and its answer to the first question."""
    interview, recordings = interview_factories.submitted_interview(services)
    return interview, recordings[1]


def transcribe(services: Services, dispatcher: Dispatcher, answer: tuple[str, str]) -> Message:
    """Ask for captions; return the message after one attempt."""
    interview, recording = answer
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        take = order.find_recording(recording)
        request_captions(session, take, "sam@provider.test", services.now())
        queue = order.queue_name("speech")
    dispatcher.drain(queue)
    with services.db.reading() as session:
        message = session.scalars(
            select(Message).where(Message.topic == "transcribe").order_by(Message.id.desc())
        ).first()
        assert message
        assert message.attempt_history is not None
        return message


def read_caption(services: Services, answer: tuple[str, str]) -> Caption | None:
    with services.db.reading() as session:
        return Interview.find(session, answer[0]).find_recording(answer[1]).caption


def test_engine_writes_captions_of_the_whole_sound(
    services: Services, dispatcher: Dispatcher, answer: tuple[str, str]
) -> None:
    message = transcribe(services, dispatcher, answer)
    assert (message.state, message.attempts) == ("delivered", 1)
    assert message.attempt_history[0].response_excerpt == "2 cues"
    caption = read_caption(services, answer)
    assert caption
    assert (caption.language, caption.source, caption.actor) == (
        "en-GB",
        "fake",
        "sam@provider.test",
    )
    assert "1 channel" in caption.text
    assert re.search(r"--> 00:00:0(1\.9|2\.0)", caption.text)  # the video lasts two seconds


def test_captions_of_staff_stay(
    services: Services, dispatcher: Dispatcher, answer: tuple[str, str]
) -> None:
    with services.db.writing() as session:
        take = Interview.find(session, answer[0]).find_recording(answer[1])
        save_captions(take, STAFF_TEXT, "en", STAFF, "ann@provider.test", services.now())
    assert transcribe(services, dispatcher, answer).state == "delivered"
    caption = read_caption(services, answer)
    assert caption
    assert "Typed by a person" in caption.text


@pytest.mark.parametrize(
    ("error", "state"), [(Unavailable("no memory"), "waiting"), (Invalid("no speech"), "parked")]
)
def test_error_of_the_engine_is_retried_or_given_up(
    services: Services,
    dispatcher: Dispatcher,
    answer: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    state: str,
) -> None:
    monkeypatch.setattr(FakeEngine, "error", error)
    message = transcribe(services, dispatcher, answer)
    assert (message.state, message.attempts) == (state, 1)
    assert read_caption(services, answer) is None


def test_silence_gives_no_captions(
    services: Services,
    dispatcher: Dispatcher,
    answer: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeEngine, "cues", ())
    message = transcribe(services, dispatcher, answer)
    assert message.attempt_history[0].response_excerpt == "No words were found"
    assert read_caption(services, answer) is None


@pytest.mark.parametrize("change", ["broken", "no engine", "file gone"])
def test_recording_that_cannot_be_transcribed_is_given_up(
    services: Services, dispatcher: Dispatcher, answer: tuple[str, str], change: str
) -> None:
    with services.db.writing() as session:
        take = Interview.find(session, answer[0]).find_recording(answer[1])
        if change == "broken":
            take.state = BROKEN
        folder = take.folder
    if change == "file gone":
        services.media.delete_folder(folder)
    if change == "no engine":
        object.__setattr__(services.settings, "speech_engine", "another")
    assert transcribe(services, dispatcher, answer).state == "parked"
    assert read_caption(services, answer) is None


@pytest.mark.parametrize("content", [b"", b"no video", b"\x1aE\xdf\xa3" + b"\0" * 1000])
def test_write_sound_refuses_damaged_files(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    with pytest.raises(Invalid, match="no sound"):
        write_sound(source, tmp_path / "sound.wav")


def test_find_engine_knows_the_registered_names() -> None:
    assert find_engine("fake") is FakeEngine
    assert find_engine("moonshine") is MoonshineEngine
    assert find_engine("") is None
    assert find_engine("nothing") is None


def test_missing_engine_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"install provider\[speech\]"):
        MoonshineEngine().transcribe(tmp_path / "sound.wav")
