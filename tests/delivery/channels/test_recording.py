"""The copy that seeks at once: made by the courier, once or twice, or not at all."""

from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from sqlalchemy import select

from provider.core.kinds.interview import BROKEN, READY, Interview, Recording
from provider.delivery import Dispatcher
from provider.delivery.channels.recording import RecordingChannel, RecordingDelivery
from provider.errors import NotFound
from provider.outbox import Message, claim, history, requeue
from provider.services import Services
from provider.storage import secrets
from tests import factories
from tests.core.kinds.interview.test_remux import recorded

LANE = "1/media"


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
    """Save a take as the page does; return the recording's public id."""
    new = secrets.generate_public_id()
    kept = services.media.put(f"recordings/{new}/original", [data])
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.start(session, services.now())
        order.add_recording(session, "why", new, mime, kept, services.now())
    return new


def recording(services: Services, public_id: str) -> Recording:
    with services.db.reading() as session:
        return session.scalars(select(Recording).where(Recording.public_id == public_id)).one()


def message(services: Services) -> tuple[str, int]:
    with services.db.reading() as session:
        found = session.scalars(select(Message).where(Message.topic == "remux")).one()
        return found.state, found.attempts


def test_a_take_becomes_a_copy_that_seeks_with_its_length_and_a_poster(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    public_id = save(services, interview, recorded(tmp_path, "webm").read_bytes())
    assert dispatcher.drain(LANE) == 1
    found = recording(services, public_id)
    assert (found.state, found.playable_key) == (READY, found.copy_key)
    assert found.seconds == pytest.approx(2, abs=0.3)
    services.media.fetch(found.copy_key, tmp_path / "copy")
    with av.open(tmp_path / "copy") as copy:
        assert copy.duration
    assert bytes(next(services.media.read_range(found.poster_key, 0, 3))) == b"\xff\xd8\xff"
    assert services.media.size(found.original_key)  # the bytes as they came stay
    assert message(services) == ("delivered", 1)


def test_a_take_of_sound_alone_is_copied_without_a_poster(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    sound = recorded(tmp_path, "webm", picture=False).read_bytes()
    public_id = save(services, interview, sound)
    dispatcher.drain(LANE)
    found = recording(services, public_id)
    assert (found.state, found.playable_key) == (READY, found.copy_key)
    assert message(services) == ("delivered", 1)
    with pytest.raises(NotFound):
        services.media.size(found.poster_key)


def test_doing_it_twice_changes_nothing(
    services: Services, interview: str, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    public_id = save(services, interview, recorded(tmp_path, "mp4").read_bytes(), "video/mp4")
    with services.db.writing() as session:
        (claimed,) = claim(session, LANE, services.now(), 1)
        (reel,) = RecordingChannel(services).prepare(session, [claimed])
    assert isinstance(reel, RecordingDelivery)
    assert reel.send() == reel.send()
    found = recording(services, public_id)
    assert found.state == READY
    assert found.seconds == pytest.approx(2, abs=0.3)


def test_a_file_that_cannot_be_read_is_broken_and_not_tried_for_ever(
    services: Services, dispatcher: Dispatcher, interview: str
) -> None:
    public_id = save(services, interview, b"#EXTM3U\nfile:///etc/passwd\n")
    dispatcher.drain(LANE)
    found = recording(services, public_id)
    assert (found.state, found.seconds, found.playable_key) == (BROKEN, None, found.original_key)
    assert message(services) == ("delivered", 1)


def test_a_file_that_is_gone_parks_its_message_where_staff_see_it(
    services: Services, dispatcher: Dispatcher, interview: str
) -> None:
    public_id = save(services, interview, b"soon gone")
    services.media.delete(f"recordings/{public_id}/original")
    dispatcher.drain(LANE)
    assert message(services) == ("parked", 1)


def test_nothing_is_left_in_the_temporary_folder(
    services: Services,
    dispatcher: Dispatcher,
    interview: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rest = tmp_path / "temporary"
    rest.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(rest))
    save(services, interview, recorded(tmp_path, "webm").read_bytes())
    dispatcher.drain(LANE)
    assert list(rest.iterdir()) == []


def test_a_parked_copy_stands_in_its_orders_story_and_can_be_made_again(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    public_id = save(services, interview, b"soon gone")
    services.media.delete(f"recordings/{public_id}/original")
    dispatcher.drain(LANE)
    services.media.put(
        f"recordings/{public_id}/original", [recorded(tmp_path, "webm").read_bytes()]
    )
    with services.db.writing() as session:
        (parked,) = [each for each in history(session, interview) if each.topic == "remux"]
        requeue(session, parked, services.now())
    dispatcher.drain(LANE)
    assert recording(services, public_id).state == READY


def test_a_take_that_waits_holds_no_other_back(
    services: Services, dispatcher: Dispatcher, interview: str, tmp_path: Path
) -> None:
    first = save(services, interview, b"first")
    second = save(services, interview, recorded(tmp_path, "webm").read_bytes())
    assert dispatcher.drain(LANE) == 2
    assert [recording(services, each).state for each in (first, second)] == [BROKEN, READY]
