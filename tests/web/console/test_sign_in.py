"""Signing in to the console, signing out, and the permissions of each role."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from provider.app import create_app
from provider.config import Settings
from provider.core.audit import AuditEntry
from provider.core.staff import StaffSession, sign_in_slot
from provider.core.staff.sign_in import MAX_CONCURRENT_SIGN_INS
from provider.services import Services
from provider.web.console.sign_in import safe_redirect_target
from tests import factories
from tests.factories import ManualClock
from tests.web.console_client import ConsoleClient

SIGN_IN_PATH = "/console/sign-in"
PAGES = (
    "/console/",
    "/console/orders/",
    "/console/deliveries/",
    "/console/emails/",
    "/console/products/",
    "/console/accounts/",
)


def count_sessions(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count()).select_from(StaffSession)) or 0


@pytest.mark.parametrize("path", PAGES)
def test_page_without_session_redirects_to_sign_in(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 302
    assert response.location == f"{SIGN_IN_PATH}?next={path}"


def test_sign_in_redirects_to_requested_page(services: Services, client: FlaskClient) -> None:
    password = factories.create_staff(services)
    response = ConsoleClient(client).sign_in(
        "Sam@Provider.test ", password, next="/console/orders/?status=pending"
    )
    assert response.location == "/console/orders/?status=pending"
    assert client.get("/console/orders/").status_code == 200


@pytest.mark.parametrize(
    "target",
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
def test_safe_redirect_target_rejects_urls_outside_console(pages_app: Flask, target: str) -> None:
    with pages_app.test_request_context():
        assert safe_redirect_target(target) == "/console/"


def test_session_cookie_is_httponly_and_samesite(services: Services, client: FlaskClient) -> None:
    response = ConsoleClient(client).sign_in("sam@provider.test", factories.create_staff(services))
    cookie = next(c for c in response.headers.getlist("Set-Cookie") if c.startswith("staff="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie


def test_session_cookie_with_tls_has_host_prefix(settings: Settings, clock: ManualClock) -> None:
    services = factories.build_services(replace(settings, base_url="https://provider.test"), clock)
    password = factories.create_staff(services)
    client = create_app(services).test_client()
    page = client.get(SIGN_IN_PATH, base_url="https://provider.test").text
    response = client.post(
        SIGN_IN_PATH,
        base_url="https://provider.test",
        data={
            "csrf_token": factories.csrf_token(page),
            "email": "sam@provider.test",
            "password": password,
        },
    )
    cookie = next(
        c for c in response.headers.getlist("Set-Cookie") if c.startswith("__Host-staff=")
    )
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
def test_wrong_email_and_wrong_password_give_same_error(
    services: Services, client: FlaskClient, email: str, password: str
) -> None:
    factories.create_staff(services)
    response = ConsoleClient(client).sign_in(email, password)
    assert response.status_code == 403
    assert "The e-mail address or the password is wrong." in response.text
    assert count_sessions(services) == 0


def test_sign_in_after_five_failures_is_blocked_for_a_while(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    password = factories.create_staff(services)
    console = ConsoleClient(client)
    for _ in range(5):
        assert console.sign_in("sam@provider.test", "wrong").status_code == 403
    refused = console.sign_in("sam@provider.test", password)
    assert refused.status_code == 429
    assert "Wait a quarter of an hour" in refused.text
    clock.advance(timedelta(minutes=15, seconds=1))
    assert console.sign_in("sam@provider.test", password).status_code == 302


def test_sign_in_behind_proxies_is_throttled_by_the_clients_network(services: Services) -> None:
    password = factories.create_staff(services)
    settings = replace(services.settings, trusted_proxies=2, base_url="http://localhost")
    console = ConsoleClient(create_app(replace(services, settings=settings)).test_client())

    def attempt(forged: str, address: str, password: str) -> int:
        forwarded = f"{forged}, {address}, 10.0.0.2"
        console.client.environ_base["HTTP_X_FORWARDED_FOR"] = forwarded
        return console.sign_in("sam@provider.test", password).status_code

    for number in range(5):  # other addresses of one network, and claims of others
        assert attempt(f"192.0.2.{number}", f"2001:db8:1:2::{number}", "wrong") == 403
    assert attempt("192.0.2.99", "2001:db8:1:2:9::9", password) == 429
    assert attempt("2001:db8:1:2::1", "2001:db8:1:3::1", password) == 302


def audit_actions(services: Services) -> list[str]:
    with services.db.reading() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def test_sign_in_from_known_browser_after_failures_of_others_works(
    app: Flask, services: Services, client: FlaskClient
) -> None:
    password = factories.create_staff(services)
    console, stranger = ConsoleClient(client), ConsoleClient(app.test_client())
    assert console.sign_in("sam@provider.test", password).status_code == 302
    device = client.get_cookie("device")
    assert device
    assert device.http_only
    console.submit("/console/sign-out")
    for _ in range(5):
        assert stranger.sign_in("sam@provider.test", "wrong").status_code == 403
    assert stranger.sign_in("sam@provider.test", password).status_code == 429
    assert console.sign_in("sam@provider.test", password).status_code == 302
    kept = client.get_cookie("device")
    assert kept
    assert kept.value == device.value


def test_sign_in_acts_are_in_the_audit_log(services: Services, client: FlaskClient) -> None:
    password = factories.create_staff(services)
    console = ConsoleClient(client)
    console.sign_in("sam@provider.test", password)
    console.submit("/console/sign-out")
    client.delete_cookie("device")
    for _ in range(5):
        console.sign_in("sam@provider.test", "wrong")
    for _ in range(3):
        console.sign_in("sam@provider.test", password)
    # Refusals are recorded once, or a stranger could fill the log.
    assert audit_actions(services) == [
        "staff.signed_in",
        "staff.signed_out",
        *["staff.sign_in_failed"] * 5,
        "staff.sign_in_throttled",
    ]


def test_sign_in_beyond_four_at_once_is_told_to_wait(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = factories.create_staff(services)
    console = ConsoleClient(client)
    monkeypatch.setattr("provider.core.staff.sign_in.SLOT_WAIT_SECONDS", 0.01)
    with ExitStack() as stack:
        for _ in range(MAX_CONCURRENT_SIGN_INS):
            stack.enter_context(sign_in_slot())
        for _ in range(6):  # more than the limit on failures
            busy = console.sign_in("sam@provider.test", "wrong")
    assert busy.status_code == 503
    assert busy.headers["Retry-After"] == "2"
    assert "Try again in a few seconds" in busy.text
    assert console.sign_in("sam@provider.test", password).status_code == 302


def test_failed_sign_in_does_not_echo_password(services: Services, client: FlaskClient) -> None:
    factories.create_staff(services)
    page = ConsoleClient(client).sign_in("sam@provider.test", "s3cret-but-wrong").text
    assert "sam@provider.test" in page
    assert "s3cret-but-wrong" not in page


def test_sign_in_page_without_staff_names_the_command(
    services: Services, client: FlaskClient
) -> None:
    assert "provider staff create" in client.get(SIGN_IN_PATH).text
    factories.create_staff(services)
    assert "provider staff create" not in client.get(SIGN_IN_PATH).text


def test_sign_out_deletes_the_session(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client)
    cookie = client.get_cookie("staff")
    assert cookie
    assert console.submit("/console/sign-out").location == SIGN_IN_PATH
    assert count_sessions(services) == 0
    client.set_cookie("staff", cookie.value)
    assert client.get("/console/orders/").status_code == 302


def test_session_expires_after_twelve_hours(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    ConsoleClient.signed_in(services, client)
    clock.advance(timedelta(hours=11, minutes=59))
    assert client.get("/console/orders/").status_code == 200
    clock.advance(timedelta(minutes=1))
    assert client.get("/console/orders/").status_code == 302


def test_post_without_session_is_refused(services: Services, client: FlaskClient) -> None:
    token = factories.csrf_token(client.get(SIGN_IN_PATH).text)
    response = client.post("/console/deliveries/again", data={"csrf_token": token})
    assert response.status_code == 403
    assert "not signed in" in response.text


def test_post_without_csrf_token_is_refused(services: Services, client: FlaskClient) -> None:
    ConsoleClient.signed_in(services, client)
    assert client.post("/console/deliveries/again").status_code == 400
    assert client.post("/console/sign-out").status_code == 400
    assert client.post(SIGN_IN_PATH, data={"email": "a@b.c"}).status_code == 400


def test_post_with_csrf_token_of_other_browser_is_refused(
    app: Flask, services: Services, client: FlaskClient
) -> None:
    ConsoleClient.signed_in(services, client)
    foreign_token = factories.csrf_token(app.test_client().get(SIGN_IN_PATH).text)
    response = client.post("/console/deliveries/again", data={"csrf_token": foreign_token})
    assert response.status_code == 400


def test_viewer_sees_pages_without_action_buttons(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product_id)
    console = ConsoleClient.signed_in(services, client, "viewer")
    page = console.get_text(f"/console/orders/{order_id}")
    for button in ("Cancel this order", "Show the candidate’s link", "Send again"):
        assert button not in page
    page = console.get_text(f"/console/products/{product_id}")
    assert "Archive this product" not in page


@pytest.mark.parametrize("action", ["cancel", "reopen", "link"])
def test_viewer_cannot_change_an_order(
    services: Services, client: FlaskClient, action: str
) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    console = ConsoleClient.signed_in(services, client, "viewer")
    response = console.submit(f"/console/orders/{order_id}/{action}", reason="because")
    assert response.status_code == 403
    assert "Your role may not " in response.text
    assert factories.order_status(services, order_id) == "pending"


def test_viewer_cannot_open_confirmation_pages(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product_id)
    console = ConsoleClient.signed_in(services, client, "viewer")
    for path in (f"orders/{order_id}/cancel", f"products/{product_id}/archive", "deliveries/again"):
        console.get_text(f"/console/{path}", 403)


def test_disabled_staff_lose_their_session_at_once(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    ConsoleClient.signed_in(services, client)
    with services.db.writing() as session:
        session.scalars(select(StaffSession)).one().staff.disabled_at = clock.now()
    assert client.get("/console/orders/").status_code == 302


def test_home_page_links_to_console_and_docs(client: FlaskClient) -> None:
    page = client.get("/").text
    assert 'href="/console/"' in page
    assert 'href="/docs/"' in page
