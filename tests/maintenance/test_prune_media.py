"""Files that no row names: found and deleted a day later, and nothing else is."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from provider import maintenance
from provider.cli import main
from provider.config import Settings
from provider.core.kinds.interview import READY, Interview, Recording
from provider.errors import Conflict
from provider.maintenance.prune_media import UPLOAD_GRACE_PERIOD
from provider.services import Services
from provider.storage.secrets import generate_public_id
from tests import interview_factories
from tests.factories import ManualClock
from tests.s3_server import Bucket
from tests.s3_server import s3_bucket as s3_bucket
from tests.s3_server import s3_server as s3_server

pytestmark = pytest.mark.machine_time  # a store notes it of its files


@pytest.fixture(params=["disk", "bucket"])
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    if request.param == "disk":
        return settings
    s3_bucket: Bucket = request.getfixturevalue("s3_bucket")
    return replace(settings, media_url=s3_bucket.url)


def named(services: Services) -> set[str]:
    """Lay down a recording with its files as its row names them, and return their keys."""
    order = interview_factories.place_interview(services)
    with services.db.writing() as session:
        interview = Interview.find(session, order)
        recording = Recording(
            order_id=interview.id,
            question="why",
            take=1,
            mime=interview_factories.WEBM_MIME_TYPE,
            size=1,
            sha256="0" * 64,
            state=READY,
            created_at=services.now(),
        )
        session.add(recording)
        session.flush()
        keys = {recording.original_key, recording.copy_key, recording.poster_key}
    for key in keys:
        services.media.put(key, [b"film"])
    return keys


def left_behind(services: Services) -> str:
    """Keep a recording's file of which no row says anything."""
    key = f"recordings/{generate_public_id()}/original"
    services.media.put(key, [b"left"])
    return key


def unnamed(services: Services) -> list[tuple[str, int]]:
    return maintenance.find_unreferenced_files(services.db, services.media, services.now())


def test_what_no_row_names_is_found_a_day_later(services: Services, clock: ManualClock) -> None:
    named(services)
    key = left_behind(services)
    clock.advance(UPLOAD_GRACE_PERIOD - timedelta(minutes=1))
    assert unnamed(services) == [], "an upload may still be on its way"
    clock.advance(timedelta(minutes=2))
    assert unnamed(services) == [(key, 4)]


def test_what_does_not_look_like_a_recording_of_ours_is_left_alone(
    services: Services, clock: ManualClock
) -> None:
    named(services)
    others = (f"other/{left_behind(services)}", "recordings/notes.txt", "logos/acme/original")
    for key in others:
        services.media.put(key, [b"x"])
    clock.advance(timedelta(days=2))
    assert [key.count("/") for key, _ in unnamed(services)] == [2]
    assert not {key for key, _ in unnamed(services)} & set(others)


def test_a_place_that_holds_nothing_of_this_database_is_not_touched(
    services: Services, clock: ManualClock
) -> None:
    left_behind(services)
    clock.advance(timedelta(days=2))
    with pytest.raises(Conflict, match="is that the right place"):
        unnamed(services)


def test_the_command_says_what_it_would_delete_and_deletes_it_once(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept, _ = named(services), left_behind(services)
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path))
    monkeypatch.setenv("PROVIDER_DATABASE_URL", services.settings.database_url)
    monkeypatch.setenv("PROVIDER_SECRET_KEY", "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s")
    monkeypatch.setenv("PROVIDER_MEDIA_URL", services.settings.media_url)
    clock.advance(timedelta(days=2))

    def purge(*words: str) -> str:
        said = CliRunner().invoke(main, ["media", "prune", *words], obj=clock)
        assert said.exit_code == 0, said.output
        return said.stdout

    assert purge("--dry-run") == "Would delete 1 unreferenced file, 4 bytes.\n"
    assert len(list(services.media.list_files())) == 4
    assert json.loads(purge("--json")) == {"files": 1, "bytes": 4, "deleted": True}
    assert set(dict(services.media.list_files())) == kept
    assert purge() == "Deleted 0 unreferenced files, 0 bytes.\n"
