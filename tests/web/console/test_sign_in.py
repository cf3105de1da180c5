"""Coming in and going out of the console, and what each role may do there."""

from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from provider.app import create_app
from provider.config import Settings
from provider.core.staff import StaffSession
from provider.services import Services
from provider.web.console.sign_in import safe_redirect_target
from tests import factories
from tests.factories import ManualClock
from tests.web.console_client import ConsoleClient

SIGN_IN = "/console/sign-in"
PAGES = (
    "/console/",
    "/console/orders/",
    "/console/deliveries/",
    "/console/letters/",
    "/console/products/",
    "/console/accounts/",
)


def sessions(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count()).select_from(StaffSession)) or 0


@pytest.mark.parametrize("path", PAGES)
def test_without_a_session_every_page_leads_to_the_sign_in_page_and_back(
    client: FlaskClient, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.location == f"{SIGN_IN}?next={path}"


def test_signing_in_leads_to_where_one_wanted_to_go(
    services: Services, client: FlaskClient
) -> None:
    password = factories.create_staff(services)
    answer = ConsoleClient(client).sign_in(
        "Sam@Provider.test ", password, next="/console/orders/?status=pending"
    )
    assert answer.location == "/console/orders/?status=pending"
    assert client.get("/console/orders/").status_code == 200


@pytest.mark.parametrize(
    "wish",
    [
        "https://evil.example/console/",
        "//evil.example/console/",
        "/\\evil.example/console/",
        "/workable",
        "/console/../r/x",
        "/consoleevil",
        "javascript:alert(1)",
        "/console/\n",
        "http:///console/",
        "//[/console/",
    ],
)
def test_nobody_can_be_sent_elsewhere_by_the_sign_in_page(app: Flask, wish: str) -> None:
    with app.test_request_context():
        assert safe_redirect_target(wish) == "/console/"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    services: Services, client: FlaskClient
) -> None:
    answer = ConsoleClient(client).sign_in("sam@provider.test", factories.create_staff(services))
    cookie = next(c for c in answer.headers.getlist("Set-Cookie") if c.startswith("staff="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie


def test_with_tls_the_cookie_is_bound_to_the_host(settings: Settings, clock: ManualClock) -> None:
    services = Services.build(replace(settings, base_url="https://provider.test"), clock)
    password = factories.create_staff(services)
    client = create_app(services).test_client()
    page = client.get(SIGN_IN, base_url="https://provider.test").text
    answer = client.post(
        SIGN_IN,
        base_url="https://provider.test",
        data={
            "csrf_token": factories.csrf_token(page),
            "email": "sam@provider.test",
            "password": password,
        },
    )
    cookie = next(c for c in answer.headers.getlist("Set-Cookie") if c.startswith("__Host-staff="))
    assert "Secure" in cookie
    assert "Domain" not in cookie
    services.db.close()


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("sam@provider.test", "not the password"),
        ("bob@provider.test", "correct horse battery"),
        ("", ""),
        ("sam@provider.test", ""),
        ("\x00", "\x00"),
        ("x" * 5000, "y" * 5000),
    ],
)
def test_a_wrong_sign_in_says_the_same_whatever_was_wrong(
    services: Services, client: FlaskClient, email: str, password: str
) -> None:
    factories.create_staff(services)
    answer = ConsoleClient(client).sign_in(email, password)
    assert answer.status_code == 403
    assert "The e-mail address or the password is not right." in answer.text
    assert sessions(services) == 0


def test_the_sixth_try_has_to_wait_and_time_heals(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    password = factories.create_staff(services)
    desk = ConsoleClient(client)
    for _ in range(5):
        assert desk.sign_in("sam@provider.test", "wrong").status_code == 403
    refused = desk.sign_in("sam@provider.test", password)
    assert refused.status_code == 429
    assert "Too many tries" in refused.text
    clock.advance(timedelta(minutes=15, seconds=1))
    assert desk.sign_in("sam@provider.test", password).status_code == 302


def test_the_password_is_never_written_back_into_the_page(
    services: Services, client: FlaskClient
) -> None:
    factories.create_staff(services)
    page = ConsoleClient(client).sign_in("sam@provider.test", "s3cret-but-wrong").text
    assert "sam@provider.test" in page
    assert "s3cret-but-wrong" not in page


def test_with_no_staff_yet_the_page_names_the_command(
    services: Services, client: FlaskClient
) -> None:
    assert "provider staff create" in client.get(SIGN_IN).text
    factories.create_staff(services)
    assert "provider staff create" not in client.get(SIGN_IN).text


def test_signing_out_ends_the_session_for_good(services: Services, client: FlaskClient) -> None:
    desk = ConsoleClient.signed_in(services, client)
    cookie = client.get_cookie("staff")
    assert cookie
    assert desk.submit("/console/sign-out").location == SIGN_IN
    assert sessions(services) == 0
    client.set_cookie("staff", cookie.value)
    assert client.get("/console/orders/").status_code == 302


def test_a_session_ends_by_itself_after_twelve_hours(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    ConsoleClient.signed_in(services, client)
    clock.advance(timedelta(hours=11, minutes=59))
    assert client.get("/console/orders/").status_code == 200
    clock.advance(timedelta(minutes=1))
    assert client.get("/console/orders/").status_code == 302


def test_a_change_without_a_session_is_refused(services: Services, client: FlaskClient) -> None:
    token = factories.csrf_token(client.get(SIGN_IN).text)
    answer = client.post("/console/deliveries/again", data={"csrf_token": token})
    assert answer.status_code == 403
    assert "not signed in" in answer.text


def test_a_change_without_the_form_token_is_refused(
    services: Services, client: FlaskClient
) -> None:
    ConsoleClient.signed_in(services, client)
    assert client.post("/console/deliveries/again").status_code == 400
    assert client.post("/console/sign-out").status_code == 400
    assert client.post(SIGN_IN, data={"email": "a@b.c"}).status_code == 400


def test_another_visitors_form_token_opens_nothing(
    app: Flask, services: Services, client: FlaskClient
) -> None:
    ConsoleClient.signed_in(services, client)
    theirs = factories.csrf_token(app.test_client().get(SIGN_IN).text)
    answer = client.post("/console/deliveries/again", data={"csrf_token": theirs})
    assert answer.status_code == 400


def test_a_viewer_sees_everything_and_no_button(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product_id)
    desk = ConsoleClient.signed_in(services, client, "viewer")
    page = desk.get_text(f"/console/orders/{order_id}")
    for button in ("Cancel this order", "Show the candidate’s link", "Send it again"):
        assert button not in page
    page = desk.get_text(f"/console/products/{product_id}")
    assert "Archive this product" not in page


@pytest.mark.parametrize("act", ["cancel", "reopen", "link"])
def test_a_viewer_cannot_change_an_order(services: Services, client: FlaskClient, act: str) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    desk = ConsoleClient.signed_in(services, client, "viewer")
    answer = desk.submit(f"/console/orders/{order_id}/{act}", reason="because", revision="0")
    assert answer.status_code == 403
    assert "Your role is to look" in answer.text
    assert factories.order_status(services, order_id) == "pending"


def test_a_viewer_does_not_even_get_the_forms(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product_id)
    desk = ConsoleClient.signed_in(services, client, "viewer")
    for path in (f"orders/{order_id}/cancel", f"products/{product_id}/archive", "deliveries/again"):
        desk.get_text(f"/console/{path}", 403)


def test_somebody_who_was_disabled_is_out_at_once(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    ConsoleClient.signed_in(services, client)
    with services.db.writing() as session:
        session.scalars(select(StaffSession)).one().staff.disabled_at = clock.now()
    assert client.get("/console/orders/").status_code == 302


def test_the_front_page_leads_to_the_console_and_the_api(client: FlaskClient) -> None:
    page = client.get("/").text
    assert 'href="/console/"' in page
    assert 'href="/docs/"' in page
