"""One full trip per kind, from the ATS's POST to the PUT at the ATS, with nothing pretended."""

import email
import email.policy
import re
import threading
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from provider.accounts import enter
from tests import cast, screened
from tests.conftest import Served
from tests.fake_ats import FakeAts

LAKITA = {
    "first_name": "Lakita",
    "last_name": "Marrero",
    "phone": "(785)991-6256",
    "email": "lakita_marrero@gmail.com",
}


class Workable:
    """The ATS's hands: what it calls, with its token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, headers=self.headers, timeout=10)

    def post(self, path: str, body: object) -> requests.Response:
        return requests.post(self.url + path, json=body, headers=self.headers, timeout=10)


def letter_link(instance: Path) -> str:
    """Return the link in the one letter that was written, once it is there."""
    waited = threading.Event()
    for _ in range(200):
        if letters := list((instance / "mail").glob("*.eml")):
            break
        waited.wait(0.05)
    assert len(letters) == 1
    message = email.message_from_bytes(letters[0].read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain",))
    assert body
    assert "Operations Manager" in body.get_content()
    found = re.search(r"http://\S+/c/\S+", body.get_content())
    assert found
    return found[0]


def test_an_assessment_goes_all_the_way_round(served: Served, ats: FakeAts, page: Page) -> None:
    _, token = cast.account(served.house)
    cast.test(served.house)
    workable = Workable(served.url, token)

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

    page.goto(letter_link(served.house.settings.instance))
    expect(page.get_by_role("heading", level=1)).to_have_text("Reasoning")
    assert "/c/o/" in page.url
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
    page.get_by_role("button", name="Hand in my answers").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(re.compile("thank", re.I))

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


@pytest.mark.parametrize(
    ("kind", "path", "product", "answer"),
    [
        ("interview", "/interviews", "interview_template_id", "interview_id"),
        ("check", "/checks", "package_id", "background_check_id"),
    ],
)
def test_an_interview_and_a_check_are_declined_in_the_browser(
    served: Served, ats: FakeAts, page: Page, kind: str, path: str, product: str, answer: str
) -> None:
    _, token = cast.account(served.house)
    wanted = {"interview": cast.interview, "check": cast.package}[kind](served.house)
    workable = Workable(served.url, token)
    ordered = workable.post(
        path,
        {
            product: wanted,
            "job_title": "Operations Manager",
            "callback_url": f"{ats.url}{path}/8823119",
            "candidate": LAKITA,
            "preferences": {"key": "value"},
        },
    )
    public_id = ordered.json()[answer]
    page.goto(letter_link(served.house.settings.instance))
    page.get_by_role("link", name="I do not want to take part").click()
    page.get_by_role("textbox").fill("I have found another job")
    page.get_by_role("button").last.click()
    (put,) = ats.wait_for(1)
    assert put.json == {"status": "rejected"} == workable.get(f"{path}/{public_id}").json()
    assert cast.status(served.house, public_id) == "declined"


def test_a_check_goes_all_the_way_round(served: Served, ats: FakeAts, page: Page) -> None:
    _, token = cast.account(served.house)
    screened.package(served.house)
    workable = Workable(served.url, token)
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

    page.goto(letter_link(served.house.settings.instance))
    consent(page)
    (put,) = ats.wait_for(1)
    assert put.json == {"status": "consented"} == workable.get(f"/checks/{public_id}").json()

    look_into(served, page, public_id)
    puts = ats.wait_for(2)
    assert [each.json["status"] for each in puts] == ["consented", "completed"]
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
    expect(page.get_by_text("conviktion")).to_have_count(0)
    pdf = requests.get(last.json["attachments"][0]["url"], timeout=10)
    assert (pdf.status_code, pdf.content[:5]) == (200, b"%PDF-")
    for left in (*(each.body for each in puts), pdf.content, page.content().encode()):
        assert not any(secret.encode() in left for secret in screened.SECRETS)


def consent(page: Page) -> None:
    """Agree with the keyboard, as somebody without a mouse does."""
    page.get_by_role("link", name="Read and decide").press("Enter")
    page.get_by_label("Full legal name").press_sequentially("Lakita Jane Marrero-Quux")
    page.keyboard.press("Tab")
    page.keyboard.type("02281990")
    page.get_by_label("Last two employers").press_sequentially("Zyxwv Bakery, 2015 to 2019")
    page.get_by_label("Type your full name to agree").press_sequentially("Lakita J. Marrero")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What happens next")).to_be_visible()
    expect(page.get_by_text("Lakita J. Marrero")).to_be_visible()


def look_into(served: Served, page: Page, public_id: str) -> None:
    """Enter the outcomes as staff do, and complete the check."""
    cast.staff(served.house)
    with served.house.db.writing() as session:
        cookie = enter(session, "sam@provider.test", "127.0.0.1", served.clock.now())
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": served.url}])
    page.goto(f"{served.url}/console/orders/{public_id}")
    page.get_by_role("link", name="Work on the screenings").click()
    for name, outcome in (
        ("Identity", "Clear"), ("Employment history", "To consider"), ("Criminal record", "Clear"),
    ):  # fmt: skip
        page.get_by_role("group", name=name).get_by_role("radio", name=outcome).check()
    page.get_by_role("group", name="Employment history").get_by_role("textbox").fill("A conviktion")
    page.get_by_role("button", name="Save and complete").click()
    page.get_by_role("button", name="Complete and tell the ATS").click()
    expect(page.get_by_role("status")).to_have_text("The check is completed.")
