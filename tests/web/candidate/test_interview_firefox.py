"""An interview in Firefox with a fake camera: its recordings are saved and play."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.errors import Unavailable
from provider.storage.free_space import FULL_MESSAGE
from tests import factories
from tests.conftest import LiveServer
from tests.web.firefox import FIREFOX_PATH, Firefox, running_firefox
from tests.web.recording import (
    COUNT_KEPT_CHUNKS_SCRIPT,
    LONG_QUESTION,
    decode_pictures,
    list_recordings,
    order_interview,
)

KEPT_CHUNKS = f"({COUNT_KEPT_CHUNKS_SCRIPT})()"
SAVE_STATE = "document.querySelector('[data-saved]').innerText"


@pytest.fixture
def firefox_folder(tmp_path: Path) -> Path:
    """Return a folder for the profile of a Firefox; skip the test where Firefox is missing."""
    if not FIREFOX_PATH:
        if os.environ.get("CI"):
            pytest.fail("Firefox is missing: apt-get install firefox-esr")
        pytest.skip("Firefox is missing: apt-get install firefox-esr")
    return tmp_path


@pytest.fixture
def firefox(firefox_folder: Path) -> Iterator[Firefox]:
    with running_firefox(firefox_folder) as firefox:
        yield firefox


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    return order_interview(live_server.services, [LONG_QUESTION])


def start_recording(firefox: Firefox, live_server: LiveServer, public_id: str) -> None:
    firefox.open(factories.invitation_url(live_server.services, public_id))
    firefox.press("Try camera and microphone")
    firefox.press("Turn them on")
    firefox.press("Start the interview")
    firefox.press("Show the question")
    firefox.press("Record now")


def wait_for_chunks(firefox: Firefox, count: int) -> None:
    firefox.wait_until(f"{KEPT_CHUNKS}.then(count => count >= {count})")


def expect_one_take(
    firefox: Firefox, live_server: LiveServer, public_id: str, seconds: float, tmp_path: Path
) -> None:
    (recording,) = list_recordings(live_server.services, public_id)
    assert recording.mime.startswith("video/webm")
    live_server.services.media.fetch(recording.original_key, tmp_path / "original")
    assert (tmp_path / "original").stat().st_size == recording.size
    pictures = decode_pictures(tmp_path / "original")
    assert pictures.count >= 3 * seconds
    assert pictures.last_at >= seconds
    assert firefox.run(KEPT_CHUNKS) == 0


def test_firefox_take_is_saved_and_plays(
    live_server: LiveServer, firefox: Firefox, invited: str, tmp_path: Path
) -> None:
    start_recording(firefox, live_server, invited)
    wait_for_chunks(firefox, 4)
    firefox.press("Stop and save")
    firefox.wait_until(f"{SAVE_STATE} === 'Saved'")
    expect_one_take(firefox, live_server, invited, 3, tmp_path)


def test_firefox_take_survives_a_cut_line(
    live_server: LiveServer, firefox: Firefox, invited: str, tmp_path: Path
) -> None:
    start_recording(firefox, live_server, invited)
    wait_for_chunks(firefox, 1)
    firefox.set_offline(True)
    firefox.wait_until(f"{SAVE_STATE}.startsWith('No connection')")
    firefox.press("Stop and save")
    firefox.wait_for_text("Your answer is not saved yet.")
    assert firefox.run(f"{SAVE_STATE} === 'Saved'") is False
    assert list_recordings(live_server.services, invited) == []
    firefox.set_offline(False)
    firefox.wait_until(f"{SAVE_STATE} === 'Saved'")
    expect_one_take(firefox, live_server, invited, 2, tmp_path)


def test_firefox_take_survives_a_full_disk_and_a_reload(
    live_server: LiveServer,
    firefox: Firefox,
    invited: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reject() -> None:
        raise Unavailable(FULL_MESSAGE, retry_after_seconds=1)

    with monkeypatch.context() as patch:
        patch.setattr(live_server.services.media, "require_free_space", reject)
        start_recording(firefox, live_server, invited)
        wait_for_chunks(firefox, 4)
        firefox.wait_until(f"{SAVE_STATE}.startsWith('No connection')")
        firefox.reload()
        firefox.wait_for_text("Your recording was interrupted")
    firefox.press("Send this answer")
    firefox.wait_until(f"{SAVE_STATE} === 'Saved'")
    expect_one_take(firefox, live_server, invited, 2, tmp_path)


def test_firefox_that_is_killed_goes_on_when_it_starts_again(
    live_server: LiveServer, firefox_folder: Path, invited: str, tmp_path: Path
) -> None:
    with running_firefox(firefox_folder, is_killed=True) as firefox:
        start_recording(firefox, live_server, invited)
        wait_for_chunks(firefox, 4)
    with running_firefox(firefox_folder) as firefox:
        firefox.open(factories.invitation_url(live_server.services, invited))
        firefox.press("Continue with question 1")
        firefox.wait_for_text("Your recording was interrupted")
        firefox.press("Send this answer")
        firefox.wait_until(f"{SAVE_STATE} === 'Saved'")
        expect_one_take(firefox, live_server, invited, 2, tmp_path)
