"""The copy that seeks at once: made by the courier, once or twice, or not at all."""

from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from sqlalchemy import select

from provider import vault
from provider.courier import Courier
from provider.courier.media_sink import MediaSink, Reel
from provider.errors import NotFound
from provider.house import House
from provider.kinds.interview import BROKEN, READY, Interview, Recording
from provider.outbox import Message, claim, send_again, story
from tests import cast
from tests.kinds.test_remux import recorded

LANE = "1/media"


@pytest.fixture
def courier(house: House) -> Iterator[Courier]:
    courier = Courier(house)
    yield courier
    courier.stop()


@pytest.fixture
def interview(house: House) -> str:
    account_id, _ = cast.account(house)
    return cast.order(house, account_id, cast.interview(house), "interview")


def save(house: House, interview: str, data: bytes, mime: str = "video/webm") -> str:
    """Save a take as the page does; return the recording's public id."""
    new = vault.public_id()
    kept = house.media.keep(f"recordings/{new}/original", [data])
    with house.db.writing() as session:
        order = Interview.find(session, interview)
        order.start(session, house.now())
        order.record(session, "why", new, mime, kept, house.now())
    return new


def recording(house: House, public_id: str) -> Recording:
    with house.db.reading() as session:
        return session.scalars(select(Recording).where(Recording.public_id == public_id)).one()


def message(house: House) -> tuple[str, int]:
    with house.db.reading() as session:
        found = session.scalars(select(Message).where(Message.topic == "remux")).one()
        return found.state, found.attempts


def test_a_take_becomes_a_copy_that_seeks_with_its_length_and_a_poster(
    house: House, courier: Courier, interview: str, tmp_path: Path
) -> None:
    public_id = save(house, interview, recorded(tmp_path, "webm").read_bytes())
    assert courier.drain(LANE) == 1
    found = recording(house, public_id)
    assert (found.state, found.playable) == (READY, found.copy)
    assert found.seconds == pytest.approx(2, abs=0.3)
    house.media.fetch(found.copy, tmp_path / "copy")
    with av.open(tmp_path / "copy") as copy:
        assert copy.duration
    assert bytes(next(house.media.read(found.poster, 0, 3))) == b"\xff\xd8\xff"
    assert house.media.size(found.original)  # the bytes as they came stay
    assert message(house) == ("delivered", 1)


def test_a_take_of_sound_alone_is_copied_without_a_poster(
    house: House, courier: Courier, interview: str, tmp_path: Path
) -> None:
    sound = recorded(tmp_path, "webm", picture=False).read_bytes()
    public_id = save(house, interview, sound)
    courier.drain(LANE)
    found = recording(house, public_id)
    assert (found.state, found.playable) == (READY, found.copy)
    assert message(house) == ("delivered", 1)
    with pytest.raises(NotFound):
        house.media.size(found.poster)


def test_doing_it_twice_changes_nothing(
    house: House, interview: str, courier: Courier, tmp_path: Path
) -> None:
    public_id = save(house, interview, recorded(tmp_path, "mp4").read_bytes(), "video/mp4")
    with house.db.writing() as session:
        (claimed,) = claim(session, LANE, house.now(), 1)
        (reel,) = MediaSink(house).prepare(session, [claimed])
    assert isinstance(reel, Reel)
    assert reel.send() == reel.send()
    found = recording(house, public_id)
    assert found.state == READY
    assert found.seconds == pytest.approx(2, abs=0.3)


def test_a_file_that_cannot_be_read_is_broken_and_not_tried_for_ever(
    house: House, courier: Courier, interview: str
) -> None:
    public_id = save(house, interview, b"#EXTM3U\nfile:///etc/passwd\n")
    courier.drain(LANE)
    found = recording(house, public_id)
    assert (found.state, found.seconds, found.playable) == (BROKEN, None, found.original)
    assert message(house) == ("delivered", 1)


def test_a_file_that_is_gone_parks_its_message_where_staff_see_it(
    house: House, courier: Courier, interview: str
) -> None:
    public_id = save(house, interview, b"soon gone")
    house.media.drop(f"recordings/{public_id}/original")
    courier.drain(LANE)
    assert message(house) == ("parked", 1)


def test_nothing_is_left_in_the_temporary_folder(
    house: House, courier: Courier, interview: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = tmp_path / "temporary"
    rest.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(rest))
    save(house, interview, recorded(tmp_path, "webm").read_bytes())
    courier.drain(LANE)
    assert list(rest.iterdir()) == []


def test_a_parked_copy_stands_in_its_orders_story_and_can_be_made_again(
    house: House, courier: Courier, interview: str, tmp_path: Path
) -> None:
    public_id = save(house, interview, b"soon gone")
    house.media.drop(f"recordings/{public_id}/original")
    courier.drain(LANE)
    house.media.keep(f"recordings/{public_id}/original", [recorded(tmp_path, "webm").read_bytes()])
    with house.db.writing() as session:
        (parked,) = [each for each in story(session, interview) if each.topic == "remux"]
        send_again(session, parked, house.now())
    courier.drain(LANE)
    assert recording(house, public_id).state == READY


def test_a_take_that_waits_holds_no_other_back(
    house: House, courier: Courier, interview: str, tmp_path: Path
) -> None:
    first = save(house, interview, b"first")
    second = save(house, interview, recorded(tmp_path, "webm").read_bytes())
    assert courier.drain(LANE) == 2
    assert [recording(house, each).state for each in (first, second)] == [BROKEN, READY]
