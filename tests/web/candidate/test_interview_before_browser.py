"""Before an interview in a browser: the device check, its problems, another tab, the phone."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from provider.core.kinds.interview import BROKEN, READY
from provider.web.qr_code import qr_code
from tests import factories
from tests.conftest import LiveServer
from tests.wait_for import wait_for
from tests.web.accessibility import AccessibilityChecker
from tests.web.recording import (
    expect_saved,
    follow,
    list_recordings,
    order_interview,
    press,
    start_interview,
    start_recording,
    wait_for_chunks,
)

QUESTIONS = [
    {"key": "why", "text": "Why us?", "think_seconds": 29, "answer_seconds": 90, "takes": 3}
]
SLOW_UPLOAD_BYTES_PER_SECOND = 24_000
CURRENT_MICROPHONE_SCRIPT = (
    "document.querySelector('[data-preview]').srcObject?.getAudioTracks()[0]?.label"
)
# Notes the options of the last recorder.
NOTE_OPTIONS_SCRIPT = """
const Recorder = window.MediaRecorder;
window.MediaRecorder = class extends Recorder {
    constructor(stream, options) { super(stream, options); window.recorderOptions = options; }
};
"""
# A recorder whose chunks are no recording.
GARBAGE_SCRIPT = """
window.MediaRecorder = class extends EventTarget {
    static isTypeSupported() { return true; }
    mimeType = "video/webm;codecs=vp8,opus";
    state = "inactive";
    emit = () => {
        const data = new Blob([new Uint8Array(5000)], {type: this.mimeType});
        this.dispatchEvent(Object.assign(new Event("dataavailable"), {data}));
    };
    start() { this.state = "recording"; this.timer = setInterval(this.emit, 500); }
    stop() {
        clearInterval(this.timer);
        this.state = "inactive";
        this.emit();
        this.dispatchEvent(new Event("stop"));
    }
};
"""
# The browser asks whether the page may use the camera, and nobody answers until `answer()`.
NO_ANSWER_SCRIPT = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = constraints =>
    new Promise(resolve => { window.answer = () => resolve(open(constraints)); });
"""


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    return order_interview(live_server.services, QUESTIONS)


def open_check(page: Page, live_server: LiveServer, public_id: str) -> None:
    page.goto(factories.invitation_url(live_server.services, public_id))
    follow(page, "Try camera and microphone")


def wait_for_microphone(page: Page, label: str) -> None:
    """Wait until the page has opened a microphone; its CSP forbids `wait_for_function`."""
    for _ in range(100):
        if page.evaluate(CURRENT_MICROPHONE_SCRIPT) == label:
            return
        page.wait_for_timeout(100)  # milliseconds; the page's scripts run meanwhile
    raise AssertionError(f"another microphone than {label}")


def test_check_replays_a_trial_and_measures_the_line(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    requests: list[str] = []
    open_check(page, live_server, invited)
    press(page, "Turn them on")
    expect(page.locator("[data-line]")).to_have_text(
        "Your connection is good: answers are saved while you speak."
    )
    page.on("request", lambda request: requests.append(request.url))
    press(page, "Record five seconds")
    trial = page.locator("[data-trial-replay]")
    expect(trial).to_be_visible()
    width = trial.evaluate(
        """video => new Promise(resolve => {
            const report = () => resolve(video.videoWidth);
            video.readyState > 1 ? report() : video.addEventListener("loadeddata", report);
        })"""
    )
    assert width > 0
    assert [url for url in requests if not url.startswith("blob:")] == []


def test_chosen_microphone_is_used_for_the_answers(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    open_check(page, live_server, invited)
    press(page, "Turn them on")
    chosen = page.get_by_label("Microphone").and_(page.locator("select"))
    expect(chosen).to_be_visible()
    options = chosen.locator("option").all_inner_texts()
    assert len(options) >= 2
    chosen.select_option(options[-1])
    wait_for_microphone(page, options[-1])
    expect(page.get_by_text("We hear you")).to_be_visible()
    press(page, "Start the interview")
    page.wait_for_url("**/questions/1")
    press(page, "Show the question")
    wait_for_microphone(page, options[-1])


def test_slow_line_is_said_and_lowers_the_bit_rates(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.add_init_script(NOTE_OPTIONS_SCRIPT)
    open_check(page, live_server, invited)
    network = page.context.new_cdp_session(page)
    limits: dict[str, Any] = {"offline": False, "latency": 20, "downloadThroughput": -1}
    limits["uploadThroughput"] = SLOW_UPLOAD_BYTES_PER_SECOND
    network.send("Network.emulateNetworkConditions", limits)
    press(page, "Turn them on")
    expect(page.locator("[data-line]")).to_contain_text("Your connection is slow.")
    press(page, "Start the interview")
    page.wait_for_url("**/questions/1")
    start_recording(page)
    options = page.evaluate("recorderOptions")
    assert options["videoBitsPerSecond"] == 150_000
    assert options["audioBitsPerSecond"] == 32_000


def test_prompt_without_an_answer_is_explained(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.add_init_script(NO_ANSWER_SCRIPT)
    page.clock.install()
    open_check(page, live_server, invited)
    press(page, "Turn them on")
    page.clock.fast_forward(16_000)
    expect(page.get_by_text("Your browser is waiting for your permission.")).to_be_visible()
    page.evaluate("answer()")
    expect(page.get_by_role("button", name="Start the interview")).to_be_visible()
    expect(page.locator("[data-problems]")).to_be_hidden()


def test_countdown_says_when_the_recording_starts(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    start_interview(page, live_server.services, invited)
    page.clock.install()
    page.reload()
    press(page, "Show the question")
    expect(page.locator(".strip-time")).to_contain_text("Recording starts in 0:2")
    page.clock.fast_forward(29_000)
    expect(page.locator("[data-recording-sign]")).to_be_visible()


def test_phone_code_opens_the_invitation(
    live_server: LiveServer, page: Page, invited: str, browser: Browser
) -> None:
    open_check(page, live_server, invited)
    page.get_by_text("Go on with your phone").click()
    code = page.get_by_role("img", name="QR code that opens this interview on your phone")
    expect(code).to_be_visible()
    url = factories.invitation_url(live_server.services, invited)
    drawn = page.locator(".qr-code path").evaluate_all("paths => paths.map(p => p.outerHTML)")
    expected = str(qr_code(url, ""))
    assert drawn
    assert all(path.split(' d="')[1].split('"')[0] in expected for path in drawn)


def test_broken_take_is_said_while_it_can_be_recorded_again(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.add_init_script(GARBAGE_SCRIPT)
    start_interview(page, live_server.services, invited)
    start_recording(page)
    wait_for_chunks(page, 2)
    press(page, "Stop and save")
    expect(page.get_by_text("This recording has a problem.")).to_be_visible(timeout=30_000)
    (recording,) = list_recordings(live_server.services, invited)
    assert recording.state == BROKEN
    expect(page.get_by_role("button", name="Record again")).to_be_visible()


def test_unsent_answer_is_named_on_the_pages_between(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    start_interview(page, live_server.services, invited)
    url = page.url
    start_recording(page)
    wait_for_chunks(page, 2)
    page.goto(url.replace("questions/1", "answers"))
    expect(page.get_by_text("An answer on this device is not sent yet.")).to_be_visible()
    checker = AccessibilityChecker(page, in_turn=True)
    checker.check_page("unsent")
    assert checker.problems == []
    follow(page, "Open its question to send it")
    press(page, "Send this answer")
    expect_saved(page)


def test_answer_by_sound_alone_is_recorded_without_a_camera(
    live_server: LiveServer, page: Page
) -> None:
    question = {"key": "say", "text": "Say it", "answer": "audio", "answer_seconds": 60}
    invited = order_interview(live_server.services, [question])
    page.goto(factories.invitation_url(live_server.services, invited))
    page.goto(f"{live_server.url}/c/o/{invited}/camera")
    expect(page.get_by_role("heading", name="Try your microphone")).to_be_visible()
    checker = AccessibilityChecker(page, in_turn=True)
    press(page, "Turn it on")
    expect(page.get_by_text("We hear you")).to_be_visible()
    checker.check_page("microphone")
    press(page, "Start the interview")
    page.wait_for_url("**/questions/1")
    start_recording(page)
    tracks = page.locator("[data-preview]").evaluate("video => video.srcObject.getVideoTracks()")
    assert tracks == []
    checker.check_page("recording sound")
    wait_for_chunks(page, 2)
    press(page, "Stop and save")
    expect_saved(page)
    (recording,) = list_recordings(live_server.services, invited)
    assert recording.mime.startswith("audio/")
    assert wait_for(lambda: list_recordings(live_server.services, invited)[0].state == READY)
    assert checker.problems == []


@pytest.mark.parametrize("locale", ["en", "ar"])
def test_failure_screens_fit_a_small_phone_and_are_accessible(
    live_server: LiveServer, browser: Browser, invited: str, locale: str
) -> None:
    with browser.new_context(locale=locale) as context:
        page = context.new_page()
        page.goto(factories.invitation_url(live_server.services, invited))
        page.goto(f"{live_server.url}/c/o/{invited}/camera")
        checker = AccessibilityChecker(page, in_turn=True)
        assert page.evaluate("document.documentElement.dir") == ("rtl" if locale == "ar" else "ltr")
        names = page.locator("[data-problem]").evaluate_all(
            "all => all.map(e => e.dataset.problem)"
        )
        assert len(names) == len(set(names)) >= 10
        for name in names:
            page.evaluate(
                """name => {
                    document.querySelector('[data-step="ask"]').hidden = true;
                    document.querySelector("[data-problems]").hidden = false;
                    for (const element of document.querySelectorAll("[data-problem]"))
                        element.hidden = element.dataset.problem !== name;
                }""",
                name,
            )
            page.set_viewport_size({"width": 320, "height": 640})
            assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), name
            checker.check_page(f"{locale} {name}")
        assert checker.problems == []
