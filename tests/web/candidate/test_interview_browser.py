"""Giving an interview in a real browser with a camera that is not one: record, watch, hand in."""

import re
from datetime import timedelta
from pathlib import Path

import av
import pytest
from playwright.sync_api import Page, Route, expect

from provider.core.kinds.interview import READY, Interview, Recording
from tests import factories
from tests.conftest import LiveServer
from tests.wait_for import wait_for
from tests.web.accessibility import EXTREME_VARIANTS, AccessibilityChecker

QUESTIONS = [
    {
        "key": "why",
        "text": "Why *this* job?",
        "think_seconds": 20,
        "answer_seconds": 90,
        "takes": 2,
    },
    {"key": "when", "text": "When can you start?", "think_seconds": 0, "answer_seconds": 10},
]


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    account_id, _ = factories.create_account(live_server.services, branding={"colour": "#ffd400"})
    template = factories.create_product(
        live_server.services,
        "interview",
        factories.INTERVIEW_CONTENT | {"questions": QUESTIONS},
        "two",
        "Two questions",
    )
    return factories.place_order(live_server.services, account_id, template, "interview")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def follow(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()


def begin(page: Page, live_server: LiveServer, public_id: str) -> None:
    page.goto(factories.invitation_url(live_server.services, public_id))
    follow(page, "Try camera and microphone")
    press(page, "Turn them on")
    press(page, "Start the interview")
    page.wait_for_url("**/questions/1")


def answer(page: Page) -> None:
    """Record for a second or two, then stop."""
    expect(page.locator("[data-on-air]")).to_be_visible()
    expect(page.locator("[data-time]")).to_have_text(re.compile("1:2[0-8]|0:0[0-8]"))
    press(page, "Stop and save")


def is_saved(page: Page) -> None:
    expect(page.locator("[data-step=saved]")).to_be_visible()
    expect(page.locator("[data-saved]")).to_have_text("Saved")


def recordings(live_server: LiveServer, public_id: str) -> list[Recording]:
    with live_server.services.db.reading() as session:
        return list(Interview.find(session, public_id).recordings)


def remuxed(live_server: LiveServer, public_id: str) -> Recording | None:
    """Return the one recording, once it has its copy."""
    (recording,) = recordings(live_server, public_id)
    return recording if recording.state == READY else None


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name is focused, as somebody without a mouse does."""
    expect(page.get_by_text(name, exact=True)).to_be_visible()
    expect(page.get_by_text(name, exact=True)).to_be_enabled()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.locator(":focus").evaluate_all("them => them[0]?.innerText") == name:
            return
    pytest.fail(f"Tab never reached {name}")


def test_what_the_browser_recorded_has_a_length_and_seeks_once_it_is_copied(
    live_server: LiveServer, page: Page, invited: str, tmp_path: Path
) -> None:
    begin(page, live_server, invited)
    press(page, "Show the question")
    press(page, "Record now")
    answer(page)
    is_saved(page)
    recording = wait_for(lambda: remuxed(live_server, invited))
    assert recording.mime.startswith("video/webm;codecs=")
    live_server.services.media.fetch(recording.original_key, tmp_path / "original")
    with av.open(tmp_path / "original") as original:
        assert original.duration is None
    live_server.services.media.fetch(recording.copy_key, tmp_path / "copy")
    with av.open(tmp_path / "copy") as copy:
        assert copy.duration
        assert recording.seconds == pytest.approx(copy.duration / 1_000_000)
    assert live_server.services.media.size(recording.poster_key) > 500
    page.reload()
    video = page.locator("[data-step=saved] video")
    seeked = video.evaluate(
        """video => new Promise((done, fail) => {
            const seek = () => {
                const length = video.duration;
                video.addEventListener("seeked", () => done([length, video.currentTime]));
                video.currentTime = length - 0.3;
            };
            video.addEventListener("error", () => fail(new Error("it does not play")));
            video.readyState ? seek() : video.addEventListener("loadedmetadata", seek);
        })"""
    )
    assert 0.5 < seeked[0] < 60
    assert seeked[1] == pytest.approx(seeked[0] - 0.3, abs=0.1)


def test_a_failed_upload_is_sent_again_without_recording_again(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    begin(page, live_server, invited)
    sent: list[int] = []

    def unlucky(route: Route) -> None:
        sent.append(1)
        if len(sent) == 1:
            route.abort()
        elif len(sent) == 2:
            route.fulfill(status=503)
        else:
            route.continue_()

    page.route("**/takes", unlucky)
    press(page, "Show the question")
    press(page, "Record now")
    answer(page)
    expect(page.get_by_text("Your answer is not saved yet.")).to_be_visible()
    expect(page.locator("[data-saved]")).to_have_text("Not saved – we keep trying")
    is_saved(page)
    assert len(sent) == 3
    assert len(recordings(live_server, invited)) == 1


def test_a_lost_form_cookie_costs_no_recording(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    begin(page, live_server, invited)
    press(page, "Show the question")
    press(page, "Record now")
    page.context.clear_cookies(name="form")
    answer(page)
    is_saved(page)
    assert len(recordings(live_server, invited)) == 1


def test_when_the_interview_is_over_the_page_says_so_kindly(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    begin(page, live_server, invited)
    press(page, "Show the question")
    press(page, "Record now")
    live_server.clock.advance(timedelta(days=8))
    answer(page)
    expect(page.get_by_text("The time for this interview is over")).to_be_visible()
    follow(page, "See how things stand")
    expect(page.get_by_role("heading", name="This invitation is over")).to_be_visible()


def test_an_answer_ends_by_itself_and_what_is_missing_waits_after_a_reload(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    begin(page, live_server, invited)
    page.clock.install()
    page.goto(page.url.replace("questions/1", "questions/2"))
    press(page, "Show the question")
    expect(page.locator("[data-time]")).to_have_text(re.compile("0:0[0-9]"))
    page.clock.fast_forward(9_000)
    expect(page.locator("[data-step=saved]")).to_be_visible()
    expect(page.locator("[data-announce]")).to_have_text("Saved")
    page.goto(f"{live_server.url}/c/o/{invited}/")
    follow(page, "Go on with question 1")
    page.wait_for_url("**/questions/1")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("reject('NotAllowedError')", "The camera and the microphone are blocked for this page."),
        ("reject('NotFoundError')", "No camera or no microphone was found."),
        ("reject('NotReadableError')", "Another program is using your camera or your microphone."),
        ("reject('OverconstrainedError')", "Your camera does not offer a picture"),
        ("reject('TypeError')", "The camera could not be started."),
        ("delete window.MediaRecorder", "This browser cannot record video here."),
        (
            "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})",
            "This browser cannot record video here.",
        ),
        (
            "Object.defineProperty(window, 'isSecureContext', {value: false})",
            "Your browser does not let this page use a camera.",
        ),
    ],
)
def test_each_way_a_camera_can_fail_is_said_with_a_way_out(
    live_server: LiveServer, page: Page, invited: str, script: str, words: str
) -> None:
    page.add_init_script(
        "const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "const reject = name => { let once = name; navigator.mediaDevices.getUserMedia = wanted =>"
        "  once ? Promise.reject(new DOMException('', once)) : real(wanted);"
        "  window.addEventListener('mend', () => { once = null; }); };" + script
    )
    page.goto(factories.invitation_url(live_server.services, invited))
    follow(page, "Try camera and microphone")
    press(page, "Turn them on")
    expect(page.get_by_text(words)).to_be_visible()
    expect(page.locator("[data-problem]:visible")).to_have_count(1)
    expect(page.get_by_role("link", name="I do not want to take part")).to_be_visible()
    expect(page.get_by_role("button", name="Start the interview")).to_be_hidden()
    if script.startswith("reject"):
        page.evaluate("window.dispatchEvent(new Event('mend'))")
        press(page, "Try again")
        expect(page.get_by_role("button", name="Start the interview")).to_be_visible()


def test_a_keyboard_is_all_one_needs(live_server: LiveServer, page: Page, invited: str) -> None:
    page.goto(factories.invitation_url(live_server.services, invited))
    for name in ("Try camera and microphone", "Turn them on", "Start the interview"):
        tab_to(page, name)
        page.keyboard.press("Enter")
    page.wait_for_url("**/questions/1")
    for name in ("Show the question", "Record now"):
        tab_to(page, name)
        page.keyboard.press("Enter")
    expect(page.locator("[data-time]")).to_have_text(re.compile("1:2[0-8]"))
    expect(page.get_by_role("button", name="Stop and save")).to_be_focused()
    page.keyboard.press("Enter")
    is_saved(page)
    expect(page.get_by_role("link", name="Next question")).to_be_focused()


def test_a_tour_of_an_interview_finds_nothing_wrong(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    eye = AccessibilityChecker(page, EXTREME_VARIANTS)
    page.goto(factories.invitation_url(live_server.services, invited))
    follow(page, "Try camera and microphone")
    page.wait_for_url("**/camera")
    eye.check_page("before the camera")
    press(page, "Turn them on")
    expect(page.get_by_role("button", name="Start the interview")).to_be_visible()
    eye.check_page("camera")
    press(page, "Start the interview")
    page.wait_for_url("**/questions/1")
    eye.check_page("before a question")
    press(page, "Show the question")
    expect(page.get_by_role("button", name="Record now")).to_be_visible()
    eye.check_page("thinking")
    press(page, "Record now")
    page.route("**/takes", lambda route: route.abort())
    expect(page.locator("[data-on-air]")).to_be_visible()
    eye.check_page("recording")
    press(page, "Stop and save")
    expect(page.get_by_text("Your answer is not saved yet.")).to_be_visible()
    eye.check_page("not saved")
    with page.expect_request("**/takes"):
        press(page, "Try again now")  # before it may succeed by itself
    page.unroute("**/takes")
    is_saved(page)
    eye.check_page("saved")
    follow(page, "All questions")
    page.wait_for_url("**/answers")
    eye.check_page("one answer of two")
    page.goto(f"{live_server.url}/c/o/{invited}/")
    eye.check_page("welcome back")
    follow(page, "Go on with question 2")
    press(page, "Show the question")
    answer(page)
    is_saved(page)
    follow(page, "Check and hand in")
    page.wait_for_url("**/answers")
    eye.check_page("all answers")
    press(page, "Hand in my answers")
    expect(page.get_by_role("heading", name="Thank you, Lakita")).to_be_visible()
    eye.check_page("handed in")
    assert eye.problems == []
