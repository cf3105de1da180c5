"""The page of an interview in a browser: the player, its keys, notes that seek, saves by itself."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.answers import TimeNote
from provider.core.kinds.interview.captions import STAFF, save_captions
from tests import interview_factories
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.console.test_interviews import interview_path, sign_in

SAM, ANN = "sam@provider.test", "ann@provider.test"


@pytest.fixture
def interview(live_server: LiveServer) -> str:
    return interview_factories.submitted_interview(live_server.services)[0]


@pytest.fixture
def player(page: Page, live_server: LiveServer, interview: str) -> Page:
    """The page with the first video loaded and muted, so that a browser lets it play."""
    sign_in(page, live_server)
    page.goto(live_server.url + interview_path(interview))
    load_videos(page)
    return page


def load_videos(page: Page) -> None:
    page.evaluate(
        """() => Promise.all([...document.querySelectorAll('video')].map(video => {
            video.muted = true;
            video.preload = 'auto';
            const loaded = new Promise(resolve => { video.oncanplaythrough = resolve; });
            video.load();
            return loaded;
        }))"""
    )


def read_video(page: Page, name: str, number: int = 0) -> Any:
    return page.locator(".answer-video > video").nth(number).evaluate(f"video => video.{name}")


def wait_for(page: Page, condition: str, number: int = 0) -> None:
    """Wait until a condition about the `video` of an answer is true."""
    page.wait_for_function(
        f"""number => {{
            const video = document.querySelectorAll('.answer-video > video')[number];
            return {condition};
        }}""",
        arg=number,
    )


def read_ratings(live_server: LiveServer, interview: str) -> dict[str, tuple[Any, ...]]:
    with live_server.services.db.reading() as session:
        ratings = Interview.find(session, interview).ratings_by_question(SAM)
        return {key: (row.value, row.note, row.save_number) for key, row in ratings.items()}


def test_keys_play_and_move_the_video(player: Page) -> None:
    player.keyboard.press("k")
    wait_for(player, "!video.paused && video.currentTime > 0")
    player.keyboard.press("Space")
    wait_for(player, "video.paused")
    player.keyboard.press("l")  # the video has two seconds
    wait_for(player, "video.currentTime > 1.8")
    player.keyboard.press("j")
    wait_for(player, "video.currentTime === 0")
    player.keyboard.press("ArrowRight")
    wait_for(player, "video.currentTime > 1.8")
    player.keyboard.press("ArrowLeft")
    wait_for(player, "video.currentTime === 0")


def test_number_goes_to_the_question_whose_video_the_keys_play(player: Page) -> None:
    player.keyboard.press("2")
    expect(player.locator("#question-2")).to_be_focused()
    player.keyboard.press("k")
    wait_for(player, "!video.paused", 1)
    assert read_video(player, "paused", 0)
    player.keyboard.press("7")  # there is no such question
    expect(player.locator("#question-2")).to_be_focused()


def test_keys_do_nothing_in_fields_and_when_switched_off(player: Page) -> None:
    note = player.locator("#question-1-note")
    note.focus()
    player.keyboard.type("k l 2 j")
    expect(note).to_have_value("k l 2 j")
    player.get_by_label("4 Good").first.focus()
    player.keyboard.press("k")
    assert (read_video(player, "paused"), read_video(player, "currentTime")) == (True, 0)
    player.get_by_label("Keyboard shortcuts").uncheck()
    player.locator("#question-1").focus()
    player.keyboard.press("k")
    assert read_video(player, "paused")
    player.reload()
    expect(player.get_by_label("Keyboard shortcuts")).not_to_be_checked()


def test_speed_holds_for_every_video(player: Page) -> None:
    player.get_by_label("Speed").select_option("1.5")
    assert [read_video(player, "playbackRate", number) for number in range(3)] == [1.5] * 3


def test_only_one_video_plays(player: Page) -> None:
    player.keyboard.press("k")
    wait_for(player, "!video.paused")
    player.locator(".answer-video > video").nth(1).evaluate("video => video.play()")
    wait_for(player, "video.paused", 0)


def test_note_has_the_time_shown_and_seeks_there(player: Page) -> None:
    player.keyboard.press("k")
    wait_for(player, "video.currentTime > 1.1")
    player.keyboard.press("k")
    form = player.locator("#question-1 .time-note-form")
    form.locator("summary").click()
    expect(form.get_by_label("Time")).to_have_value("0:01")
    form.get_by_label("Note").fill("She names a figure")
    form.get_by_role("button", name="Add the note").click()
    player.wait_for_url("**#question-1")
    load_videos(player)
    player.get_by_role("link", name="Play from 0:01").click()
    wait_for(player, "video.currentTime >= 1")
    expect(player.get_by_text("She names a figure")).to_be_visible()


def test_rating_is_saved_by_itself(player: Page, live_server: LiveServer, interview: str) -> None:
    player.get_by_role("group", name="Rating of question 1").get_by_label("4 Good").check()
    state = player.locator("#question-1 [data-scorecard-state]")
    expect(state).to_have_text("Saved")
    player.locator("#question-1-note").fill("Two good examples")
    player.locator("#question-1-note").blur()
    expect(player.locator("[data-state-of=question-1]")).to_have_text("rated")
    expect(player.locator("#question-1 [name=based_on]")).to_have_value("2")
    assert read_ratings(live_server, interview) == {"why": (4, "Two good examples", 2)}
    player.reload()
    expect(player.locator("#question-1-note")).to_have_value("Two good examples")


def test_save_that_failed_is_repeated(
    player: Page, live_server: LiveServer, interview: str
) -> None:
    failures: list[str] = []

    def fail_once(route: Route) -> None:
        if failures:
            route.continue_()
        else:
            failures.append(route.request.url)
            route.abort()

    player.route("**/ratings/why", fail_once)
    player.get_by_role("group", name="Rating of question 1").get_by_label("2 Weak").check()
    state = player.locator("#question-1 [data-scorecard-state]")
    expect(state).to_have_text("Not saved: trying again")
    expect(state).to_have_text("Saved")
    assert read_ratings(live_server, interview) == {"why": (2, "", 1)}


def test_second_tab_never_overwrites_a_newer_save(
    player: Page, live_server: LiveServer, interview: str
) -> None:
    other = player.context.new_page()
    other.goto(live_server.url + interview_path(interview))
    for tab, label, text in (
        (player, "4 Good", "Saved"),
        (other, "1 Poor", "You saved this elsewhere"),
    ):
        tab.get_by_role("group", name="Rating of question 1").get_by_label(label).check()
        expect(tab.locator("#question-1 [data-scorecard-state]")).to_contain_text(text)
    assert read_ratings(live_server, interview) == {"why": (4, "", 1)}


def test_page_works_without_scripts(
    browser: Browser, live_server: LiveServer, interview: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server)
    page.goto(live_server.url + interview_path(interview))
    expect(page.get_by_label("Speed")).to_be_hidden()
    expect(page.locator("video[controls]").first).to_be_visible()
    for number in (1, 2, 3):
        page.get_by_role("group", name=f"Rating of question {number}").get_by_label("4").check()
        page.get_by_role("button", name=f"the rating of question {number}").click()
    page.get_by_role("button", name="Submit my scorecard").click()
    expect(page.get_by_text("Your scorecard is submitted.").first).to_be_visible()
    context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_interview_pages_of_several_reviewers_are_accessible(
    page: Page, live_server: LiveServer, interview: str, width: int
) -> None:
    services = live_server.services
    interview_factories.rate_answers(services, interview, 5, 4, 3, reviewer=ANN)
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        order.rate_overall(4, "Hire", ANN, services.now())
        order.submit_scorecard(session, ANN, services.now())
        take = order.selected_recording("why")
        assert take
        for actor in (ANN, SAM):
            now = services.now()
            take.time_notes.append(TimeNote(seconds=1, text="A" * 200, actor=actor, created_at=now))
        text = "WEBVTT\n\n00:00.000 --> 00:01.000\nGood morning\n"
        save_captions(take, text, "en", STAFF, ANN, services.now())
        order.assign(session, SAM, ANN, services.now())
        recording = take.public_id
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(page, live_server)
    checker = AccessibilityChecker(page, in_turn=True)
    path = interview_path(interview)
    for name in (path, f"{path}/captions/{recording}", f"{path}/complete"):
        page.goto(live_server.url + name)
        for summary in page.locator("summary").all():
            summary.click()
        checker.check_page(f"{name} {width}")
    interview_factories.rate_answers(services, interview, 4, 4, 4, reviewer=SAM)
    interview_factories.submit_scorecard(services, interview, SAM)
    for name in (path, f"{path}/complete"):
        page.goto(live_server.url + name)
        checker.check_page(f"submitted {name} {width}")
    assert checker.problems == []


def test_interview_is_reviewed_by_keyboard_alone(
    player: Page, live_server: LiveServer, interview: str
) -> None:
    for number in (1, 2, 3):
        group = player.get_by_role("group", name=f"Rating of question {number}")
        group.get_by_label("1 Poor").focus()
        player.keyboard.press("Space")
        player.keyboard.press("ArrowRight")
        state = player.locator(f"#question-{number} [data-scorecard-state]")
        expect(state).to_have_text("Saved")
    assert {key: row[0] for key, row in read_ratings(live_server, interview).items()} == {
        "why": 2,
        "proud": 2,
        "ask": 2,
    }
    player.get_by_role("link", name="Go on").focus()
    player.keyboard.press("Enter")
    player.wait_for_url("**step=submit#end")
    player.get_by_role("button", name="Submit my scorecard").focus()
    player.keyboard.press("Enter")
    expect(player.get_by_role("status")).to_contain_text("Your scorecard is submitted.")
