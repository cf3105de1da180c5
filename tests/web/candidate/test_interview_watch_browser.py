"""The page names problems of a recording in words, before the answer is sent."""

import re

import pytest
from playwright.sync_api import Page, expect

from provider.core.kinds.interview import Interview
from tests import factories
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.recording import (
    expect_saved,
    press,
    start_interview,
    start_recording,
    wait_for_chunks,
)

# A microphone that gives silence while `isSilent`, a lock that counts, a clock to move on.
DEVICES_SCRIPT = """
window.isSilent = true;
window.screenLocks = 0;
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async constraints => {
    const stream = await open(constraints);
    const context = window.context = new AudioContext();
    const source = new ConstantSourceNode(context, {offset: 0});
    source.start();
    const silence = source.connect(context.createMediaStreamDestination()).stream;
    const sound = window.isSilent ? silence : stream;
    return window.stream = new MediaStream([...stream.getVideoTracks(), ...sound.getAudioTracks()]);
};
Object.defineProperty(navigator, "wakeLock", {value: {request: async () => {
    window.screenLocks++;
    return {release: async () => { window.screenLocks--; }};
}}});
const now = performance.now.bind(performance);
let skippedMs = 0;
performance.now = () => now() + skippedMs;
window.hide = isHidden => {
    Object.defineProperty(document, "hidden", {value: isHidden, configurable: true});
    if (!isHidden) skippedMs += 3000;
    document.dispatchEvent(new Event("visibilitychange"));
};
window.fire = (name, kind = "audio") => {
    const track = window.stream.getTracks().find(track => track.kind === kind);
    track.dispatchEvent(new Event(name));
};
"""


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    account_id, _ = factories.create_account(live_server.services)
    question = {"key": "why", "text": "Why us?", "think_seconds": 60, "answer_seconds": 90}
    content = factories.INTERVIEW_CONTENT | {"questions": [question]}
    template = factories.create_product(live_server.services, "interview", content, "why", "Why")
    return factories.place_order(live_server.services, account_id, template, "interview")


def take_count(live_server: LiveServer, public_id: str) -> int:
    with live_server.services.db.reading() as session:
        return len(Interview.find(session, public_id).recordings)


def test_silence_and_interruptions_are_said_before_sending(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    warning = page.locator("[data-watch]")
    page.add_init_script(DEVICES_SCRIPT)
    page.goto(factories.invitation_url(live_server.services, invited))
    page.get_by_role("link", name="Try camera and microphone").click()
    press(page, "Turn them on")
    expect(warning).to_contain_text("We hear nothing.", timeout=30_000)
    checker.check_page("silent camera page")
    press(page, "Start the interview")

    press(page, "Show the question")
    expect(page.locator("[data-question]")).to_have_text("Why us?")
    page.reload()  # the time to think runs on
    expect(page.locator("[data-time]")).to_contain_text("0:5")
    press(page, "Continue with this question")
    expect(page.locator("[data-question]")).to_have_text("Why us?")
    press(page, "Record now")
    expect(warning).to_contain_text("We hear nothing.", timeout=30_000)
    assert page.evaluate("screenLocks") == 1
    checker.check_page("silent recording")
    press(page, "Stop and save")
    expect(page.get_by_role("heading", name="We heard nothing in this recording.")).to_be_focused()
    assert page.evaluate("screenLocks") == 0
    assert take_count(live_server, invited) == 0
    checker.check_page("silent take")

    page.evaluate("isSilent = false")
    press(page, "Record again")
    press(page, "Record now")
    expect(page.locator("[data-recording-sign]")).to_be_visible()
    expect(page.locator("[data-time]")).to_have_text(re.compile("1:2[0-8]"))  # something to send
    page.evaluate("fire('mute')")
    expect(warning).to_contain_text("Your device has switched the microphone off")
    page.evaluate("fire('mute', 'video')")
    expect(warning).to_contain_text("Your device has switched the microphone off")
    expect(warning).to_contain_text("Your device has switched the camera off")
    page.evaluate("fire('unmute')")
    expect(warning).not_to_contain_text("microphone")
    expect(warning).to_contain_text("Your device has switched the camera off")
    page.evaluate("fire('unmute', 'video')")
    expect(warning).to_be_hidden()
    page.evaluate("hide(true)")
    page.evaluate("hide(false)")
    expect(warning).to_contain_text("This page was in the background while it recorded")
    assert page.evaluate("screenLocks") == 2  # a hidden page loses its lock, and takes a new one
    page.evaluate("fire('ended')")
    expect(page.get_by_role("heading", name="Your recording was interrupted.")).to_be_focused()
    text = page.locator("[data-review-text]")
    for reason in (
        "the microphone off for a time",
        "the camera off for a time",
        "ended there",
        "in the background",
    ):
        expect(text).to_contain_text(reason)
    press(page, "Send it as it is")
    expect(page.locator("[data-saved]")).to_have_text("Saved", timeout=30_000)
    assert take_count(live_server, invited) == 1
    assert checker.problems == []


def test_switched_off_devices_are_said_on_the_camera_page(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    warning = page.locator("[data-watch]")
    page.add_init_script(DEVICES_SCRIPT)
    page.goto(factories.invitation_url(live_server.services, invited))
    page.goto(f"{live_server.url}/c/o/{invited}/camera")
    page.evaluate("isSilent = false")
    press(page, "Turn them on")
    expect(page.locator("[data-sound]")).to_have_attribute("data-sound", "yes", timeout=30_000)
    expect(warning).to_be_hidden()
    page.evaluate("fire('mute')")
    expect(warning).to_contain_text("We hear nothing.")
    page.evaluate("fire('unmute')")
    expect(warning).to_be_hidden()
    page.evaluate("fire('mute', 'video')")
    expect(warning).to_have_text(
        "Your device has switched the camera off. There is no picture now."
    )
    page.evaluate("fire('unmute', 'video')")
    expect(warning).to_be_hidden()


def test_rotation_sleep_and_a_frozen_picture_are_said(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    warning = page.locator("[data-watch]")
    # The preview shows no picture any more.
    page.add_init_script("HTMLVideoElement.prototype.requestVideoFrameCallback = () => 1;")
    start_interview(page, live_server.services, invited)
    start_recording(page)
    wait_for_chunks(page, 1)
    page.evaluate("screen.orientation.dispatchEvent(new Event('change'))")
    expect(warning).to_contain_text("You turned your device while it recorded.")
    page.evaluate("(now => { Date.now = () => now() + 60_000; })(Date.now.bind(Date))")
    expect(warning).to_contain_text("Your device was asleep while it recorded")
    expect(warning).to_contain_text("Your camera gives no new picture.", timeout=30_000)
    press(page, "Stop and save")
    expect(page.get_by_role("heading", name="Your recording was interrupted.")).to_be_focused()
    text = page.locator("[data-review-text]")
    for reason in ("no new picture for a time", "may be turned or cut off", "was asleep"):
        expect(text).to_contain_text(reason)
    assert take_count(live_server, invited) == 0  # it is sent, but it counts only when she says so
    press(page, "Send it as it is")
    expect_saved(page)
    assert take_count(live_server, invited) == 1
