"""Signing in with a second step, and the page of one's own account."""

import re
from datetime import timedelta

import pyotp
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.audit import Action, AuditEntry
from provider.core.staff import StaffSession
from provider.services import Services
from provider.web.browsers import describe_browser
from tests import factories
from tests.factories import ManualClock
from tests.web.console_client import ConsoleClient

EMAIL = "sam@provider.test"
PASSWORD = "correct horse battery"
NEW_PASSWORD = "seven quiet lamps rowing"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
ME, SET_UP, CODE = "/console/me/", "/console/me/second-step", "/console/sign-in/code"


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    """A signed-in browser of a person without a second step."""
    factories.create_staff(services)
    console = ConsoleClient(client)
    assert console.sign_in(EMAIL, PASSWORD).status_code == 302
    return console


def set_up(console: ConsoleClient, services: Services) -> tuple[str, list[str]]:
    """Set the second step up; return the secret and the recovery codes."""
    match = re.search(r'console-key">([A-Z2-7]{32})<', console.get_text(SET_UP))
    assert match
    code = pyotp.TOTP(match[1]).at(services.now())
    page = console.submit(SET_UP, page=SET_UP, code=code)
    assert page.status_code == 200
    codes = re.findall(r"<li><code>([A-Z2-9]{5}-[A-Z2-9]{5})</code>", page.text)
    assert len(codes) == 10
    return match[1], codes


def actions(services: Services) -> list[str]:
    with services.db.reading() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def test_sign_in_with_second_step_asks_for_the_code(
    services: Services, client: FlaskClient, clock: ManualClock, console: ConsoleClient
) -> None:
    secret, _ = set_up(console, services)
    console.submit("/console/sign-out")
    clock.advance(timedelta(minutes=5))
    response = console.sign_in(EMAIL, PASSWORD, next="/console/products/")
    assert (response.status_code, response.location) == (302, f"{CODE}?next=/console/products/")
    # The password alone opens nothing.
    assert client.get("/console/orders/").status_code == 302
    assert client.get(ME).location.startswith("/console/sign-in")
    wrong = console.submit(CODE, page=CODE, code="000000")
    assert (wrong.status_code, "This code is not right" in wrong.text) == (403, True)
    code = pyotp.TOTP(secret).at(services.now())
    response = console.submit(CODE, page=CODE, code=code, next="/console/products/")
    assert (response.status_code, response.location) == (302, "/console/products/")
    assert client.get("/console/products/").status_code == 200
    assert actions(services)[-2:] == [Action.STAFF_SIGN_IN_FAILED, Action.STAFF_SIGNED_IN]


def test_recovery_code_signs_in_once(
    services: Services, client: FlaskClient, console: ConsoleClient
) -> None:
    _, codes = set_up(console, services)
    for expected in (302, 403):
        console.submit("/console/sign-out", page=ME)
        console.sign_in(EMAIL, PASSWORD)
        assert console.submit(CODE, page=CODE, code=codes[0].lower()).status_code == expected


def test_codes_are_throttled_like_passwords(
    services: Services, client: FlaskClient, clock: ManualClock, console: ConsoleClient
) -> None:
    secret, _ = set_up(console, services)
    console.submit("/console/sign-out")
    clock.advance(timedelta(minutes=5))
    console.sign_in(EMAIL, PASSWORD)
    statuses = [console.submit(CODE, page=CODE, code="000000").status_code for _ in range(5)]
    assert statuses == [403, 403, 403, 403, 429]
    code = pyotp.TOTP(secret).at(services.now())
    assert console.submit(CODE, page=CODE, code=code).status_code == 429
    # Another sign-in with the password gives no new attempts.
    assert console.sign_in(EMAIL, PASSWORD).status_code == 429


def test_second_step_takes_ten_minutes_at_most(
    services: Services, client: FlaskClient, clock: ManualClock, console: ConsoleClient
) -> None:
    secret, _ = set_up(console, services)
    console.submit("/console/sign-out")
    console.sign_in(EMAIL, PASSWORD)
    clock.advance(timedelta(minutes=11))
    code = pyotp.TOTP(secret).at(services.now())
    response = console.submit(CODE, page="/console/sign-in", code=code)
    assert (response.status_code, response.location) == (302, "/console/sign-in?next=")


def test_set_up_with_wrong_code_changes_nothing(
    services: Services, client: FlaskClient, console: ConsoleClient
) -> None:
    console.get_text(SET_UP)
    response = console.submit(SET_UP, page=SET_UP, code="abc")
    assert (response.status_code, "This code is not right" in response.text) == (400, True)
    assert "Set up the second step" in console.get_text(ME)


def test_second_step_is_removed_only_with_the_password(
    services: Services, client: FlaskClient, console: ConsoleClient
) -> None:
    set_up(console, services)
    path = f"{SET_UP}/remove"
    response = console.submit(path, page=ME, password="not the password")
    assert (response.status_code, "password is not right" in response.text) == (400, True)
    assert console.submit(path, page=ME, password=PASSWORD).location == "/console/sign-in"
    assert console.sign_in(EMAIL, PASSWORD).location == "/console/"


def test_new_recovery_codes_replace_the_old_ones(
    services: Services, client: FlaskClient, console: ConsoleClient
) -> None:
    _, codes = set_up(console, services)
    page = console.submit("/console/me/recovery-codes", page=ME, password=PASSWORD).text
    assert "Your earlier codes no longer work" in page
    assert not set(codes) & set(re.findall(r"<code>([A-Z2-9]{5}-[A-Z2-9]{5})</code>", page))
    assert "10</strong> recovery codes left" in console.get_text(ME)


def test_changed_password_ends_every_session(
    services: Services, client: FlaskClient, console: ConsoleClient
) -> None:
    path = "/console/me/password"
    form = {"password": PASSWORD, "new": NEW_PASSWORD, "repeated": NEW_PASSWORD}
    for wrong, words in (
        ({"password": "not the password"}, "present password is not right"),
        ({"repeated": "another"}, "two new passwords differ"),
        ({"new": "short", "repeated": "short"}, "A password has 10 to 1000 plain characters"),
    ):
        response = console.submit(path, page=ME, **form | wrong)
        assert (response.status_code, words in response.text) == (400, True), words
    assert console.submit(path, page=ME, **form).location == "/console/sign-in"
    assert client.get(ME).status_code == 302
    assert console.sign_in(EMAIL, PASSWORD).status_code == 403
    assert console.sign_in(EMAIL, NEW_PASSWORD).status_code == 302


def test_sessions_are_listed_and_ended_one_by_one(
    services: Services, client: FlaskClient, console: ConsoleClient
) -> None:
    other = ConsoleClient(client.application.test_client())
    other.client.environ_base["HTTP_USER_AGENT"] = FIREFOX
    other.sign_in(EMAIL, PASSWORD)
    assert ">Firefox on Windows<" in console.get_text(ME)
    with services.db.reading() as session:
        own, ended = session.scalars(select(StaffSession.id).order_by(StaffSession.id))
    assert console.submit(f"/console/me/sessions/{own}/end", page=ME).status_code == 409
    assert console.submit(f"/console/me/sessions/{ended}/end", page=ME).status_code == 302
    assert other.client.get(ME).status_code == 302
    assert client.get(ME).status_code == 200
    assert console.submit(f"/console/me/sessions/{ended}/end", page=ME).status_code == 404


def test_session_of_somebody_else_cannot_be_ended(
    services: Services, client: FlaskClient, console: ConsoleClient
) -> None:
    other = ConsoleClient.signed_in(services, client.application.test_client(), "viewer")
    with services.db.reading() as session:
        foreign = session.scalars(select(StaffSession.id).order_by(StaffSession.id.desc())).first()
    assert console.submit(f"/console/me/sessions/{foreign}/end", page=ME).status_code == 404
    assert other.client.get(ME).status_code == 200


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Version/17.5 Safari/605.1.15",
            "Safari on macOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/125.0.0.0 Mobile Safari/537.36 EdgA/125.0.0.0",
            "Edge on Android",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) CriOS/125.0 Safari/604.1",
            "Chrome on iPhone",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", ""),
    ],
)
def test_describe_browser_names_browser_and_system(user_agent: str, name: str) -> None:
    assert describe_browser(user_agent) == name
