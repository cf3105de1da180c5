"""Processing of recordings: the seekable copy and the poster."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import pytest
from sqlalchemy import select

from provider.core.kinds.interview import BROKEN, READY, Interview, Recording, remux
from provider.delivery import Dispatcher
from provider.delivery.channels.recording import (
    LEFTOVER_AGE_SECONDS,
    RecordingChannel,
    RecordingDelivery,
)
from provider.errors import NotFound
from provider.outbox import Message, claim, history, requeue
from provider.services import Services
from provider.storage import secrets
from tests import factories
from tests.core.kinds.interview.recordings import recorded
from tests.factories import ManualClock

QUEUE = "1/media"


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def interview(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(
        services, account_id, factories.create_interview(services), "interview"
    )


def save(services: Services, interview: str, data: bytes, mime: str = "video/webm") -> str:
    """Save a recording as the page does; return its public id."""
    public_id = secrets.generate_public_id()
    stored = services.media.put(f"recordings/{public_id}/original", [data])
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.start(session, services.now())
        order.add_recording(session, "why", public_id, mime, stored, services.now())
    return public_id


def recording(services: Services, public_id: str) -> Recording:
    with services.db.reading() as session:
        return session.scalars(select(Recording).where(Recording.public_id == public_id)).one()


def message(services: Services) -> tuple[str, int]:
    with services.db.reading() as session:
        row = session.scalars(select(Message).where(Message.topic == "remux")).one()
        return row.state, row.attempts


def test_recording_gets_seekable_copy_duration_and_poster(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    public_id = save(services, interview, recorded(tmp_path, "webm").read_bytes())
    assert dispatcher.drain(QUEUE) == 1
    processed = recording(services, public_id)
    assert (processed.state, processed.playable_key) == (READY, processed.copy_key)
    assert processed.seconds == pytest.approx(2, abs=0.3)
    services.media.fetch(processed.copy_key, tmp_path / "copy")
    with av.open(tmp_path / "copy") as copy:
        assert copy.duration
    assert bytes(next(services.media.read_range(processed.poster_key, 0, 3))) == b"\xff\xd8\xff"
    assert services.media.size(processed.original_key)  # the original is not deleted
    assert message(services) == ("delivered", 1)


def test_processed_recording_has_no_body_that_could_be_removed(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    save(services, interview, recorded(tmp_path, "webm").read_bytes())
    assert dispatcher.drain(QUEUE) == 1
    with services.db.reading() as session:
        row = session.scalars(select(Message).where(Message.topic == "remux")).one()
        assert (row.body_encrypted, row.body_digest) == (None, None)


def test_sound_without_picture_becomes_broken(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    audio = recorded(tmp_path, "webm", picture=False).read_bytes()
    public_id = save(services, interview, audio)
    dispatcher.drain(QUEUE)
    processed = recording(services, public_id)
    assert (processed.state, processed.playable_key) == (BROKEN, processed.original_key)
    assert message(services) == ("delivered", 1)
    with pytest.raises(NotFound):
        services.media.size(processed.poster_key)


def test_broken_answer_is_replaced_by_the_newest_intact_take(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    intact = save(services, interview, recorded(tmp_path, "webm").read_bytes())
    dispatcher.drain(QUEUE)
    broken = save(services, interview, b"no recording")
    assert [recording(services, take).is_selected for take in (intact, broken)] == [False, True]
    dispatcher.drain(QUEUE)
    assert [recording(services, take).is_selected for take in (intact, broken)] == [True, False]


def test_send_twice_gives_the_same_result(
    services: Services, interview: str, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    public_id = save(services, interview, recorded(tmp_path, "mp4").read_bytes(), "video/mp4")
    with services.db.writing() as session:
        (claimed,) = claim(session, QUEUE, services.now(), 1)
        (delivery,) = RecordingChannel(services).prepare(session, [claimed])
    assert isinstance(delivery, RecordingDelivery)
    assert delivery.send() == delivery.send()
    processed = recording(services, public_id)
    assert processed.state == READY
    assert processed.seconds == pytest.approx(2, abs=0.3)


def test_unreadable_file_becomes_broken_and_is_not_retried(
    services: Services, dispatcher: Dispatcher, interview: str
) -> None:
    public_id = save(services, interview, b"#EXTM3U\nfile:///etc/passwd\n")
    dispatcher.drain(QUEUE)
    processed = recording(services, public_id)
    assert (processed.state, processed.seconds, processed.playable_key) == (
        BROKEN,
        None,
        processed.original_key,
    )
    assert message(services) == ("delivered", 1)


def test_missing_file_parks_the_message(
    services: Services, dispatcher: Dispatcher, interview: str
) -> None:
    public_id = save(services, interview, b"soon gone")
    services.media.delete(f"recordings/{public_id}/original")
    dispatcher.drain(QUEUE)
    assert message(services) == ("parked", 1)


def test_processing_leaves_no_temporary_files(
    services: Services,
    dispatcher: Dispatcher,
    interview: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    save(services, interview, recorded(tmp_path, "webm").read_bytes())
    dispatcher.drain(QUEUE)
    assert list(temporary.iterdir()) == []


def test_recording_that_ends_the_server_is_given_up(
    services: Services, clock: ManualClock, interview: str, tmp_path: Path
) -> None:
    public_id = save(services, interview, recorded(tmp_path, "webm").read_bytes())
    for _ in range(2):  # two processes that die without a word
        with services.db.writing() as session:
            assert claim(session, QUEUE, services.now(), 1, RecordingChannel.lease)
        clock.advance(RecordingChannel.lease)
    dispatcher = Dispatcher(services)
    dispatcher.drain(QUEUE)
    dispatcher.stop()
    assert recording(services, public_id).state == BROKEN
    assert message(services) == ("delivered", 1)


def test_recording_whose_server_died_once_is_processed(
    services: Services, clock: ManualClock, interview: str, tmp_path: Path
) -> None:
    public_id = save(services, interview, recorded(tmp_path, "webm").read_bytes())
    with services.db.writing() as session:
        assert claim(session, QUEUE, services.now(), 1, RecordingChannel.lease)
    clock.advance(RecordingChannel.lease)
    dispatcher = Dispatcher(services)
    dispatcher.drain(QUEUE)
    dispatcher.stop()
    assert recording(services, public_id).state == READY


def test_given_up_attempt_leaves_a_copy_made_since(
    services: Services, interview: str, tmp_path: Path, dispatcher: Dispatcher
) -> None:
    public_id = save(services, interview, recorded(tmp_path, "webm").read_bytes())
    with services.db.writing() as session:
        (claimed,) = claim(session, QUEUE, services.now(), 1)
        (late,) = RecordingChannel(services).prepare(session, [claimed])
        (given_up,) = RecordingChannel(services).prepare(
            session, [replace(claimed, unsettled_claims=3)]
        )
    assert isinstance(late, RecordingDelivery)
    assert isinstance(given_up, RecordingDelivery)
    late.send()
    given_up.send()
    assert recording(services, public_id).state == READY


def test_folders_of_killed_processes_are_deleted_at_the_start(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary_folder = tmp_path / "temporary"
    temporary_folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary_folder))
    for name, age_seconds in {
        "remux-old": LEFTOVER_AGE_SECONDS + 60,
        "remux-busy": 60,
        "other": LEFTOVER_AGE_SECONDS + 60,
    }.items():
        folder = temporary_folder / name
        folder.mkdir()
        (folder / "source").write_bytes(b"video")
        changed_at = time.time() - age_seconds
        os.utime(folder, (changed_at, changed_at))
    RecordingChannel(services)
    assert {folder.name for folder in temporary_folder.iterdir()} == {"remux-busy", "other"}


def test_all_runs_of_the_reader_end_within_the_lease() -> None:
    run_count = 2 * remux.MAX_RUNS + 1  # the encoder runs once, between two readings
    assert RecordingChannel.lease.total_seconds() > run_count * remux.TIMEOUT_SECONDS


def test_parked_recording_is_in_history_and_can_be_requeued(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    public_id = save(services, interview, b"soon gone")
    services.media.delete(f"recordings/{public_id}/original")
    dispatcher.drain(QUEUE)
    services.media.put(
        f"recordings/{public_id}/original", [recorded(tmp_path, "webm").read_bytes()]
    )
    with services.db.writing() as session:
        (parked,) = [entry for entry in history(session, interview) if entry.topic == "remux"]
        requeue(session, parked, services.now())
    dispatcher.drain(QUEUE)
    assert recording(services, public_id).state == READY


def test_broken_recording_does_not_block_others(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    first = save(services, interview, b"first")
    second = save(services, interview, recorded(tmp_path, "webm").read_bytes())
    assert dispatcher.drain(QUEUE) == 2
    assert [recording(services, public_id).state for public_id in (first, second)] == [
        BROKEN,
        READY,
    ]
