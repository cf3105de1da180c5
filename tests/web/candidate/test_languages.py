"""The language of a candidate's pages and e-mails: chosen, the product's, or the browser's."""

from email import message_from_bytes, policy
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import select

from provider.core.orders import Order, Result
from provider.services import Services
from tests import factories
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_pages import invitation_path, open_invitation, submit_form

GERMAN, ARABIC = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}, {"Accept-Language": "ar-EG"}
GREETINGS = {"en": "Hello Lakita", "de": "Guten Tag Lakita", "fr": "Bonjour Lakita"}


def place_test(services: Services, language: str = "", account: str = "Groove Tech") -> str:
    """Return an order of a test whose document names a language, or none."""
    account_id, _ = factories.create_account(services, account)
    content = {"language": language} if language else {}
    return factories.place_order(services, account_id, factories.create_test(services, **content))


def landing(client: FlaskClient, public_id: str, headers: dict[str, str] | None = None) -> str:
    return client.get(f"/c/o/{public_id}/", headers=headers).text


def newest_email(services: Services) -> str:
    """Send the e-mails, and return the text of the newest one."""
    factories.deliver_emails(services)
    path = max((services.settings.instance / "mail").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    body = message_from_bytes(path.read_bytes(), policy=policy.default).get_body(("plain",))
    assert body
    return str(body.get_content())


@pytest.mark.parametrize(
    ("product", "browser", "language"),
    [
        ("", "", "en"),
        ("", "de-AT,de;q=0.9,en;q=0.5", "de"),
        ("", "pl,fr;q=0.5,de;q=0.4", "fr"),
        ("fr", "de", "fr"),
        ("de-CH", "fr", "de"),
        ("he", "fr", "fr"),
        ("", "pl", "en"),
        ("", "de;q=0, fr;q=0.1", "fr"),
    ],
)
def test_landing_has_the_language_of_product_or_browser(
    client: FlaskClient, services: Services, product: str, browser: str, language: str
) -> None:
    public_id = place_test(services, product)
    open_invitation(client, services, public_id)
    page = landing(client, public_id, {"Accept-Language": browser} if browser else None)
    assert f'<html lang="{language}" dir="ltr">' in page
    assert GREETINGS[language] in page


@pytest.mark.parametrize("product", ["", "fr"])
def test_chosen_language_is_used_before_product_and_browser(
    client: FlaskClient, services: Services, product: str
) -> None:
    public_id = place_test(services, product)
    page = open_invitation(client, services, public_id).text
    response = submit_form(client, page, f"/c/o/{public_id}/language", language="ar")
    assert response.headers["Location"] == f"/c/o/{public_id}/"
    page = landing(client, public_id, GERMAN)
    assert '<html lang="ar" dir="rtl">' in page
    assert 'value="ar" aria-current="true">العربية</button>' in page
    question = submit_form(client, page, f"/c/o/{public_id}/start").headers["Location"]
    assert "السؤال" in client.get(question, headers=GERMAN).text


@pytest.mark.parametrize("language", ["", "pl", "../de", "de'"])
def test_choose_language_without_catalogue_returns_404(
    client: FlaskClient, services: Services, language: str
) -> None:
    public_id = place_test(services)
    page = open_invitation(client, services, public_id).text
    response = submit_form(client, page, f"/c/o/{public_id}/language", language=language)
    assert response.status_code == 404
    assert '<html lang="en"' in landing(client, public_id)


def test_choose_language_without_session_is_refused(
    client: FlaskClient, services: Services, app: Any
) -> None:
    public_id = place_test(services)
    page = open_invitation(client, services, public_id).text
    token = factories.csrf_token(page)
    client.delete_cookie(f"c-{public_id}")
    form = {"csrf_token": token, "language": "de"}
    assert client.post(f"/c/o/{public_id}/language", data=form).status_code == 403
    with services.db.reading() as session:
        assert Order.find(session, public_id).language == ""


def test_emails_follow_the_chosen_language(client: FlaskClient, services: Services) -> None:
    public_id = place_test(services)
    assert "Hello Lakita," in newest_email(services)
    page = open_invitation(client, services, public_id).text
    submit_form(client, page, f"/c/o/{public_id}/language", language="fr")
    with services.db.writing() as session:
        Order.find(session, public_id).enqueue_email(session, "extension", services.now())
    assert "Bonjour Lakita," in newest_email(services)


@pytest.mark.parametrize(("product", "expected"), [("", "de"), ("fr", "")])
def test_first_act_remembers_the_language_of_the_browser(
    client: FlaskClient, services: Services, product: str, expected: str
) -> None:
    public_id = place_test(services, product)
    page = client.get(
        invitation_path(services, public_id), headers=GERMAN, follow_redirects=True
    ).text
    for headers in (GERMAN, ARABIC):  # the second device changes nothing
        form = {"csrf_token": factories.csrf_token(page)}
        client.post(f"/c/o/{public_id}/opened", data=form, headers=headers)
    with services.db.reading() as session:
        assert Order.find(session, public_id).language == expected


def test_error_without_session_has_the_language_of_the_browser(
    client: FlaskClient, services: Services
) -> None:
    page = client.get(f"/c/o/{place_test(services)}/", headers=GERMAN).text
    assert "Bitte verwenden Sie den Link in Ihrer E-Mail" in page


def test_result_is_the_same_in_every_language(client: FlaskClient, services: Services) -> None:
    results: list[Any] = []
    for headers in (None, ARABIC):
        public_id = place_test(services, account=f"Groove Tech {len(results)}")
        page = open_invitation(client, services, public_id).text
        token = {"csrf_token": factories.csrf_token(page)}
        client.post(f"/c/o/{public_id}/start", data=token, headers=headers)
        answer = {**token, "answer": "b"}
        client.post(f"/c/o/{public_id}/items/1", data=answer, headers=headers)
        client.post(f"/c/o/{public_id}/submit", data={**token, "blank": "3"}, headers=headers)
        with services.db.reading() as session:
            order = Order.find(session, public_id)
            result = session.scalars(select(Result).where(Result.order_id == order.id)).one()
            results.append((result.summary, result.details, result.figures))
    assert results[0] == results[1]


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
def test_candidate_chooses_a_language_by_keyboard(
    page: Page, live_server: LiveServer, has_scripts: bool
) -> None:
    public_id = place_test(live_server.services)
    assert page.context.browser
    context = page.context.browser.new_context(java_script_enabled=has_scripts)
    tab = context.new_page()
    tab.set_viewport_size({"width": 360, "height": 800})
    tab.goto(live_server.url + invitation_path(live_server.services, public_id))
    tab.locator(".languages summary").focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="العربية").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("html")).to_have_attribute("dir", "rtl")
    heading = tab.get_by_role("heading", level=1).bounding_box()
    menu = tab.locator(".languages").bounding_box()
    assert heading
    assert menu
    assert menu["x"] < 180 < heading["x"] + heading["width"]
    context.close()


def test_pages_in_arabic_and_german_are_accessible(page: Page, live_server: LiveServer) -> None:
    services = live_server.services
    checker = AccessibilityChecker(page, in_turn=True)
    for language in ("ar", "de"):
        public_id = place_test(services, language, account=f"Groove Tech {language}")
        page.goto(live_server.url + invitation_path(services, public_id))
        page.locator(".languages summary").click()
        checker.check_page(f"{language} invitation")
        page.locator("form[action$='/start'] button").click()
        for name in ("items/1", "items/2", "overview", "submit"):
            page.goto(f"{live_server.url}/c/o/{public_id}/{name}")
            checker.check_page(f"{language} {name}")
    assert checker.problems == []
