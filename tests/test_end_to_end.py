"""One order of each kind, from the POST of the ATS to the callback, with a real browser."""

import email
import email.policy
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from provider.core.kinds.interview import READY, Interview
from provider.core.staff import complete_sign_in
from tests import check_factories, factories, interview_factories
from tests.conftest import LiveServer
from tests.fake_ats import FakeAts
from tests.fake_greenhouse import FakeGreenhouse
from tests.wait_for import wait_for
from tests.web.recording import wait_for_chunk

LAKITA = {
    "first_name": "Lakita",
    "last_name": "Marrero",
    "phone": "(785)991-6256",
    "email": "lakita_marrero@gmail.com",
}

QUESTIONS = [
    {"key": "why", "text": "Why *this* job?", "think_seconds": 20, "takes": 2},
    {"key": "when", "text": "When can you start?", "think_seconds": 0, "answer_seconds": 10},
]


class Workable:
    """The ATS's HTTP client."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, headers=self.headers, timeout=10)

    def post(self, path: str, body: object) -> requests.Response:
        return requests.post(self.url + path, json=body, headers=self.headers, timeout=10)


def wait_for_invitation_link(instance: Path, text: str = "Operations Manager") -> str:
    """Wait for the only e-mail, which has this text, and return the link of its invitation."""
    (path,) = wait_for(lambda: list((instance / "mail").glob("*.eml")))
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain",))
    assert body
    assert text in body.get_content()
    match = re.search(r"http://\S+/c/\S+", body.get_content())
    assert match
    return match[0]


def take_reasoning_test(page: Page) -> None:
    """Answer every question right, and submit."""
    page.get_by_role("button", name="Start").click()
    page.get_by_role("radio", name="42").check()
    page.get_by_role("button", name="Next").click()
    page.wait_for_url("**/items/2")
    page.get_by_role("textbox").fill("3.5")
    page.get_by_role("button", name="Next").click()
    page.wait_for_url("**/items/3")
    page.get_by_role("textbox").fill("late")
    page.get_by_role("button", name="Next").click()
    page.wait_for_url("**/items/4")
    page.get_by_role("radio", name="True").check()
    page.get_by_role("button", name="Check your answers").click()
    page.get_by_role("button", name="Submit my answers").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(re.compile("thank", re.I))


def test_assessment_from_order_to_report(live_server: LiveServer, ats: FakeAts, page: Page) -> None:
    _, token = factories.create_account(live_server.services)
    factories.create_test(live_server.services)
    workable = Workable(live_server.url, token)

    (test,) = workable.get("/tests").json()["tests"]
    ordered = workable.post(
        "/assessments",
        {
            "test_id": test["id"],
            "job_shortcode": "GROOV005",
            "job_title": "Operations Manager",
            "callback_url": f"{ats.url}/assessments/8823119",
            "candidate": LAKITA,
        },
    )
    assert ordered.status_code == 201
    public_id = ordered.json()["assessment_id"]
    assert workable.get(f"/assessments/{public_id}").json() == {"status": "pending"}

    page.goto(wait_for_invitation_link(live_server.services.settings.instance))
    expect(page.get_by_role("heading", level=1)).to_have_text("Reasoning")
    assert "/c/o/" in page.url
    take_reasoning_test(page)

    (put,) = ats.wait_for(1)
    assert (put.method, put.path) == ("PUT", "/assessments/8823119")
    assert put.headers["Authorization"] == "Bearer cb-token"
    assert put.json == workable.get(f"/assessments/{public_id}").json()
    assert put.json["status"] == "completed"
    assert put.json["assessment"]["score"] == "100"
    assert put.json["assessment"]["grade"] == "excelled"
    assert put.json["assessment"]["details"]["Numbers"]["Score"] == 100

    page.goto(put.json["results_url"])
    for text in ("Lakita Marrero", "100%", "Excelled", "Operations Manager"):
        expect(page.get_by_text(text).first).to_be_visible()
    pdf = requests.get(put.json["attachments"][0]["url"], timeout=10)
    assert (pdf.status_code, pdf.content[:5]) == (200, b"%PDF-")

    shared = workable.get(f"/assessments/{public_id}/shared-link").json()
    page.goto(shared["url"])
    expect(page.get_by_text("Lakita Marrero").first).to_be_visible()


def test_greenhouse_from_send_test_to_the_score(live_server: LiveServer, page: Page) -> None:
    services = live_server.services
    _, key = factories.create_account(
        services, "Acme", ats="greenhouse", hosts=["127.0.0.1"], callback_token=None
    )
    factories.create_test(services)
    with FakeGreenhouse(live_server.url, key) as greenhouse:
        (test,) = greenhouse.list_tests()
        order_id = greenhouse.send_test(test["partner_test_id"], 12345)
        page.goto(wait_for_invitation_link(services.settings.instance, "Acme"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Reasoning")
        take_reasoning_test(page)
        (patch,) = greenhouse.wait_for_patches(1)
        status = greenhouse.test_status(order_id)
        assert patch.has_right_key
        assert (status["partner_status"], status["partner_score"]) == ("complete", 100)
        assert status["metadata"]["Numbers: Score"] == 100
        page.goto(status["partner_profile_url"])
        for text in ("Lakita Marrero", "100%", "Excelled"):
            expect(page.get_by_text(text).first).to_be_visible()
        assert greenhouse.problems == []


def test_interview_from_order_to_report(
    live_server: LiveServer, ats: FakeAts, browser: Browser, page: Page
) -> None:
    _, token = factories.create_account(live_server.services)
    factories.create_product(
        live_server.services,
        "interview",
        interview_factories.TEMPLATE_CONTENT | {"questions": QUESTIONS},
        "two",
        "Two",
    )
    workable = Workable(live_server.url, token)
    (template,) = workable.get("/interview-templates").json()["interview_templates"]
    ordered = workable.post(
        "/interviews",
        {
            "interview_template_id": template["id"],
            "job_title": "Operations Manager",
            "callback_url": f"{ats.url}/interviews/8823119",
            "candidate": LAKITA,
        },
    )
    assert ordered.status_code == 201
    public_id = ordered.json()["interview_id"]

    page.goto(wait_for_invitation_link(live_server.services.settings.instance))
    take_interview(page)
    recordings = wait_for(lambda: processed_recordings(live_server, public_id))
    assert recordings == [("why", 1, True), ("why", 2, False), ("when", 1, True)]
    assert workable.get(f"/interviews/{public_id}").json() == {"status": "pending"}

    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        rate_interview(live_server, context.new_page())
    (put,) = ats.wait_for(1)
    assert (put.method, put.path) == ("PUT", "/interviews/8823119")
    assert put.json == workable.get(f"/interviews/{public_id}").json()
    result = put.json["interview"]
    assert put.json["status"] == "completed"
    assert (result["score"], result["grade"], result["summary"]) == ("75", "passed", "A good talk")
    assert result["details"]["Ratings"] == {"1. Why this job?": 5, "2. When can you start?": 3}

    page.context.clear_cookies()
    expect_report(page, put.json["results_url"])
    pdf = requests.get(put.json["attachments"][0]["url"], timeout=10)
    assert (pdf.status_code, pdf.content[:5]) == (200, b"%PDF-")
    expect_report(page, workable.get(f"/interviews/{public_id}/shared-link").json()["url"])


def take_interview(page: Page) -> None:
    """Try the camera, record twice, choose the first take, record the second answer, submit."""
    page.get_by_role("link", name="Try camera and microphone").click()
    press(page, "Turn them on")
    expect(page.locator("[data-sound]")).to_have_text("We hear you")
    press(page, "Start the interview")
    expect(page.get_by_text("Why this job?")).to_be_hidden()
    for again in ("Show the question", "Record again"):
        press(page, again)
        expect(page.get_by_text("Why this job?")).to_be_visible()
        press(page, "Record now")
        record(page, "1:5[0-8]")
        expect_playback(page.locator("[data-step=saved] video").last)
    expect(page.get_by_text("This answer cannot be recorded again.")).to_be_visible()
    press(page, "Use take 1")
    expect(page.locator(".take.is-selected strong")).to_have_text("Take 1")
    page.get_by_role("link", name="Next question").click()
    press(page, "Show the question")
    record(page, "0:0[0-8]")
    page.get_by_role("link", name="Check and submit").click()
    expect(page.get_by_text("You have answered all 2 questions.")).to_be_visible()
    press(page, "Submit my answers")
    expect(page.get_by_role("heading", name="Thank you, Lakita")).to_be_visible()
    expect(page.get_by_text("Your interview has been submitted.")).to_be_visible()


def record(page: Page, time_left: str) -> None:
    """Record until the time left matches, stop, and expect the recording to be saved."""
    expect(page.locator("[data-recording-sign]")).to_be_visible()
    expect(page.locator("[data-time]")).to_have_text(re.compile(time_left))
    wait_for_chunk(page)
    press(page, "Stop and save")
    expect(page.locator("[data-step=saved]")).to_be_visible()
    expect(page.locator("[data-saved]")).to_have_text("Saved")


def processed_recordings(live_server: LiveServer, public_id: str) -> list[tuple[str, int, bool]]:
    """Return question, take and selection of each recording; empty until all are processed."""
    with live_server.services.db.reading() as session:
        recordings = Interview.find(session, public_id).recordings
        if any(recording.state != READY for recording in recordings):
            return []
        return [
            (recording.question, recording.take, recording.is_selected) for recording in recordings
        ]


def rate_interview(live_server: LiveServer, page: Page) -> None:
    """Sign in to the console, watch and rate each answer, write a summary and complete."""
    password = factories.create_staff(live_server.services, role="operator")
    page.set_default_timeout(10_000)
    page.goto(f"{live_server.url}/console/")
    page.get_by_label("E-mail address").fill("sam@provider.test")
    page.get_by_label("Password").fill(password)
    press(page, "Sign in")
    page.get_by_role("link", name="1 Interview that waits for the staff").click()
    page.get_by_role("link", name="Lakita Marrero").click()
    page.get_by_role("link", name="Watch and rate the answers").click()
    for number, label in enumerate(("5 Excellent", "3 Fair"), 1):
        answer = page.get_by_role("article", name=f"Question {number}")
        expect_playback(answer.locator("video").first)
        answer.get_by_label(label).check()
        answer.get_by_label(re.compile("^Note optional")).fill(f"On {label}")
        answer.get_by_role("button", name="Save").click()
        expect(answer.locator("[data-scorecard-state]")).to_have_text("Saved")
    page.get_by_role("link", name="Go on").click()
    page.get_by_role("link", name="Complete…").click()
    expect(page.get_by_text("75%")).to_be_visible()
    page.get_by_label("Summary").fill("A good talk")
    press(page, "Complete and notify the ATS")
    expect(page.get_by_role("status")).to_contain_text("The interview is completed")


def expect_report(page: Page, url: str) -> None:
    """Expect a report with the result, and each answer with its poster image and rating."""
    page.goto(url)
    for text in (
        "Lakita Marrero",
        "75%",
        "Passed",
        "A good talk",
        "5 of 5, Excellent",
        "On 3 Fair",
    ):
        expect(page.get_by_text(text).first).to_be_visible()
    videos = page.locator("video")
    expect(videos).to_have_count(2)
    for video in videos.all():
        poster = page.request.get(urljoin(page.url, video.get_attribute("poster") or "no poster"))
        assert (poster.status, poster.body()[:3]) == (200, b"\xff\xd8\xff")
    expect_playback(videos.first)


def expect_playback(video: Locator) -> None:
    video.evaluate("async video => { video.muted = true; await video.play(); }")
    video.evaluate(interview_factories.WAIT_FOR_PLAYBACK_SCRIPT, 0.1)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


@pytest.mark.parametrize(
    ("kind", "path", "product_id_key", "order_id_key"),
    [
        ("interview", "/interviews", "interview_template_id", "interview_id"),
        ("check", "/checks", "package_id", "background_check_id"),
    ],
)
def test_declined_interview_and_check_are_rejected_at_ats(
    live_server: LiveServer,
    ats: FakeAts,
    page: Page,
    kind: str,
    path: str,
    product_id_key: str,
    order_id_key: str,
) -> None:
    _, token = factories.create_account(live_server.services)
    product_id = {"interview": factories.create_interview, "check": factories.create_package}[kind](
        live_server.services
    )
    workable = Workable(live_server.url, token)
    ordered = workable.post(
        path,
        {
            product_id_key: product_id,
            "job_title": "Operations Manager",
            "callback_url": f"{ats.url}{path}/8823119",
            "candidate": LAKITA,
            "preferences": {"key": "value"},
        },
    )
    public_id = ordered.json()[order_id_key]
    page.goto(wait_for_invitation_link(live_server.services.settings.instance))
    page.get_by_role("link", name="I do not want to take part").click()
    page.get_by_role("textbox").fill("I have found another job")
    page.get_by_role("button").last.click()
    (put,) = ats.wait_for(1)
    assert put.json == {"status": "rejected"} == workable.get(f"{path}/{public_id}").json()
    assert factories.order_status(live_server.services, public_id) == "declined"


def test_check_from_order_to_report(live_server: LiveServer, ats: FakeAts, page: Page) -> None:
    _, token = factories.create_account(live_server.services)
    check_factories.create_package(live_server.services)
    workable = Workable(live_server.url, token)
    (package,) = workable.get("/packages").json()["packages"]
    ordered = workable.post(
        "/checks",
        {
            "package_id": package["id"],
            "job_title": "Operations Manager",
            "callback_url": f"{ats.url}/checks/8823119",
            "candidate": LAKITA,
        },
    )
    assert ordered.status_code == 201
    public_id = ordered.json()["background_check_id"]
    assert workable.get(f"/checks/{public_id}").json() == {"status": "pending"}

    page.goto(wait_for_invitation_link(live_server.services.settings.instance))
    give_consent(page)
    (put,) = ats.wait_for(1)
    assert put.json == {"status": "consented"} == workable.get(f"/checks/{public_id}").json()

    complete_check(live_server, page, public_id)
    puts = ats.wait_for(2)
    assert [put.json["status"] for put in puts] == ["consented", "completed"]
    last = puts[-1]
    assert (last.method, last.path) == ("PUT", "/checks/8823119")
    assert last.json == workable.get(f"/checks/{public_id}").json()
    assert last.json["check"] == {
        "overall_status": "consider",
        "result": [
            {"name": "Identity", "status": "clear"},
            {"name": "Employment history", "status": "consider"},
            {"name": "Criminal record", "status": "clear"},
        ],
    }
    page.context.clear_cookies()
    page.goto(last.json["results_url"])
    expect(page.get_by_text("1 of 3 screenings to consider.")).to_be_visible()
    expect(page.get_by_text("One employer names another year.")).to_be_visible()
    expect(page.get_by_text("conviktion")).to_have_count(0)
    pdf = requests.get(last.json["attachments"][0]["url"], timeout=10)
    assert (pdf.status_code, pdf.content[:5]) == (200, b"%PDF-")
    for data in (*(put.body for put in puts), pdf.content, page.content().encode()):
        assert not any(secret.encode() in data for secret in check_factories.SECRET_WORDS)
    assert not any(b"One employer" in put.body for put in puts)


def give_consent(page: Page) -> None:
    """Go through the steps to the consent with the keyboard only."""
    page.get_by_role("link", name="Read and decide").press("Enter")
    page.get_by_role("button", name="Continue").press("Enter")
    page.get_by_label("Given names").press_sequentially("Lakita Jane")
    page.get_by_label("Family name").press_sequentially("Marrero-Quux")
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Date of birth").press_sequentially("02281990")
    page.keyboard.press("Enter")
    page.get_by_label("Employer", exact=True).press_sequentially("Zyxwv Bakery")
    page.get_by_label("Town").press_sequentially("Athens")
    page.get_by_label("Country").press_sequentially("Greece")
    page.get_by_label("Your role").press_sequentially("baker")
    page.get_by_label("From").fill("2015-03")
    page.get_by_label("May we ask them now?").press_sequentially("Yes")
    page.get_by_label("Your role").press("Enter")
    page.get_by_label("Type your full name to agree").press_sequentially("Lakita J. Marrero")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What happens next")).to_be_visible()
    expect(page.get_by_text("Lakita J. Marrero")).to_be_visible()


def complete_check(live_server: LiveServer, page: Page, public_id: str) -> None:
    """Enter the outcomes in the console, and complete the check."""
    factories.create_staff(live_server.services)
    with live_server.services.db.writing() as session:
        cookie = complete_sign_in(
            session, "sam@provider.test", "127.0.0.1", live_server.clock.now()
        )
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": live_server.url}])
    page.goto(f"{live_server.url}/console/orders/{public_id}")
    page.get_by_role("link", name="Work on the screenings").click()
    for name, outcome in (
        ("Identity", "Clear"),
        ("Employment history", "To consider"),
        ("Criminal record", "Clear"),
    ):
        page.get_by_role("group", name=name).get_by_role("radio", name=outcome).check()
    jobs = page.get_by_role("group", name="Employment history")
    jobs.get_by_label("Text in the report").fill("One employer names another year.")
    jobs.get_by_label("Private note").fill("A conviktion")
    page.get_by_role("button", name="Save and complete").click()
    page.get_by_role("button", name="Complete and notify the ATS").click()
    expect(page.get_by_role("status")).to_have_text("The check is completed.")
