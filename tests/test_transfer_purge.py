"""Files that no row names: found and deleted a day later, and nothing else is."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from provider import transfer
from provider.cli import main
from provider.config import Settings
from provider.errors import Conflict
from provider.house import House
from provider.kinds.interview import READY, Interview, Recording
from provider.transfer.purge import SETTLED
from provider.vault import public_id
from tests import film
from tests.bucket import Held
from tests.bucket import films as films
from tests.bucket import s3 as s3
from tests.cast import HandClock

pytestmark = pytest.mark.machine_time  # a store notes it of its files


@pytest.fixture(params=["disk", "bucket"])
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    if request.param == "disk":
        return settings
    films: Held = request.getfixturevalue("films")
    return replace(settings, media_url=films.url)


def named(house: House) -> set[str]:
    """Lay down a recording with its files as its row names them, and return their keys."""
    order = film.order(house)
    with house.db.writing() as session:
        interview = Interview.find(session, order)
        recording = Recording(
            order_id=interview.id, question="why", take=1, mime=film.WEBM, size=1, sha256="0" * 64,
            state=READY, created_at=house.now(),
        )  # fmt: skip
        session.add(recording)
        session.flush()
        keys = {recording.original, recording.copy, recording.poster}
    for key in keys:
        house.media.keep(key, [b"film"])
    return keys


def left_behind(house: House) -> str:
    """Keep a recording's file of which no row says anything."""
    key = f"recordings/{public_id()}/original"
    house.media.keep(key, [b"left"])
    return key


def unnamed(house: House) -> list[tuple[str, int]]:
    return transfer.unnamed(house.db, house.media, house.now())


def test_what_no_row_names_is_found_a_day_later(house: House, clock: HandClock) -> None:
    named(house)
    key = left_behind(house)
    clock.pass_(SETTLED - timedelta(minutes=1))
    assert unnamed(house) == [], "an upload may still be on its way"
    clock.pass_(timedelta(minutes=2))
    assert unnamed(house) == [(key, 4)]


def test_what_does_not_look_like_a_recording_of_ours_is_left_alone(
    house: House, clock: HandClock
) -> None:
    named(house)
    others = (f"other/{left_behind(house)}", "recordings/notes.txt", "logos/acme/original")
    for key in others:
        house.media.keep(key, [b"x"])
    clock.pass_(timedelta(days=2))
    assert [key.count("/") for key, _ in unnamed(house)] == [2]
    assert not {key for key, _ in unnamed(house)} & set(others)


def test_a_place_that_holds_nothing_of_this_database_is_not_touched(
    house: House, clock: HandClock
) -> None:
    left_behind(house)
    clock.pass_(timedelta(days=2))
    with pytest.raises(Conflict, match="is that the right place"):
        unnamed(house)


def test_the_command_says_what_it_would_delete_and_deletes_it_once(
    house: House, clock: HandClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept, _ = named(house), left_behind(house)
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path))
    monkeypatch.setenv("PROVIDER_DATABASE_URL", house.settings.database_url)
    monkeypatch.setenv("PROVIDER_SECRET_KEY", "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s")
    monkeypatch.setenv("PROVIDER_MEDIA_URL", house.settings.media_url)
    clock.pass_(timedelta(days=2))

    def purge(*words: str) -> str:
        said = CliRunner().invoke(main, ["purge", *words], obj=clock)
        assert said.exit_code == 0, said.output
        return said.stdout

    assert purge("--dry-run") == "Would delete 1 file that nothing names, 4 bytes.\n"
    assert len(list(house.media.keys())) == 4
    assert json.loads(purge("--json")) == {"files": 1, "bytes": 4, "deleted": True}
    assert set(dict(house.media.keys())) == kept
    assert purge() == "Deleted 0 files that nothing names, 0 bytes.\n"
