"""The invitation: in by the link, declining, and what became of it."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from provider.app import create_app
from provider.config import Settings
from provider.core.orders import INVITE, Link, Order, OrderSession
from provider.services import Services
from tests import factories
from tests.factories import ManualClock


@pytest.fixture
def invited(services: Services) -> str:
    brand = {"display_name": "Groove & Co"}
    account_id, _ = factories.create_account(services, timezone="Europe/Athens", branding=brand)
    return factories.place_order(services, account_id, factories.create_test(services))


def path_of(services: Services, public_id: str) -> str:
    return urlsplit(factories.invitation_url(services, public_id)).path


def enter(client: FlaskClient, services: Services, public_id: str) -> TestResponse:
    """Follow the link of the invitation to the landing page."""
    return client.get(path_of(services, public_id), follow_redirects=True)


def press(client: FlaskClient, page: str, action: str, **fields: str) -> TestResponse:
    """Post a form with the token that the page holds."""
    return client.post(action, data={"csrf_token": factories.csrf_token(page), **fields})


def story(services: Services, public_id: str) -> list[str]:
    with services.db.reading() as session:
        return [event.type for event in Order.find(session, public_id).events]


def sessions(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count(OrderSession.id))) or 0


def test_the_link_leads_to_an_address_without_the_token(
    client: FlaskClient, services: Services, invited: str
) -> None:
    path = path_of(services, invited)
    answer = client.get(path)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/c/o/{invited}/"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"c-{invited}=")
    assert path.removeprefix("/c/") not in cookie
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Lax", "Path=/"))
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_over_https_the_cookie_is_bound_to_the_host(settings: Settings, clock: ManualClock) -> None:
    told = Settings(**{**settings.__dict__, "base_url": "https://provider.test"})
    services = Services.build(told, clock)
    client = create_app(services).test_client()
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(services, account_id, factories.create_test(services))
    answer = client.get(path_of(services, public_id), base_url="https://provider.test")
    assert answer.headers["Set-Cookie"].startswith(f"__Host-c-{public_id}=")
    assert "Secure" in answer.headers["Set-Cookie"]
    landing = client.get(f"/c/o/{public_id}/", base_url="https://provider.test")
    assert landing.status_code == 200
    services.db.close()


@pytest.mark.parametrize("token", ["nonsense", "o", "x" * 5000, "%00", "%ff%fe", "ä"])
def test_an_unknown_link_gets_a_friendly_404(client: FlaskClient, token: str) -> None:
    answer = client.get(f"/c/{token}")
    assert answer.status_code == 404
    assert "The link you followed does not work" in answer.text


def test_a_withdrawn_link_opens_nothing(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    path = path_of(services, invited)
    with services.db.writing() as session:
        link = Link.find_permanent(session, Order.find(session, invited), INVITE)
        assert link
        link.revoked_at = clock.now()
    assert client.get(path).status_code == 404


def test_a_mail_scanner_starts_nothing(
    client: FlaskClient, services: Services, invited: str
) -> None:
    path = path_of(services, invited)
    assert client.head(path).status_code == 303
    assert sessions(services) == 0
    client.get(path)
    assert story(services, invited) == ["placed"]
    client.head(f"/c/o/{invited}/")
    assert story(services, invited) == ["placed"]
    assert factories.order_status(services, invited) == "pending"


def test_sessions_do_not_pile_up(app: Flask, services: Services, invited: str) -> None:
    path = path_of(services, invited)
    for _ in range(30):
        app.test_client().get(path)
    assert sessions(services) == 20


def test_a_browser_that_is_known_keeps_its_session(
    client: FlaskClient, services: Services, invited: str
) -> None:
    enter(client, services, invited)
    again = client.get(path_of(services, invited))
    assert again.status_code == 303
    assert "Set-Cookie" not in again.headers
    assert sessions(services) == 1


def test_two_invitations_in_one_browser_do_not_fight(
    client: FlaskClient, services: Services, invited: str
) -> None:
    account_id, _ = factories.create_account(services, "Other")
    product = factories.create_test(services, "Second", "second")
    other = factories.place_order(
        services, account_id, product, callback_url="https://a.workable.com/2"
    )
    assert "Reasoning" in enter(client, services, invited).text
    assert "Second" in enter(client, services, other).text
    assert "Reasoning" in client.get(f"/c/o/{invited}/").text
    assert "Second" in client.get(f"/c/o/{other}/").text


def test_without_a_session_one_is_asked_to_use_the_link(client: FlaskClient, invited: str) -> None:
    answer = client.get(f"/c/o/{invited}/")
    assert answer.status_code == 403
    assert "Please use the link in your e-mail" in answer.text


def test_another_orders_cookie_opens_nothing(
    client: FlaskClient, services: Services, invited: str
) -> None:
    enter(client, services, invited)
    cookie = client.get_cookie(f"c-{invited}")
    assert cookie
    account_id, _ = factories.create_account(services, "Other")
    product = factories.create_test(services, "Second", "second")
    other = factories.place_order(
        services, account_id, product, callback_url="https://a.workable.com/2"
    )
    client.set_cookie(f"c-{other}", cookie.value)
    assert client.get(f"/c/o/{other}/").status_code == 403


def test_a_session_ends_after_thirty_days(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    enter(client, services, invited)
    clock.advance(timedelta(days=30))
    assert client.get(f"/c/o/{invited}/").status_code == 403


def test_the_first_view_is_noted_once(
    client: FlaskClient, services: Services, invited: str
) -> None:
    enter(client, services, invited)
    client.get(f"/c/o/{invited}/")
    assert story(services, invited) == ["placed", "opened"]


def test_the_landing_page_says_what_will_happen(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = enter(client, services, invited).text
    for words in (
        "Hello Lakita",
        "Groove &amp; Co",
        "Operations Manager",
        "How you reason with words and numbers.",
        "20 minutes",
        "4, in 2 parts",
        factories.athens_time(services.now() + timedelta(days=7)),
        "What happens with your data",
        "Start the test",
        "I do not want to take part",
    ):
        assert words in page


def test_a_test_without_a_time_limit_says_so(client: FlaskClient, services: Services) -> None:
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(
        services, account_id, factories.create_test(services, time_limit=None)
    )
    page = enter(client, services, public_id).text
    assert "No limit" in page
    assert "When the time is over" not in page


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("interview", "Nothing is recorded and nothing begins."),
        ("check", "Nothing is looked into unless you agree."),
    ],
)
def test_interviews_and_checks_are_shown_honestly_and_can_be_declined(
    client: FlaskClient, services: Services, kind: str, words: str
) -> None:
    account_id, _ = factories.create_account(services)
    product = (
        factories.create_interview(services)
        if kind == "interview"
        else factories.create_package(services)
    )
    public_id = factories.place_order(services, account_id, product, kind)
    page = enter(client, services, public_id).text
    assert words in page
    assert "Start the test" not in page
    form = client.get(f"/c/o/{public_id}/decline").text
    press(client, form, f"/c/o/{public_id}/decline")
    assert factories.order_status(services, public_id) == "declined"


@pytest.mark.parametrize("kind", ["interview", "check"])
def test_what_is_not_a_test_has_no_questions(
    client: FlaskClient, services: Services, kind: str
) -> None:
    account_id, _ = factories.create_account(services)
    product = (
        factories.create_interview(services)
        if kind == "interview"
        else factories.create_package(services)
    )
    public_id = factories.place_order(services, account_id, product, kind)
    enter(client, services, public_id)
    form = client.get(f"/c/o/{public_id}/decline").text
    assert press(client, form, f"/c/o/{public_id}/start").status_code == 404
    assert client.get(f"/c/o/{public_id}/items/1").status_code == 404


def test_declining_keeps_the_reason_and_tells_the_ats(
    client: FlaskClient, services: Services, invited: str
) -> None:
    enter(client, services, invited)
    form = client.get(f"/c/o/{invited}/decline").text
    assert "optional" in form
    answer = press(client, form, f"/c/o/{invited}/decline", reason=" I found another job. ")
    assert answer.status_code == 303
    assert "You have declined" in client.get(answer.headers["Location"]).text
    with services.db.reading() as session:
        order = Order.find(session, invited)
        assert order.status == "declined"
        assert order.events[-1].note == "I found another job."


def test_declining_twice_changes_nothing(
    client: FlaskClient, services: Services, invited: str
) -> None:
    enter(client, services, invited)
    form = client.get(f"/c/o/{invited}/decline").text
    for _ in range(2):
        assert press(client, form, f"/c/o/{invited}/decline").status_code == 303
    assert story(services, invited).count("declined") == 1
    assert client.get(f"/c/o/{invited}/decline").status_code == 303


def test_a_reason_of_any_length_does_no_harm(
    client: FlaskClient, services: Services, invited: str
) -> None:
    enter(client, services, invited)
    form = client.get(f"/c/o/{invited}/decline").text
    answer = press(client, form, f"/c/o/{invited}/decline", reason="no\x00 " + "x" * 100_000)
    assert answer.status_code == 303
    with services.db.reading() as session:
        note = Order.find(session, invited).events[-1].note
    assert "\x00" not in note
    assert len(note) <= 2000


def test_an_overdue_invitation_expires_at_once(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    form = enter(client, services, invited).text
    deadline = clock.advance(timedelta(days=7))
    answer = press(client, form, f"/c/o/{invited}/start")
    assert answer.status_code == 409
    assert "This invitation is over" in answer.text
    assert factories.athens_time(deadline) in answer.text
    assert factories.order_status(services, invited) == "expired"
    assert press(client, form, f"/c/o/{invited}/decline").status_code == 409
    assert factories.order_status(services, invited) == "expired"


def test_a_first_visit_after_the_deadline_says_that_it_is_over(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    clock.advance(timedelta(days=8))
    assert "This invitation is over" in enter(client, services, invited).text
    assert story(services, invited) == ["placed", "expired"]


def test_a_cancelled_order_says_so(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    with services.db.writing() as session:
        Order.find(session, invited).cancel(session, "sam", "hired", clock.now())
    page = enter(client, services, invited).text
    assert "This invitation was taken back" in page
    assert "hired" not in page


def test_consent_is_thanked_for(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(
        services, account_id, factories.create_package(services), "check"
    )
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.change_status(session, "consented", actor="candidate", now=clock.now())
    assert "You have agreed to the check" in enter(client, services, public_id).text


def test_a_reopened_invitation_can_be_started(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    clock.advance(timedelta(days=8))
    enter(client, services, invited)
    with services.db.writing() as session:
        order = Order.find(session, invited)
        order.reopen(session, services.secret_box, "sam", "asked", clock.now())
    assert "Start the test" in client.get(f"/c/o/{invited}/").text
    assert story(services, invited)[-1] == "opened"


@pytest.mark.parametrize("what", ["start", "decline"])
def test_a_post_without_a_session_is_refused(
    app: Flask, client: FlaskClient, services: Services, invited: str, what: str
) -> None:
    form = enter(client, services, invited).text
    client.delete_cookie(f"c-{invited}")
    assert press(client, form, f"/c/o/{invited}/{what}").status_code == 403
    assert factories.order_status(services, invited) == "pending"


@pytest.mark.parametrize("what", ["start", "decline", "submit"])
def test_a_form_without_its_token_changes_nothing(
    client: FlaskClient, services: Services, invited: str, what: str
) -> None:
    enter(client, services, invited)
    answer = client.post(f"/c/o/{invited}/{what}")
    assert answer.status_code == 400
    assert "Please try again" in answer.text
    assert story(services, invited) == ["placed", "opened"]


def test_the_pages_wear_the_accounts_colour(client: FlaskClient, services: Services) -> None:
    account_id, _ = factories.create_account(services, branding={"colour": "#8a2be2"})
    public_id = factories.place_order(services, account_id, factories.create_test(services))
    assert 'href="/c/colour/8a2be2.css"' in enter(client, services, public_id).text
    sheet = client.get("/c/colour/8a2be2.css")
    assert sheet.mimetype == "text/css"
    assert sheet.text == ":root { --accent: #8a2be2; }\n"
    assert client.get("/c/colour/red;}.css").status_code == 404


def test_without_a_colour_the_pages_wear_ours(
    client: FlaskClient, services: Services, invited: str
) -> None:
    assert "/c/colour/" not in enter(client, services, invited).text
