"""The invitation, declining, and the status page."""

import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from provider.app import create_app
from provider.config import Settings
from provider.core.accounts import Account
from provider.core.accounts.logo import set_logo
from provider.core.orders import INVITE, Link, Order, OrderSession
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.pictures import make_png


@pytest.fixture
def invited(services: Services) -> str:
    branding = {"display_name": "Groove & Co"}
    account_id, _ = factories.create_account(services, timezone="Europe/Athens", branding=branding)
    return factories.place_order(services, account_id, factories.create_test(services))


def invitation_path(services: Services, public_id: str) -> str:
    return urlsplit(factories.invitation_url(services, public_id)).path


def open_invitation(client: FlaskClient, services: Services, public_id: str) -> TestResponse:
    """Follow the invitation's link to the landing page."""
    return client.get(invitation_path(services, public_id), follow_redirects=True)


def submit_form(client: FlaskClient, page: str, action: str, **fields: str) -> TestResponse:
    """Post a form with the CSRF token of `page`."""
    return client.post(action, data={"csrf_token": factories.csrf_token(page), **fields})


def event_types(services: Services, public_id: str) -> list[str]:
    with services.db.reading() as session:
        return [event.type for event in Order.find(session, public_id).events]


def count_sessions(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count(OrderSession.id))) or 0


def test_open_invitation_redirects_to_url_without_token(
    client: FlaskClient, services: Services, invited: str
) -> None:
    path = invitation_path(services, invited)
    response = client.get(path)
    assert response.status_code == 303
    landing = response.headers["Location"]
    assert landing == f"/c/o/{invited}/?cookie-check=1"
    assert client.get(landing).headers["Location"] == f"/c/o/{invited}/"
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"c-{invited}=")
    assert path.removeprefix("/c/") not in cookie
    assert all(attribute in cookie for attribute in ("HttpOnly", "SameSite=Lax", "Path=/"))
    assert response.headers["Referrer-Policy"] == "no-referrer"


def test_session_cookie_over_https_has_host_prefix(settings: Settings, clock: ManualClock) -> None:
    https_settings = replace(settings, base_url="https://provider.test")
    services = factories.build_services(https_settings, clock)
    client = create_app(services).test_client()
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(services, account_id, factories.create_test(services))
    response = client.get(invitation_path(services, public_id), base_url="https://provider.test")
    assert response.headers["Set-Cookie"].startswith(f"__Host-c-{public_id}=")
    assert "Secure" in response.headers["Set-Cookie"]
    landing = client.get(f"/c/o/{public_id}/", base_url="https://provider.test")
    assert landing.status_code == 200
    services.db.close()


@pytest.mark.parametrize("token", ["nonsense", "o", "x" * 5000, "%00", "%ff%fe", "ä"])
def test_open_invitation_unknown_token_returns_404(client: FlaskClient, token: str) -> None:
    response = client.get(f"/c/{token}")
    assert response.status_code == 404
    assert "The link you followed does not work" in response.text


def test_open_invitation_revoked_link_says_that_it_is_old(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    path = invitation_path(services, invited)
    with services.db.writing() as session:
        link = Link.find_permanent(session, Order.find(session, invited), INVITE)
        assert link
        link.revoked_at = clock.now()
    response = client.get(path)
    assert response.status_code == 410
    assert "please use the newest e-mail" in response.text


def test_visits_of_scanners_and_previews_are_not_recorded(
    app: Flask, services: Services, invited: str
) -> None:
    path = invitation_path(services, invited)
    scanner = app.test_client()
    assert scanner.head(path).status_code == 303
    assert count_sessions(services) == 0
    for headers in ({}, {"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}):
        visitor = app.test_client()
        assert "Start the test" in visitor.get(path, headers=headers, follow_redirects=True).text
        visitor.head(f"/c/o/{invited}/")
    assert event_types(services, invited) == ["placed"]
    with services.db.reading() as session:
        assert Order.find(session, invited).progress == "invited"


def test_any_number_of_visits_ends_no_session(
    app: Flask, client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    for _ in range(30):
        app.test_client().get(invitation_path(services, invited))
    assert count_sessions(services) == 1
    assert submit_form(client, page, f"/c/o/{invited}/start").status_code == 303
    assert event_types(services, invited) == ["placed", "opened", "started"]


def test_visit_renews_the_session(
    client: FlaskClient, app: Flask, services: Services, clock: ManualClock, invited: str
) -> None:
    open_invitation(client, services, invited)
    clock.advance(timedelta(days=6))
    open_invitation(app.test_client(), services, invited)
    clock.advance(timedelta(days=25))
    assert client.get(f"/c/o/{invited}/").status_code == 200
    assert count_sessions(services) == 1


def test_browser_without_cookies_is_told_so(app: Flask, services: Services, invited: str) -> None:
    browser = app.test_client(use_cookies=False)
    response = open_invitation(browser, services, invited)
    assert response.status_code == 403
    assert "Your browser keeps no cookies" in response.text
    assert "Open the link in another browser" in response.text
    assert event_types(services, invited) == ["placed"]


def test_open_invitation_with_session_creates_no_other(
    client: FlaskClient, services: Services, invited: str
) -> None:
    open_invitation(client, services, invited)
    again = client.get(invitation_path(services, invited))
    assert again.status_code == 303
    assert "Set-Cookie" not in again.headers
    assert count_sessions(services) == 1


def test_two_invitations_in_one_browser_have_own_sessions(
    client: FlaskClient, services: Services, invited: str
) -> None:
    account_id, _ = factories.create_account(services, "Other")
    product = factories.create_test(services, "Second", "second")
    other = factories.place_order(
        services, account_id, product, callback_url="https://a.workable.com/2"
    )
    assert "Reasoning" in open_invitation(client, services, invited).text
    assert "Second" in open_invitation(client, services, other).text
    assert "Reasoning" in client.get(f"/c/o/{invited}/").text
    assert "Second" in client.get(f"/c/o/{other}/").text


def test_landing_without_session_asks_to_use_the_link(client: FlaskClient, invited: str) -> None:
    response = client.get(f"/c/o/{invited}/")
    assert response.status_code == 403
    assert "Please use the link in your e-mail" in response.text


def test_landing_with_other_orders_cookie_returns_403(
    client: FlaskClient, services: Services, invited: str
) -> None:
    open_invitation(client, services, invited)
    cookie = client.get_cookie(f"c-{invited}")
    assert cookie
    account_id, _ = factories.create_account(services, "Other")
    product = factories.create_test(services, "Second", "second")
    other = factories.place_order(
        services, account_id, product, callback_url="https://a.workable.com/2"
    )
    client.set_cookie(f"c-{other}", cookie.value)
    assert client.get(f"/c/o/{other}/").status_code == 403


def test_session_after_thirty_days_has_expired(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    open_invitation(client, services, invited)
    clock.advance(timedelta(days=30))
    assert client.get(f"/c/o/{invited}/").status_code == 403


def test_first_act_on_the_page_is_recorded_once(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    assert f'data-opened-url="/c/o/{invited}/opened"' in page
    for _ in range(2):
        form = {"timezone": "Asia/Tokyo"}
        assert submit_form(client, page, f"/c/o/{invited}/opened", **form).status_code == 204
    assert "data-opened-url" not in client.get(f"/c/o/{invited}/").text
    assert event_types(services, invited) == ["placed", "opened"]


def test_landing_explains_the_test(client: FlaskClient, services: Services, invited: str) -> None:
    page = open_invitation(client, services, invited).text
    for text in (
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
        assert text in page


def test_landing_without_time_limit_says_so(client: FlaskClient, services: Services) -> None:
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(
        services, account_id, factories.create_test(services, time_limit=None)
    )
    page = open_invitation(client, services, public_id).text
    assert "No limit" in page
    assert "When the time is over" not in page


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("interview", "Nothing is recorded and the interview does not start."),
        ("check", "Nothing is checked unless you agree."),
    ],
)
def test_landing_of_other_kinds_explains_and_can_be_declined(
    client: FlaskClient, services: Services, kind: str, text: str
) -> None:
    account_id, _ = factories.create_account(services)
    product = (
        factories.create_interview(services)
        if kind == "interview"
        else factories.create_package(services)
    )
    public_id = factories.place_order(services, account_id, product, kind)
    page = open_invitation(client, services, public_id).text
    assert text in page
    assert "Start the test" not in page
    form = client.get(f"/c/o/{public_id}/decline").text
    submit_form(client, form, f"/c/o/{public_id}/decline")
    assert factories.order_status(services, public_id) == "declined"


@pytest.mark.parametrize("kind", ["assessment", "interview", "check"])
def test_landing_says_that_the_company_can_show_the_result(
    client: FlaskClient, services: Services, kind: str
) -> None:
    account_id, _ = factories.create_account(services)
    create_product = {
        "assessment": factories.create_test,
        "interview": factories.create_interview,
        "check": factories.create_package,
    }[kind]
    public_id = factories.place_order(services, account_id, create_product(services), kind)
    text = " ".join(open_invitation(client, services, public_id).text.split())
    assert re.search("can show (it|them) to others who decide. Nobody else gets", text)
    assert ("we may ask others, such as schools, employers or registers" in text) == (
        kind == "check"
    )


@pytest.mark.parametrize("kind", ["interview", "check"])
def test_item_of_other_kinds_returns_404(
    client: FlaskClient, services: Services, kind: str
) -> None:
    account_id, _ = factories.create_account(services)
    product = (
        factories.create_interview(services)
        if kind == "interview"
        else factories.create_package(services)
    )
    public_id = factories.place_order(services, account_id, product, kind)
    open_invitation(client, services, public_id)
    form = client.get(f"/c/o/{public_id}/decline").text
    assert submit_form(client, form, f"/c/o/{public_id}/start").status_code == 404
    assert client.get(f"/c/o/{public_id}/items/1").status_code == 404


def test_opening_remembers_the_time_zone_of_the_browser(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    deadline = clock.now() + timedelta(days=7)
    assert f"{factories.athens_time(deadline)} (in 7 days)</time>" in page  # the account's zone
    for name in ("Mars/Olympus", "../etc/passwd", "x" * 500, "", "Asia/Tokyo", "asia"):
        submit_form(client, page, f"/c/o/{invited}/opened", timezone=name)
    tokyo = deadline.astimezone(ZoneInfo("Asia/Tokyo"))
    assert f"{tokyo:%H:%M} Tokyo time (in 7 days)" in client.get(f"/c/o/{invited}/").text


def test_decline_with_reason_records_the_reason(
    client: FlaskClient, services: Services, invited: str
) -> None:
    open_invitation(client, services, invited)
    form = client.get(f"/c/o/{invited}/decline").text
    assert "optional" in form
    response = submit_form(client, form, f"/c/o/{invited}/decline", reason=" I found another job. ")
    assert response.status_code == 303
    assert "You have declined" in client.get(response.headers["Location"]).text
    with services.db.reading() as session:
        order = Order.find(session, invited)
        assert order.status == "declined"
        assert order.events[-1].note == "I found another job."


def test_decline_twice_records_one_event(
    client: FlaskClient, services: Services, invited: str
) -> None:
    open_invitation(client, services, invited)
    form = client.get(f"/c/o/{invited}/decline").text
    for _ in range(2):
        assert submit_form(client, form, f"/c/o/{invited}/decline").status_code == 303
    assert event_types(services, invited).count("declined") == 1
    assert client.get(f"/c/o/{invited}/decline").status_code == 303


def test_decline_long_reason_is_cut(client: FlaskClient, services: Services, invited: str) -> None:
    open_invitation(client, services, invited)
    form = client.get(f"/c/o/{invited}/decline").text
    response = submit_form(
        client, form, f"/c/o/{invited}/decline", reason="no\x00 " + "x" * 100_000
    )
    assert response.status_code == 303
    with services.db.reading() as session:
        note = Order.find(session, invited).events[-1].note
    assert "\x00" not in note
    assert len(note) <= 2000


def test_start_after_deadline_expires_the_order(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    form = open_invitation(client, services, invited).text
    deadline = clock.advance(timedelta(days=7))
    for seconds in (0, 10):
        clock.advance(timedelta(seconds=seconds))
        response = submit_form(client, form, f"/c/o/{invited}/start")
        assert response.status_code == 409
        assert "This invitation is over" in response.text
        assert factories.athens_time(deadline) in response.text
    assert factories.order_status(services, invited) == "expired"
    assert submit_form(client, form, f"/c/o/{invited}/decline").status_code == 409
    assert factories.order_status(services, invited) == "expired"


def test_what_was_sent_before_the_deadline_may_arrive_after_it(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    form = open_invitation(client, services, invited).text
    token = factories.csrf_token(form)
    clock.advance(timedelta(days=7, seconds=9))
    assert "This invitation is over" in client.get(f"/c/o/{invited}/").text
    url = f"/c/o/{invited}/start"
    for seconds, status_code in ((9, 409), (10, 303)):
        environ = {"provider.receive_seconds": seconds}
        response = client.post(url, data={"csrf_token": token}, environ_overrides=environ)
        assert response.status_code == status_code
    assert event_types(services, invited) == ["placed", "opened", "started"]


def test_open_invitation_after_deadline_says_it_is_over(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    clock.advance(timedelta(days=8))
    assert "This invitation is over" in open_invitation(client, services, invited).text
    assert event_types(services, invited) == ["placed", "expired"]


def test_landing_of_cancelled_order_says_so(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    with services.db.writing() as session:
        Order.find(session, invited).cancel(session, "sam", "hired", clock.now())
    page = open_invitation(client, services, invited).text
    assert "This invitation was cancelled" in page
    assert "hired" not in page


def test_landing_after_consent_thanks(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(
        services, account_id, factories.create_package(services), "check"
    )
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.change_status(session, "consented", actor="candidate", now=clock.now())
    assert "You have agreed to the check" in open_invitation(client, services, public_id).text


def test_landing_of_reopened_order_offers_start(
    client: FlaskClient, services: Services, clock: ManualClock, invited: str
) -> None:
    clock.advance(timedelta(days=8))
    open_invitation(client, services, invited)
    old_path = invitation_path(services, invited)
    with services.db.writing() as session:
        order = Order.find(session, invited)
        order.reopen(session, services.secret_box, "sam", "asked", clock.now())
    assert client.get(f"/c/o/{invited}/").status_code == 403
    assert client.get(old_path).status_code == 410
    assert "Start the test" in open_invitation(client, services, invited).text


@pytest.mark.parametrize("action", ["start", "decline"])
def test_post_without_session_returns_403(
    app: Flask, client: FlaskClient, services: Services, invited: str, action: str
) -> None:
    form = open_invitation(client, services, invited).text
    client.delete_cookie(f"c-{invited}")
    assert submit_form(client, form, f"/c/o/{invited}/{action}").status_code == 403
    assert factories.order_status(services, invited) == "pending"


@pytest.mark.parametrize("action", ["start", "decline", "submit", "opened"])
def test_post_without_csrf_token_returns_400(
    client: FlaskClient, services: Services, invited: str, action: str
) -> None:
    open_invitation(client, services, invited)
    response = client.post(f"/c/o/{invited}/{action}")
    assert response.status_code == 400
    assert "Please try again" in response.text
    assert event_types(services, invited) == ["placed"]


def test_landing_with_branding_links_to_colour_css(client: FlaskClient, services: Services) -> None:
    account_id, _ = factories.create_account(services, branding={"colour": "#8a2be2"})
    public_id = factories.place_order(services, account_id, factories.create_test(services))
    assert 'href="/c/colour/8a2be2.css"' in open_invitation(client, services, public_id).text
    sheet = client.get("/c/colour/8a2be2.css")
    assert sheet.mimetype == "text/css"
    assert sheet.text == ":root { --accent: #8a2be2; }\n"
    assert client.get("/c/colour/red;}.css").status_code == 404


def test_landing_without_branding_has_no_colour_css(
    client: FlaskClient, services: Services, invited: str
) -> None:
    assert "/c/colour/" not in open_invitation(client, services, invited).text


def test_every_page_has_the_logo_and_the_addresses_of_the_account(
    client: FlaskClient, services: Services
) -> None:
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product_id)
    page = open_invitation(client, services, order_id).text
    assert ("brand-logo" in page, "Help" in page) == (False, False)
    with services.db.writing() as session:
        account = session.get_one(Account, account_id)
        set_logo(session, account, make_png(), services.now())
        account.change_branding(
            support_address="help@groove.example",
            privacy_address="https://groove.example/privacy?a=1&b=2",
        )
        logo = account.branding["logo"]
    paths = ("", "decline")
    for path in paths:
        page = client.get(f"/c/o/{order_id}/{path}").text
        assert f'src="/c/logo/{logo}"' in page, path
        assert (
            'Help: <a href="mailto:help@groove.example"><bdi>help@groove.example</bdi></a>' in page
        )
        assert 'href="https://groove.example/privacy?a=1&amp;b=2" target="_blank"' in page
    factories.finish_test(services, order_id)
    ended = client.get(f"/c/o/{order_id}/").text
    assert (logo in ended, "help@groove.example" in ended) == (True, True)
