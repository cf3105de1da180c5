"""Faults while an answer is recorded: every take that the page calls saved plays from end to end.

Each test compares the saved bytes with those of the browser's recorder, and decodes them.
"""

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, Route, expect

from provider.core.kinds.interview import Interview
from provider.errors import Unavailable
from provider.storage.free_space import FULL_MESSAGE
from tests.conftest import LiveServer
from tests.endurance.server import Instance
from tests.web.accessibility import AccessibilityChecker
from tests.web.recording import (
    LONG_QUESTION,
    RecordedTakes,
    count_kept_chunks,
    expect_nothing_else,
    expect_plays,
    expect_plays_whole,
    expect_saved,
    list_recordings,
    order_interview,
    press,
    start_interview,
    start_recording,
    wait_for_chunks,
)

UPLOAD_URLS = "**/uploads/*"
MEBIBYTE = 1024 * 1024
# The size of a body is not among the headers that a test sees.
SEND_LARGE_TAKE_SCRIPT = """async ({ total, maxPieceBytes }) => {
    const send = XMLHttpRequest.prototype.send;
    XMLHttpRequest.prototype.send = function (body) {
        this.setRequestHeader("X-Size", body?.size ?? 0);
        return send.call(this, body);
    };
    const { sendTake } = await import("/static/interview-upload.js");
    const target = { id: "take", type: "video/webm", url: "/announced", csrf: "", maxPieceBytes };
    const take = sendTake(target, {});
    take.add(new Blob([new Uint8Array(total)]));
    take.finish();
    const late = new Promise((resolve) => setTimeout(resolve, 20_000, { state: "not saved" }));
    return (await Promise.race([take.saved, late])).state;
}"""
OFFLINE_TEXT = "No connection: your answer is stored on this device"


@pytest.fixture
def takes(page: Page) -> RecordedTakes:
    return RecordedTakes(page.context)


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    return order_interview(live_server.services, [LONG_QUESTION])


def save_state(page: Page) -> str:
    return page.locator("[data-saved]").inner_text()


def expect_whole_take(
    live_server: LiveServer, page: Page, public_id: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    """Expect one saved take with every byte, and nothing else."""
    (recording,) = list_recordings(live_server.services, public_id)
    expect_plays_whole(live_server.services, recording, takes.chunks(0), tmp_path)
    expect_nothing_else(live_server.services, page, public_id, takes=1)


def test_line_cut_for_five_seconds_loses_nothing(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    start_interview(page, live_server.services, invited)
    start_recording(page)
    wait_for_chunks(page, 2)
    page.context.set_offline(True)
    expect(page.locator("[data-saved]")).to_have_text(OFFLINE_TEXT)
    wait_for_chunks(page, count_kept_chunks(page) + 5)
    page.context.set_offline(False)
    wait_for_chunks(page, count_kept_chunks(page) + 1)
    press(page, "Stop and save")
    expect_saved(page)
    expect_whole_take(live_server, page, invited, takes, tmp_path)


def test_line_cut_for_a_minute_loses_nothing(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    start_interview(page, live_server.services, invited)
    page.clock.install()
    page.reload()
    start_recording(page)
    wait_for_chunks(page, 2)
    page.context.set_offline(True)
    expect(page.locator("[data-saved]")).to_have_text(OFFLINE_TEXT)
    for _ in range(8):  # attempts that fail; a step of ten seconds would be sleep to the page
        page.clock.fast_forward(7500)
        wait_for_chunks(page, count_kept_chunks(page) + 1)
    press(page, "Stop and save")
    expect(page.get_by_text("Your answer is not saved yet.")).to_be_visible()
    assert save_state(page) != "Saved"
    assert list_recordings(live_server.services, invited) == []
    page.context.set_offline(False)
    page.clock.fast_forward(15_000)
    expect_saved(page)
    expect_whole_take(live_server, page, invited, takes, tmp_path)


def test_line_cut_across_a_reload_in_a_take_goes_on(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    start_interview(page, live_server.services, invited)
    start_recording(page)
    wait_for_chunks(page, 2)
    page.route(UPLOAD_URLS, lambda route: route.abort())
    expect(page.locator("[data-saved]")).to_have_text(OFFLINE_TEXT)
    wait_for_chunks(page, count_kept_chunks(page) + 3)
    page.reload()
    expect(page.get_by_role("heading", name="Your recording was interrupted")).to_be_focused()
    checker = AccessibilityChecker(page, in_turn=True)
    checker.check_page("interrupted")
    assert checker.problems == []
    press(page, "Send this answer")
    expect(page.get_by_text("Your answer is not saved yet.")).to_be_visible()
    page.unroute(UPLOAD_URLS)
    expect_saved(page)
    (recording,) = list_recordings(live_server.services, invited)
    expect_plays(live_server.services, recording, takes.chunks(0), tmp_path)
    expect_nothing_else(live_server.services, page, invited, takes=1)


def test_interrupted_take_that_is_recorded_again_leaves_nothing(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    start_interview(page, live_server.services, invited)
    start_recording(page)
    wait_for_chunks(page, 3)
    page.reload()
    press(page, "Record again")
    expect(page.get_by_role("button", name="Continue with this question")).to_be_visible()
    assert count_kept_chunks(page) == 0
    press(page, "Continue with this question")
    press(page, "Record now")
    wait_for_chunks(page, 2)
    press(page, "Stop and save")
    expect_saved(page)
    (recording,) = list_recordings(live_server.services, invited)
    expect_plays_whole(live_server.services, recording, takes.chunks(1), tmp_path)
    expect_nothing_else(live_server.services, page, invited, takes=1)


def test_unavailable_server_while_recording_loses_nothing(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    statuses: list[int] = []

    def answer_503(route: Route) -> None:
        statuses.append(503)
        route.fulfill(status=503, content_type="text/html", body="<h1>503</h1>")

    start_interview(page, live_server.services, invited)
    page.route(UPLOAD_URLS, answer_503)
    start_recording(page)
    wait_for_chunks(page, 10)  # of a second each
    assert len(statuses) >= 3
    expect(page.locator("[data-saved]")).to_have_text(OFFLINE_TEXT)
    page.unroute(UPLOAD_URLS)
    press(page, "Stop and save")
    expect_saved(page)
    expect_whole_take(live_server, page, invited, takes, tmp_path)


def test_killed_tab_goes_on_in_a_new_one(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    start_interview(page, live_server.services, invited)
    url = page.url
    start_recording(page)
    wait_for_chunks(page, 4)
    with pytest.raises(Error, match="crash"):
        page.goto("chrome://crash", timeout=5000)
    second = page.context.new_page()
    second.goto(url)
    expect(second.get_by_role("heading", name="Your recording was interrupted")).to_be_visible()
    press(second, "Send this answer")
    expect_saved(second)
    (recording,) = list_recordings(live_server.services, invited)
    expect_plays(live_server.services, recording, takes.chunks(0), tmp_path)
    expect_nothing_else(live_server.services, second, invited, takes=1)


def test_whole_take_of_a_closed_tab_is_sent_on_another_day(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    start_interview(page, live_server.services, invited)
    url = page.url
    start_recording(page)
    wait_for_chunks(page, 2)
    page.route(UPLOAD_URLS, lambda route: route.abort())
    wait_for_chunks(page, count_kept_chunks(page) + 2)
    press(page, "Stop and save")
    expect(page.get_by_text("Your answer is not saved yet.")).to_be_visible()
    page.close()
    live_server.clock.advance(timedelta(days=2))
    second = page.context.new_page()
    second.goto(url)
    expect_saved(second)  # without a click
    expect_whole_take(live_server, second, invited, takes, tmp_path)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    folder = tmp_path / "instance"
    folder.mkdir()
    return Instance(folder)


@pytest.mark.sqlite
@pytest.mark.machine_time
def test_server_killed_and_started_again_loses_nothing(
    instance: Instance, page: Page, takes: RecordedTakes, tmp_path: Path
) -> None:
    with instance.open_services() as services:
        invited = order_interview(services, [LONG_QUESTION])
        with instance.start_server() as server:
            server.wait_until_ready()
            start_interview(page, services, invited)
            start_recording(page)
            wait_for_chunks(page, 3)
            server.kill()
        expect(page.locator("[data-saved]")).to_have_text(OFFLINE_TEXT)
        wait_for_chunks(page, count_kept_chunks(page) + 2)
        with instance.start_server() as server:
            server.wait_until_ready()
            wait_for_chunks(page, count_kept_chunks(page) + 1)
            press(page, "Stop and save")
            expect(page.locator("[data-step=saved]")).to_be_visible(timeout=40_000)
            (recording,) = list_recordings(services, invited)
            expect_plays_whole(services, recording, takes.chunks(0), tmp_path)
            expect_nothing_else(services, page, invited, takes=1)


def test_second_tab_says_that_another_one_records(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    start_interview(page, live_server.services, invited)
    url = page.url
    start_recording(page)
    wait_for_chunks(page, 2)
    second = page.context.new_page()
    second.goto(url)
    expect(second.get_by_text("This interview is open in another tab or window.")).to_be_visible()
    expect(second.get_by_role("button", name="Record now")).to_be_hidden()
    press(page, "Stop and save")
    expect_saved(page)
    expect_whole_take(live_server, page, invited, takes, tmp_path)
    press(second, "Try again")
    expect_saved(second)
    page.close()
    press(second, "Record again")
    press(second, "Record now")
    wait_for_chunks(second, 2)
    press(second, "Stop and save")
    expect(second.locator("[data-step=saved] article")).to_have_count(2)


def test_full_disk_at_the_server_is_said_and_survived(
    live_server: LiveServer,
    page: Page,
    invited: str,
    takes: RecordedTakes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media = live_server.services.media

    def reject() -> None:
        raise Unavailable(FULL_MESSAGE, retry_after_seconds=1)

    start_interview(page, live_server.services, invited)
    start_recording(page)
    wait_for_chunks(page, 2)
    with monkeypatch.context() as patch:
        patch.setattr(media, "require_free_space", reject)
        expect(page.locator("[data-saved]")).to_have_text(OFFLINE_TEXT)
        wait_for_chunks(page, count_kept_chunks(page) + 2)
        press(page, "Stop and save")
        expect(page.get_by_text("There is no room for recordings just now")).to_be_visible()
        assert list_recordings(live_server.services, invited) == []
    page.evaluate("document.querySelector('[data-action=retry-upload]')?.click()")
    expect_saved(page)
    expect_whole_take(live_server, page, invited, takes, tmp_path)


def test_take_begun_before_the_deadline_is_saved_after_it(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    services = live_server.services
    start_interview(page, services, invited)
    with services.db.reading() as session:
        ends_at = Interview.find(session, invited).attempt_ends_at
    assert ends_at
    live_server.clock.advance(ends_at - services.now() - timedelta(seconds=5))
    page.reload()
    start_recording(page)
    wait_for_chunks(page, 3)
    live_server.clock.advance(timedelta(seconds=30))
    wait_for_chunks(page, count_kept_chunks(page) + 2)
    press(page, "Stop and save")
    expect(page.get_by_role("heading", name="The time is over")).to_be_visible()
    expect(page.get_by_text("Your saved answers are being submitted.")).to_be_visible()
    expect_whole_take(live_server, page, invited, takes, tmp_path)


def test_damaged_piece_is_sent_again(
    live_server: LiveServer, page: Page, invited: str, takes: RecordedTakes, tmp_path: Path
) -> None:
    damaged: list[int] = []

    def damage(route: Route) -> None:
        body = route.request.post_data_buffer
        if route.request.method == "PATCH" and body and len(damaged) < 2:
            damaged.append(len(body))
            route.continue_(post_data=bytes(len(body)))
        else:
            route.continue_()

    start_interview(page, live_server.services, invited)
    page.route(UPLOAD_URLS, damage)
    start_recording(page)
    wait_for_chunks(page, 3)
    press(page, "Stop and save")
    expect_saved(page)
    assert damaged
    expect_whole_take(live_server, page, invited, takes, tmp_path)


def test_lost_answer_to_a_piece_does_not_stop_the_sending(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    lengths: list[str] = []

    def answer(route: Route) -> None:
        method, headers = route.request.method, route.request.headers
        if method == "POST":
            route.fulfill(status=201, headers={"Location": "/upload", "Upload-Offset": "0"})
        elif method == "GET":
            state = "saved" if lengths else "receiving"
            route.fulfill(json={"state": state, "offset": 5}, headers={"Upload-Offset": "5"})
        elif length := headers.get("upload-length"):
            lengths.append(length)
            route.fulfill(status=204, headers={"Upload-Offset": "5"})
        else:  # the bytes have arrived, but the line broke before the answer
            route.abort()

    start_interview(page, live_server.services, invited)
    page.route("**/announced", answer)
    page.route("**/upload", answer)
    with page.expect_response(lambda response: response.request.method == "GET"):
        page.evaluate("""async () => {
            const { sendTake } = await import("/static/interview-upload.js");
            const target = { id: "take", type: "video/webm", url: "/announced", csrf: "" };
            const hasWaited = new Promise((resolve) => {
                // The last step before the sending waits for the next chunk.
                const onProgress = (offset) => offset === 5 && setTimeout(resolve);
                window.take = sendTake({ ...target, maxPieceBytes: 1000 }, { onProgress });
            });
            take.add(new Blob(["bytes"]));
            await hasWaited;
        }""")
    page.evaluate("requestAnimationFrame(() => take.finish())")
    # A race, because an evaluation has no time limit of its own.
    late = "new Promise((resolve) => setTimeout(resolve, 10_000, 'not saved'))"
    sent = "take.saved.then(({ state }) => state)"
    assert page.evaluate(f"Promise.race([{sent}, {late}])") == "saved"
    assert lengths == ["5"]


@pytest.mark.parametrize(
    ("allowed_bytes", "sizes"),
    [
        (4 * MEBIBYTE, [1, 2, 4, 4, 1]),
        # After the refusal of 2 MiB no such piece is tried again.
        (1.5 * MEBIBYTE, [1, 2, *[1] * 11]),
    ],
)
def test_pieces_grow_on_a_quick_line_up_to_what_is_allowed(
    live_server: LiveServer, page: Page, invited: str, allowed_bytes: float, sizes: list[int]
) -> None:
    total, sent, received = 12 * MEBIBYTE, list[float](), 0

    def answer(route: Route) -> None:
        nonlocal received
        method, headers = route.request.method, route.request.headers
        if method == "PATCH":
            size = int(headers["x-size"])
            sent.append(size / MEBIBYTE)
            received += size if size <= allowed_bytes else 0
            if size > allowed_bytes:
                route.fulfill(status=413)
                return
        status = {"POST": 201, "PATCH": 204, "GET": 200}[method]
        answer_headers = {"Location": "/upload", "Upload-Offset": str(received)}
        if method == "GET":
            state = "saved" if received == total else "receiving"
            route.fulfill(json={"state": state}, headers=answer_headers)
        else:
            route.fulfill(status=status, headers=answer_headers)

    start_interview(page, live_server.services, invited)
    page.route("**/announced", answer)
    page.route("**/upload", answer)
    arguments = {"total": total, "maxPieceBytes": 4 * MEBIBYTE}
    assert page.evaluate(SEND_LARGE_TAKE_SCRIPT, arguments) == "saved"
    assert sent == sizes
