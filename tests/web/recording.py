"""The recordings of answers: what a browser has recorded, keeps, and has saved at the server."""

from base64 import b64decode
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from playwright.sync_api import BrowserContext, Page, expect

from provider.core.kinds.interview import Interview, Recording
from provider.core.kinds.interview.uploads import FOLDER
from provider.services import Services
from tests import factories

COUNT_KEPT_CHUNKS_SCRIPT = """() => new Promise(resolve => {
    indexedDB.open("interview-takes").onsuccess = ({target}) => {
        const chunks = target.result.transaction("chunks").objectStore("chunks");
        chunks.count().onsuccess = ({target}) => resolve(target.result);
    };
})"""

# Reports each chunk of each recorder, before the page's own script gets it.
REPORT_CHUNKS_SCRIPT = """
const RealRecorder = window.MediaRecorder;
window.MediaRecorder = class extends RealRecorder {
    constructor(...options) {
        super(...options);
        const id = crypto.randomUUID();
        let number = 0;
        this.addEventListener("dataavailable", async ({data}) => {
            const reader = new FileReader();
            const index = number++;
            const encoded = () => reader.result.split("base64,")[1] || "";
            reader.onload = () => window.reportChunk(id, index, encoded());
            reader.readAsDataURL(data);
        });
    }
};
"""
LONG_QUESTION = {
    "key": "why",
    "text": "Why us?",
    "think_seconds": 60,
    "answer_seconds": 600,
    "takes": 3,
}
MAX_GAP_SECONDS = 1.5  # between two pictures: the fake camera gives five a second
MAX_UNSTORED_CHUNKS = 2  # of a recording whose page is gone: the last second was on its way


class RecordedTakes:
    """The chunks that the recorders of a browser context gave, byte for byte."""

    def __init__(self, context: BrowserContext) -> None:
        self._chunks: dict[str, dict[int, bytes]] = defaultdict(dict)
        context.expose_function("reportChunk", self._add)
        context.add_init_script(REPORT_CHUNKS_SCRIPT)

    def _add(self, recorder: str, number: int, data: str) -> None:
        self._chunks[recorder][number] = b64decode(data)

    def chunks(self, take: int) -> list[bytes]:
        """Return the chunks of a take, counted from 0 in the order in which they began."""
        numbered = list(self._chunks.values())[take]
        return [numbered[number] for number in sorted(numbered)]

    def count(self) -> int:
        return len(self._chunks)


@dataclass(frozen=True)
class Pictures:
    """The decoded pictures of a recording: how many, until which second, and the longest gap."""

    count: int
    last_at: float
    longest_gap: float


def decode_pictures(path: Path) -> Pictures:
    """Decode every picture of a recording from its start to its end."""
    with av.open(path) as container:
        times = [frame.time for frame in container.decode(video=0) if frame.time is not None]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return Pictures(len(times), times[-1], max(gaps, default=0.0))


def expect_plays(services: Services, recording: Recording, chunks: list[bytes], tmp: Path) -> None:
    """Compare a saved recording with what the browser recorded, and decode all of it."""
    path = tmp / recording.public_id
    services.media.fetch(recording.original_key, path)
    data = path.read_bytes()
    assert len(data) == recording.size
    whole = b"".join(chunks)
    shortest = b"".join(chunks[:-MAX_UNSTORED_CHUNKS])
    assert whole.startswith(data) or data.startswith(whole)
    assert len(data) >= len(shortest)
    pictures = decode_pictures(path)
    assert pictures.count >= 3
    assert pictures.longest_gap <= MAX_GAP_SECONDS
    # The recorder makes a chunk a second.
    assert pictures.last_at >= len(chunks) - 1 - MAX_UNSTORED_CHUNKS


def expect_plays_whole(
    services: Services, recording: Recording, chunks: list[bytes], tmp: Path
) -> None:
    """Expect every byte of a take that the candidate ended herself."""
    expect_plays(services, recording, chunks, tmp)
    assert (tmp / recording.public_id).read_bytes() == b"".join(chunks)


def expect_nothing_else(services: Services, page: Page, public_id: str, takes: int) -> None:
    """Expect this number of takes, nothing on the device, and no bytes of unfinished uploads."""
    assert len(list_recordings(services, public_id)) == takes
    assert count_kept_chunks(page) == 0
    assert list(services.media.list_files(folder=FOLDER)) == []


def list_recordings(services: Services, public_id: str) -> list[Recording]:
    with services.db.reading() as session:
        return list(Interview.find(session, public_id).recordings)


def count_kept_chunks(page: Page) -> int:
    """Return how many chunks of a recording the page keeps."""
    count: int = page.evaluate(COUNT_KEPT_CHUNKS_SCRIPT)
    return count


def wait_for_chunks(page: Page, count: int = 1, timeout_seconds: float = 30.0) -> None:
    """Wait until the device keeps chunks; a busy machine encodes its first picture late.

    `wait_for_function` would not wait for the answer of the database.
    """
    for _ in range(int(timeout_seconds * 10)):
        if count_kept_chunks(page) >= count:
            return
        page.wait_for_timeout(100)  # milliseconds; the page's scripts run meanwhile
    raise AssertionError(f"less than {count} chunks within {timeout_seconds} s")


def wait_for_chunk(page: Page) -> None:
    wait_for_chunks(page)


def order_interview(services: Services, questions: list[dict[str, Any]], **settings: Any) -> str:
    """Create a template with these questions; return the public id of an order of it."""
    account_id, _ = factories.create_account(services, **settings)
    content = factories.INTERVIEW_CONTENT | {"questions": questions}
    template = factories.create_product(services, "interview", content, "recorded", "Recorded")
    return factories.place_order(services, account_id, template, "interview")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def follow(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()


def start_interview(page: Page, services: Services, public_id: str) -> None:
    page.goto(factories.invitation_url(services, public_id))
    follow(page, "Try camera and microphone")
    press(page, "Turn them on")
    press(page, "Start the interview")
    page.wait_for_url("**/questions/1")


def start_recording(page: Page) -> None:
    """Show the first question and begin to record before its time to think is over."""
    press(page, "Show the question")
    press(page, "Record now")
    expect(page.locator("[data-recording-sign]")).to_be_visible()


def expect_saved(page: Page) -> None:
    expect(page.locator("[data-step=saved]")).to_be_visible()
    expect(page.locator("[data-saved]")).to_have_text("Saved")
