"""An interview in a browser with a fake camera: record, play, submit."""

import re
from datetime import timedelta
from pathlib import Path

import av
import pytest
from playwright.sync_api import Page, Route, expect

from provider.core.kinds.interview import READY, Interview, Recording
from provider.core.kinds.interview.uploads import open_upload
from provider.errors import Conflict
from provider.web.candidate import interview, tus
from tests import factories
from tests.conftest import LiveServer
from tests.wait_for import wait_for
from tests.web.accessibility import AccessibilityChecker
from tests.web.recording import wait_for_chunk

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
SMALL_PIECE_BYTES = 8 * 1024
UPLOAD_URLS = "**/uploads/*"


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


def start_interview(page: Page, live_server: LiveServer, public_id: str) -> None:
    page.goto(factories.invitation_url(live_server.services, public_id))
    follow(page, "Try camera and microphone")
    press(page, "Turn them on")
    press(page, "Start the interview")
    page.wait_for_url("**/questions/1")


def record_answer(page: Page) -> None:
    """Record for a second or two, until the browser has a first chunk, then stop."""
    expect(page.locator("[data-recording-sign]")).to_be_visible()
    expect(page.locator("[data-time]")).to_have_text(re.compile("1:2[0-8]|0:0[0-8]"))
    wait_for_chunk(page)
    press(page, "Stop and save")


def expect_saved(page: Page) -> None:
    expect(page.locator("[data-step=saved]")).to_be_visible()
    expect(page.locator("[data-saved]")).to_have_text("Saved")


def list_recordings(live_server: LiveServer, public_id: str) -> list[Recording]:
    with live_server.services.db.reading() as session:
        return list(Interview.find(session, public_id).recordings)


def processed_recording(live_server: LiveServer, public_id: str) -> Recording | None:
    """Return the only recording once it is processed, None before."""
    (recording,) = list_recordings(live_server, public_id)
    return recording if recording.state == READY else None


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element with this name has the focus."""
    expect(page.get_by_text(name, exact=True)).to_be_visible()
    expect(page.get_by_text(name, exact=True)).to_be_enabled()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.locator(":focus").evaluate_all("elements => elements[0]?.innerText") == name:
            return
    pytest.fail(f"Tab never reached {name}")


def test_recording_once_processed_has_duration_and_seeks(
    live_server: LiveServer, page: Page, invited: str, tmp_path: Path
) -> None:
    start_interview(page, live_server, invited)
    press(page, "Show the question")
    press(page, "Record now")
    record_answer(page)
    expect_saved(page)
    recording = wait_for(lambda: processed_recording(live_server, invited))
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


@pytest.fixture
def received_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let pages send small pieces, and collect the sizes of all that reach the server."""
    sizes: list[int] = []
    read_body = tus._read_body

    def read_and_count() -> bytes | memoryview:
        body = read_body()
        sizes.append(len(body))
        return body

    monkeypatch.setattr(interview, "MAX_PIECE_BYTES", SMALL_PIECE_BYTES)
    monkeypatch.setattr(tus, "_read_body", read_and_count)
    return sizes


def retry_now(page: Page) -> None:
    """Press the button, unless the page has tried again by itself and is gone."""
    page.evaluate("document.querySelector('[data-action=retry-upload]')?.click()")


def break_line(page: Page, received_sizes: list[int], *, after: int) -> None:
    """Abort every upload request after this number of pieces."""

    def abort_later(route: Route) -> None:
        if len(received_sizes) < after:
            route.continue_()
        else:
            route.abort()

    page.route(UPLOAD_URLS, abort_later)


def test_upload_goes_on_where_the_line_broke(
    live_server: LiveServer, page: Page, invited: str, received_sizes: list[int]
) -> None:
    start_interview(page, live_server, invited)
    break_line(page, received_sizes, after=3)
    press(page, "Show the question")
    press(page, "Record now")
    record_answer(page)
    expect(page.get_by_text("Your answer is not saved yet.")).to_be_visible()
    expect(page.locator("[data-saved]")).to_have_text("Not saved – we keep trying")
    page.unroute(UPLOAD_URLS)
    retry_now(page)
    expect_saved(page)
    (recording,) = list_recordings(live_server, invited)
    assert recording.size > 4 * SMALL_PIECE_BYTES
    assert recording.size <= sum(received_sizes) <= 1.2 * recording.size


def test_time_to_think_is_the_servers_after_waking(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    start_interview(page, live_server, invited)
    press(page, "Show the question")
    expect(page.locator("[data-time]")).to_have_text(re.compile("0:(1[5-9]|20)"))
    live_server.clock.advance(timedelta(seconds=12))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("[data-time]")).to_have_text(re.compile("0:0[1-8]"))


def test_upload_expired_form_cookie_keeps_the_recording(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    start_interview(page, live_server, invited)
    press(page, "Show the question")
    press(page, "Record now")
    page.context.clear_cookies(name="form")
    record_answer(page)
    expect_saved(page)
    assert len(list_recordings(live_server, invited)) == 1


def test_upload_after_deadline_links_to_the_status_page(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    start_interview(page, live_server, invited)
    press(page, "Show the question")
    press(page, "Record now")
    live_server.clock.advance(timedelta(days=8))
    # The server refuses the take when its first chunk comes, and the recording stops.
    expect(page.get_by_text("The time for this interview is over")).to_be_visible()
    follow(page, "See the status of your interview")
    expect(page.get_by_role("heading", name="This invitation is over")).to_be_visible()


def test_recording_at_time_limit_stops_and_saves(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    start_interview(page, live_server, invited)
    page.clock.install()
    page.goto(page.url.replace("questions/1", "questions/2"))
    press(page, "Show the question")
    expect(page.locator("[data-time]")).to_have_text(re.compile("0:0[0-9]"))
    page.clock.fast_forward(9_000)
    expect(page.locator("[data-step=saved]")).to_be_visible()
    expect(page.locator("[data-announce]")).to_have_text("Saved")
    page.goto(f"{live_server.url}/c/o/{invited}/")
    follow(page, "Continue with question 1")
    page.wait_for_url("**/questions/1")


@pytest.mark.parametrize(
    ("script", "problem"),
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
def test_camera_problem_is_explained_with_a_solution(
    live_server: LiveServer, page: Page, invited: str, script: str, problem: str
) -> None:
    page.add_init_script(
        "const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "const reject = name => { let error = name;"
        "  navigator.mediaDevices.getUserMedia = constraints =>"
        "    error ? Promise.reject(new DOMException('', error)) : real(constraints);"
        "  window.addEventListener('repair', () => { error = null; }); };" + script
    )
    page.goto(factories.invitation_url(live_server.services, invited))
    follow(page, "Try camera and microphone")
    press(page, "Turn them on")
    expect(page.get_by_text(problem)).to_be_visible()
    expect(page.locator("[data-problem]:visible")).to_have_count(1)
    expect(page.get_by_role("link", name="I do not want to take part")).to_be_visible()
    expect(page.get_by_role("button", name="Start the interview")).to_be_hidden()
    if script.startswith("reject"):
        page.evaluate("window.dispatchEvent(new Event('repair'))")
        press(page, "Try again")
        expect(page.get_by_role("button", name="Start the interview")).to_be_visible()


def test_candidate_without_a_camera_answers_with_sound_only(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.add_init_script(
        "const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = constraints => constraints.video"
        "  ? Promise.reject(new DOMException('', 'NotFoundError')) : real(constraints);"
    )
    page.goto(factories.invitation_url(live_server.services, invited))
    follow(page, "Try camera and microphone")
    press(page, "Turn them on")
    expect(page.get_by_text("No camera or no microphone was found.")).to_be_visible()
    press(page, "Go on with sound only")
    expect(page.get_by_role("button", name="Use the camera, too")).to_be_visible()
    press(page, "Start the interview")
    page.wait_for_url("**/questions/1")
    press(page, "Show the question")
    expect(page.locator("[data-preview]")).to_be_hidden()
    press(page, "Record now")
    wait_for_chunk(page)
    press(page, "Stop and save")
    expect_saved(page)
    [recording] = list_recordings(live_server, invited)
    assert recording.mime.startswith("audio/")
    wait_for(lambda: processed_recording(live_server, invited))


def test_template_can_require_the_camera(live_server: LiveServer, page: Page) -> None:
    questions = [{"key": "why", "text": "Why?"}]
    services = live_server.services
    account_id, _ = factories.create_account(services)
    content = factories.INTERVIEW_CONTENT | {"questions": questions, "sound_only": False}
    template = factories.create_product(services, "interview", content, "seen", "Seen")
    public_id = factories.place_order(services, account_id, template, "interview")
    page.goto(factories.invitation_url(services, public_id))
    follow(page, "Try camera and microphone")
    press(page, "Turn them on")
    expect(page.get_by_role("button", name="Start the interview")).to_be_visible()
    expect(page.get_by_text("sound only")).to_have_count(0)
    with services.db.writing() as session:
        order = Interview.find(session, public_id)
        order.start(session, services.now())
        with pytest.raises(Conflict, match="with your camera"):
            open_upload(session, order, "why", "take-1", "audio/webm", services.now())


def test_interview_by_keyboard_records_an_answer(
    live_server: LiveServer, page: Page, invited: str
) -> None:
    page.goto(factories.invitation_url(live_server.services, invited))
    for name in ("Try camera and microphone", "Turn them on", "Start the interview"):
        tab_to(page, name)
        page.keyboard.press("Enter")
    page.wait_for_url("**/questions/1")
    for name in ("Show the question", "Record now"):
        tab_to(page, name)
        page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop and save")).to_be_focused()
    wait_for_chunk(page)
    page.keyboard.press("Enter")
    expect_saved(page)
    expect(page.get_by_role("link", name="Next question")).to_be_focused()


def test_interview_pages_are_accessible(live_server: LiveServer, page: Page, invited: str) -> None:
    checker = AccessibilityChecker(page, in_turn=True)
    page.goto(factories.invitation_url(live_server.services, invited))
    follow(page, "Try camera and microphone")
    page.wait_for_url("**/camera")
    checker.check_page("before the camera")
    press(page, "Turn them on")
    expect(page.get_by_role("button", name="Start the interview")).to_be_visible()
    checker.check_page("camera")
    press(page, "Start the interview")
    page.wait_for_url("**/questions/1")
    checker.check_page("before a question")
    press(page, "Show the question")
    expect(page.get_by_role("button", name="Record now")).to_be_visible()
    checker.check_page("thinking")
    press(page, "Record now")
    page.route("**/takes", lambda route: route.abort())
    expect(page.locator("[data-recording-sign]")).to_be_visible()
    checker.check_page("recording")
    wait_for_chunk(page)
    press(page, "Stop and save")
    expect(page.get_by_text("Your answer is not saved yet.")).to_be_visible()
    checker.check_page("not saved")
    with page.expect_request("**/takes"):
        press(page, "Try again now")  # before the automatic retry
    page.unroute("**/takes")
    expect_saved(page)
    checker.check_page("saved")
    follow(page, "All questions")
    page.wait_for_url("**/answers")
    checker.check_page("one answer of two")
    page.goto(f"{live_server.url}/c/o/{invited}/")
    checker.check_page("welcome back")
    follow(page, "Continue with question 2")
    press(page, "Show the question")
    record_answer(page)
    expect_saved(page)
    follow(page, "Check and submit")
    page.wait_for_url("**/answers")
    checker.check_page("all answers")
    press(page, "Submit my answers")
    expect(page.get_by_role("heading", name="Thank you, Lakita")).to_be_visible()
    checker.check_page("submitted")
    assert checker.problems == []
