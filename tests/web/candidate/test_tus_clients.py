"""Three clients of tus send takes to a listening server: tuspy, tus-js-client, resumable-upload.

Each is another reading of the specification.
"""

import io
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from resumable_upload import TusClient as ResumableClient
from tusclient.client import TusClient as TuspyClient

from provider.storage.growing_file import GrowingFile
from tests import factories, interview_factories
from tests.conftest import LiveServer

DATA = random.Random(20).randbytes(700_000)
CHUNK_BYTES = 64 * 1024
TAKE = {"filetype": "video/webm"}
SCRIPT = Path(__file__).with_name("tus_js_client.mjs")
# `make tools` installs it where there is npm.
TUS_JS_FOLDER = Path(".tools/node_modules/tus-js-client").absolute()
NODE_TIMEOUT_SECONDS = 30


class Candidate:
    """A candidate who has started an interview, and what a client needs to send a take."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.order = interview_factories.place_interview(server.services)
        self.session = requests.Session()
        self.session.get(factories.invitation_url(server.services, self.order), timeout=30)
        page = self.session.get(f"{server.url}/c/o/{self.order}/decline", timeout=30).text
        self.headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.session.cookies.items()),
            "X-CSRFToken": factories.csrf_token(page),
            "Accept": "application/json",
        }
        self.takes_url = f"{server.url}/c/o/{self.order}/questions/1/takes"

    def state(self, url: str) -> dict[str, object]:
        state: dict[str, object] = self.session.get(url, timeout=30).json()
        return state

    def saved_bytes(self, url: str) -> bytes:
        state = self.state(url)
        assert state["state"] == "saved"
        media, key = self.server.services.media, f"recordings/{state['saved']}/original"
        return b"".join(media.read_range(key, 0, media.size(key)))


@pytest.fixture
def candidate(app_server: LiveServer) -> Iterator[Candidate]:
    candidate = Candidate(app_server)
    yield candidate
    candidate.session.close()


@pytest.fixture
def broken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server fail with 503 once in the middle of a take, after the bytes are written."""
    write = GrowingFile.write
    failures = [OSError("the disk does not answer")]

    def write_and_fail(file: GrowingFile, start: int, data: bytes) -> None:
        write(file, start, data)
        if start >= 2 * CHUNK_BYTES and failures:
            raise failures.pop()

    monkeypatch.setattr(GrowingFile, "write", write_and_fail)


def test_tuspy_sends_a_take_and_goes_on_with_a_half_sent_one(candidate: Candidate) -> None:
    client = TuspyClient(candidate.takes_url, headers=candidate.headers)
    first = client.uploader(
        file_stream=io.BytesIO(DATA), chunk_size=CHUNK_BYTES, metadata=TAKE, upload_checksum=True
    )
    first.upload(stop_at=3 * CHUNK_BYTES)
    assert first.url
    second = client.uploader(
        file_stream=io.BytesIO(DATA), chunk_size=CHUNK_BYTES, url=first.url, upload_checksum=True
    )
    assert second.offset == 3 * CHUNK_BYTES
    second.upload()
    assert candidate.saved_bytes(first.url) == DATA


@pytest.mark.usefixtures("broken_once")
def test_tuspy_goes_on_after_an_error_of_the_server(candidate: Candidate) -> None:
    client = TuspyClient(candidate.takes_url, headers=candidate.headers)
    uploader = client.uploader(
        file_stream=io.BytesIO(DATA),
        chunk_size=CHUNK_BYTES,
        metadata=TAKE,
        retries=2,
        retry_delay=0,
    )
    uploader.upload()
    assert uploader.url
    assert candidate.saved_bytes(uploader.url) == DATA


def resumable_client(candidate: Candidate, checksum: str) -> ResumableClient:
    return ResumableClient(
        candidate.takes_url,
        chunk_size=CHUNK_BYTES,
        checksum=checksum,
        headers=candidate.headers,
        retry_delay=0,
    )


@pytest.mark.usefixtures("broken_once")
@pytest.mark.parametrize("checksum", ["sha1", "sha256"])
def test_resumable_upload_goes_on_after_an_error_of_the_server(
    candidate: Candidate, checksum: str
) -> None:
    client = resumable_client(candidate, checksum)
    url = client.upload_file(file_stream=io.BytesIO(DATA), metadata=TAKE)
    assert candidate.saved_bytes(url) == DATA


def test_resumable_upload_reads_options_defers_a_length_and_deletes(candidate: Candidate) -> None:
    client = resumable_client(candidate, "sha256")
    info = client.get_server_info()
    assert info["version"] == "1.0.0"
    assert set(info["extensions"]) >= {"creation", "creation-defer-length", "termination"}
    url = client.create_deferred_upload(metadata=TAKE)
    assert candidate.state(url)["state"] == "receiving"
    client.delete_upload(url)
    assert candidate.session.get(url, timeout=30).status_code == 404


def run_tus_js(candidate: Candidate, folder: Path, mode: str) -> str:
    """Send DATA with tus-js-client; return the upload's URL."""
    if not (shutil.which("node") and TUS_JS_FOLDER.exists()):
        pytest.skip("node or tus-js-client is absent: see `make tools`")
    file = folder / "take"
    file.write_bytes(DATA)
    headers = [part for name, value in candidate.headers.items() for part in (name, value)]
    arguments = (TUS_JS_FOLDER, candidate.takes_url, file, CHUNK_BYTES, mode, *headers)
    completed = subprocess.run(
        ["node", SCRIPT, *map(str, arguments)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=NODE_TIMEOUT_SECONDS,
    )
    return completed.stdout.strip()


@pytest.mark.usefixtures("broken_once")
def test_tus_js_client_goes_on_after_an_error_of_the_server(
    candidate: Candidate, tmp_path: Path
) -> None:
    assert candidate.saved_bytes(run_tus_js(candidate, tmp_path, "file")) == DATA


def test_tus_js_client_defers_a_length(candidate: Candidate, tmp_path: Path) -> None:
    assert candidate.saved_bytes(run_tus_js(candidate, tmp_path, "stream")) == DATA


def test_tus_js_client_ends_an_upload(candidate: Candidate, tmp_path: Path) -> None:
    url = run_tus_js(candidate, tmp_path, "abort")
    assert candidate.session.get(url, timeout=30).status_code == 404
