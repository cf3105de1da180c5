"""Pruning of media: files that no row names are deleted after a day, and no others."""

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

pytestmark = pytest.mark.machine_time  # stores date their files by the machine's clock


@pytest.fixture(params=["disk", "bucket"])
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    if request.param == "disk":
        return settings
    s3_bucket: Bucket = request.getfixturevalue("s3_bucket")
    return replace(settings, media_url=s3_bucket.url)


def store_recording(services: Services) -> set[str]:
    """Store a recording with its row and its files; return the keys of the files."""
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


def store_unreferenced_file(services: Services) -> str:
    """Store a recording's file without a row; return its key."""
    key = f"recordings/{generate_public_id()}/original"
    services.media.put(key, [b"data"])
    return key


def find_unreferenced(services: Services) -> list[tuple[str, int]]:
    return maintenance.find_unreferenced_files(services.db, services.media, services.now())


def test_unreferenced_file_is_found_after_a_day(services: Services, clock: ManualClock) -> None:
    store_recording(services)
    key = store_unreferenced_file(services)
    clock.advance(UPLOAD_GRACE_PERIOD - timedelta(minutes=1))
    assert find_unreferenced(services) == [], "an upload may still get its row"
    clock.advance(timedelta(minutes=2))
    assert find_unreferenced(services) == [(key, 4)]


def test_files_with_other_keys_are_ignored(services: Services, clock: ManualClock) -> None:
    store_recording(services)
    others = (
        f"other/{store_unreferenced_file(services)}",
        "recordings/notes.txt",
        "logos/acme/original",
    )
    for key in others:
        services.media.put(key, [b"x"])
    clock.advance(timedelta(days=2))
    assert [key.count("/") for key, _ in find_unreferenced(services)] == [2]
    assert not {key for key, _ in find_unreferenced(services)} & set(others)


def test_store_without_any_referenced_file_is_refused(
    services: Services, clock: ManualClock
) -> None:
    store_unreferenced_file(services)
    clock.advance(timedelta(days=2))
    with pytest.raises(Conflict, match="belongs to this database"):
        find_unreferenced(services)


def test_prune_command_deletes_unreferenced_files_once(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    referenced, _ = store_recording(services), store_unreferenced_file(services)
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path))
    monkeypatch.setenv("PROVIDER_DATABASE_URL", services.settings.database_url)
    monkeypatch.setenv("PROVIDER_SECRET_KEY", "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s")
    monkeypatch.setenv("PROVIDER_MEDIA_URL", services.settings.media_url)
    clock.advance(timedelta(days=2))

    def prune(*words: str) -> str:
        result = CliRunner().invoke(main, ["media", "prune", *words], obj=clock)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert prune("--dry-run") == "Would delete 1 unreferenced file, 4 bytes.\n"
    assert len(list(services.media.list_files())) == 4
    assert json.loads(prune("--json")) == {"files": 1, "bytes": 4, "deleted": True}
    assert set(dict(services.media.list_files())) == referenced
    assert prune() == "Deleted 0 unreferenced files, 0 bytes.\n"
