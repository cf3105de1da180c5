"""Right-to-left texts, and words that are wider than their column, on pages that show them."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Locator, Page
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.kinds.assessment import Assessment
from provider.core.kinds.check import Check
from provider.core.kinds.interview import Interview
from provider.core.orders import Order
from provider.core.staff import complete_sign_in
from provider.outbox import Message
from provider.services import Services
from tests import check_factories, factories, interview_factories
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.web.candidate.test_pages import open_invitation
from tests.web.report.test_pages import report_path, shared_path

PROMPT, OPTION, TYPED = "מה הצבע של השמים?", "כחול", "ירוק"
LONG_WORD, LONGEST_WORD = "W" * 29, "W" * 200
LONG_EMAIL = f"{'w' * 60}@{'w' * 60}.example.com"
VIEWPORT_WIDTHS = (360, 768, 1280)


def make_content(prompt: str, option: str, **fields: Any) -> dict[str, Any]:
    options = [{"key": "a", "text": option, "correct": True}, {"key": "b", "text": "Other"}]
    items = [
        {"key": "choice", "kind": "single_choice", "prompt": prompt, "options": options},
        {"key": "word", "kind": "short_text", "prompt": prompt, "accepted": [option]},
    ]
    section = {"key": "section", "title": option, "items": items}
    report = {"answers": ["report", "pdf", "shared"]}
    return {"schema": 1, "report": report, "sections": [section], **fields}


def place_test(services: Services, content: dict[str, Any], name: str) -> tuple[str, str]:
    """Return the public ids of the product and of an order of it."""
    account_id, _ = factories.create_account(services)
    product = factories.create_product(services, "assessment", content, "flow", name)
    return product, factories.place_order(services, account_id, product, first_name=name)


def start_test(
    services: Services, public_id: str, answers: dict[str, dict[str, Any]] | None = None
) -> None:
    with services.db.writing() as session:
        test = Assessment.find(session, public_id)
        test.start(session, services.now())
        for key, answer in (answers or {}).items():
            test.save(key, answer, services.now())


def submit_test(services: Services, public_id: str, **answers: dict[str, str]) -> None:
    """Submit for the candidate. The browser must not show a page of the test.

    Such a page would open the end page by itself, at the moment of the next `goto`.
    """
    with services.db.writing() as session:
        test = Assessment.find(session, public_id)
        for key, answer in answers.items():
            test.save(key, answer, services.now())
        test.submit(session, services.secret_box, services.now())


def direction(element: Locator) -> str:
    return str(element.evaluate("element => getComputedStyle(element).direction"))


def find_wide_pages(page: Page, live_server: LiveServer, paths: list[str]) -> list[str]:
    """Return the pages that are wider than a screen, with the screen's width."""
    wide_pages = []
    for path in paths:
        response = page.goto(live_server.url + path)
        assert response
        assert response.ok
        for width in VIEWPORT_WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            page_width = page.evaluate("document.documentElement.scrollWidth")
            if page_width > width:
                wide_pages.append(f"{path}: {page_width} px at {width} px")
    return wide_pages


def sign_in(page: Page, live_server: LiveServer) -> None:
    factories.create_staff(live_server.services)
    with live_server.services.db.writing() as session:
        cookie = complete_sign_in(
            session, "sam@provider.test", "127.0.0.1", live_server.clock.now()
        )
    page.context.add_cookies([{"name": "staff", "value": cookie, "url": live_server.url}])


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [({}, 'dir="auto"'), ({"language": "he"}, 'lang="he" dir="rtl"')],
    ids=["no language", "Hebrew"],
)
def test_report_hebrew_texts_have_their_direction(
    client: FlaskClient, services: Services, fields: dict[str, Any], attributes: str
) -> None:
    _, order = place_test(services, make_content(PROMPT, OPTION, **fields), "Colours")
    factories.finish_test(services, order, {"choice": {"answer": "a"}, "word": {"answer": TYPED}})
    html = client.get(report_path(services, order)).text
    assert html.count(f"<td {attributes}>{PROMPT}</td>") == 2
    assert f"<h3 {attributes}>{OPTION}</h3>" in html
    assert f'dir="auto">{OPTION}<bdi' in html
    assert f'dir="auto">{TYPED}<bdi' in html


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [({}, 'dir="auto"'), ({"language": "he"}, 'lang="he" dir="rtl"')],
    ids=["no language", "Hebrew"],
)
def test_candidate_pages_hebrew_texts_have_their_direction(
    client: FlaskClient,
    services: Services,
    clock: ManualClock,
    fields: dict[str, Any],
    attributes: str,
) -> None:
    _, order = place_test(services, make_content(PROMPT, OPTION, time_limit=1, **fields), OPTION)
    start_test(services, order)
    open_invitation(client, services, order)
    html = client.get(f"/c/o/{order}/items/1").text
    assert f'id="prompt" {attributes}><p>{PROMPT}</p>' in html
    assert f"<span {attributes}>{OPTION}</span>" in html
    assert '<input dir="auto"' in client.get(f"/c/o/{order}/items/2").text
    clock.advance(timedelta(minutes=1, seconds=1))  # the time is over, an answer may still arrive
    html = client.get(f"/c/o/{order}/").text
    assert "Your saved answers are being submitted" in html
    assert f'<p class="eyebrow" {attributes}>{OPTION}</p>' in html


def test_hebrew_texts_in_browser_run_from_right_to_left(
    live_server: LiveServer, page: Page
) -> None:
    services = live_server.services
    product, order = place_test(services, make_content(PROMPT, OPTION), OPTION)
    sign_in(page, live_server)
    page.goto(f"{live_server.url}/console/products/{product}")
    assert direction(page.locator("h1 bdi")) == "rtl"
    assert direction(page.locator("bdi", has_text=OPTION).last) == "rtl"
    page.goto(factories.invitation_url(services, order))
    start_test(services, order)
    page.goto(f"{live_server.url}/c/o/{order}/items/1")
    assert direction(page.locator("#prompt p")) == "rtl"
    assert direction(page.get_by_text(OPTION).last) == "rtl"
    page.goto(f"{live_server.url}/c/o/{order}/items/2")
    page.locator("#answer").fill(TYPED)
    assert direction(page.locator("#answer")) == "rtl"
    page.goto("about:blank")
    submit_test(services, order, word={"answer": TYPED})
    page.goto(live_server.url + report_path(services, order))
    assert direction(page.locator("h1")) == "rtl"
    assert direction(page.get_by_role("cell", name=PROMPT).first) == "rtl"
    assert direction(page.get_by_role("cell", name=TYPED)) == "rtl"


def test_long_words_on_pages_stay_within_the_screen(live_server: LiveServer, page: Page) -> None:
    services = live_server.services
    product, order = place_test(services, make_content(LONGEST_WORD, LONG_WORD), LONG_WORD)
    sign_in(page, live_server)
    page.goto(factories.invitation_url(services, order))
    assert find_wide_pages(page, live_server, [f"/c/o/{order}/"]) == []
    start_test(services, order, {"choice": {"answer": "a"}, "word": {"answer": LONGEST_WORD}})
    candidate_paths = [f"/c/o/{order}/{path}" for path in ("items/1", "items/2", "overview")]
    assert find_wide_pages(page, live_server, candidate_paths) == []
    page.goto("about:blank")
    submit_test(services, order)
    paths = [
        f"/c/o/{order}/",
        report_path(services, order),
        *(f"/console/{path}" for path in ("orders", f"orders/{order}", "products")),
        f"/console/products/{product}",
    ]
    assert find_wide_pages(page, live_server, paths) == []


def create_long_account(services: Services) -> int:
    """Return the id of an account whose names and settings are long words."""
    account_id, _ = factories.create_account(
        services, "W" * 100, hosts=["*.workable.com", f"{'w' * 60}.example.com"]
    )
    return account_id


def place_long_order(
    services: Services, account_id: int, kind: str, content: dict[str, Any]
) -> tuple[str, str]:
    """Return the public ids of a product and of an order of it, with long words in each field."""
    product = factories.create_product(services, kind, content, f"long-{kind}", "W" * 120)
    order = factories.place_order(
        services,
        account_id,
        product,
        kind,
        callback_url=f"https://groove-tech.workable.com/{kind}/{LONGEST_WORD}",
        email=LONG_EMAIL,
        first_name=LONG_WORD,
        last_name=LONGEST_WORD,
        job_title=LONGEST_WORD,
    )
    return product, order


def test_long_words_of_an_interview_stay_within_the_screen(
    app_server: LiveServer, page: Page
) -> None:
    services = app_server.services
    question = {"key": "why", "text": LONGEST_WORD, "takes": 2}
    content = {
        "schema": 1,
        "description": LONGEST_WORD,
        "instructions": LONGEST_WORD,
        "questions": [question, question | {"key": "proud"}],
        "scale": {"min": 1, "max": 2, "labels": ["W" * 60] * 2},
    }
    product, order = place_long_order(services, create_long_account(services), "interview", content)
    sign_in(page, app_server)
    page.goto(factories.invitation_url(services, order))
    paths = [f"/c/o/{order}/{path}" for path in ("", "camera", "decline")]
    assert find_wide_pages(page, app_server, paths) == []
    with services.db.writing() as session:
        Interview.find(session, order).start(session, services.now())
    interview_factories.record_answer(services, order, "why")
    paths = [f"/c/o/{order}/{path}" for path in ("questions/1", "questions/2", "answers")]
    assert find_wide_pages(page, app_server, paths) == []
    page.goto("about:blank")
    interview_factories.record_answer(services, order, "proud")
    interview_factories.submit_interview(services, order)
    interview_factories.rate_answers(services, order, 2, 1, note=LONGEST_WORD)
    paths = [
        f"/c/o/{order}/",
        f"/console/orders/{order}",
        f"/console/orders/{order}/interview",
        f"/console/orders/{order}/interview/complete",
        f"/console/products/{product}",
    ]
    assert find_wide_pages(page, app_server, paths) == []
    interview_factories.complete_interview(services, order)
    paths = [report_path(services, order), shared_path(services, order, 1, "views")]
    assert find_wide_pages(page, app_server, paths) == []


def test_long_words_of_a_check_stay_within_the_screen(app_server: LiveServer, page: Page) -> None:
    services = app_server.services
    screenings: list[dict[str, Any]] = [
        {"key": "one", "name": "W" * 60, "description": LONGEST_WORD, "asks": ["full_name"]},
        {"key": "two", "name": "M" * 60},
    ]
    content = {
        "schema": 1,
        "description": LONGEST_WORD,
        "sections": [{"key": "rights", "title": "W" * 60, "text": LONGEST_WORD}],
        "screenings": screenings,
        "disclosure": {"key": "long", "version": "W" * 40, "text": LONGEST_WORD},
    }
    product, order = place_long_order(services, create_long_account(services), "check", content)
    sign_in(page, app_server)
    page.goto(factories.invitation_url(services, order))
    paths = [f"/c/o/{order}/{path}" for path in ("", "consent", "consent/disclosure", "decline")]
    assert find_wide_pages(page, app_server, paths) == []
    check_factories.give_consent(services, order, LONG_WORD, full_name={"family": LONG_WORD})
    with services.db.writing() as session:
        for screening in screenings:
            Check.find(session, order).record_finding(
                session,
                services.secret_box,
                screening["key"],
                "consider",
                LONGEST_WORD,
                LONG_EMAIL,
                services.now(),
                report_text=LONGEST_WORD,
            )
    paths = [
        f"/c/o/{order}/",
        f"/console/checks/{order}/",
        f"/console/checks/{order}/complete",
        f"/console/orders/{order}",
        f"/console/products/{product}",
    ]
    assert find_wide_pages(page, app_server, paths) == []
    check_factories.complete_check(services, order)
    paths = [report_path(services, order), shared_path(services, order, 1, "views")]
    assert find_wide_pages(page, app_server, paths) == []


def test_long_words_in_lists_of_the_console_stay_within_the_screen(
    app_server: LiveServer, page: Page
) -> None:
    services = app_server.services
    account_id = create_long_account(services)
    content = make_content(LONGEST_WORD, LONG_WORD)
    _, order = place_long_order(services, account_id, "assessment", content)
    sign_in(page, app_server)
    with services.db.writing() as session:
        Order.find(session, order).cancel(session, LONG_EMAIL, LONGEST_WORD, services.now())
        account = session.get_one(Account, account_id).public_id
        messages = session.scalars(select(Message.public_id)).all()
    assert len(messages) > 1
    paths = [
        *(f"/console/{name}/" for name in ("orders", "emails", "deliveries", "accounts", "audit")),
        *(f"/console/deliveries/{message}" for message in messages),
        "/console/deliveries/again",
        f"/console/accounts/{account}",
        f"/console/accounts/{account}/connection",
        f"/console/orders/{order}/reopen",
    ]
    assert find_wide_pages(page, app_server, paths) == []
