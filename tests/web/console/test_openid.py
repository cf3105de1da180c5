"""Signing in by OpenID Connect, against a strict issuer on this machine."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc.jwk import RSAKey
from sqlalchemy import select
from werkzeug.test import TestResponse

from provider.config import Settings
from provider.core.audit import AuditEntry
from provider.core.staff import CHALLENGE_LIFETIME, Staff
from provider.services import Services
from tests import factories
from tests.conftest import app_for
from tests.factories import ManualClock
from tests.openid_issuer import (
    CLIENT_ID,
    CLIENT_SECRET,
    LIFETIME_SECONDS,
    Misbehaviour,
    OpenIdIssuer,
    secret_as_key,
)
from tests.second_step import set_up_second_step

BEGIN = "/console/sign-in/openid/"
EMAIL = "sam@provider.test"
ANOTHER_KEY = RSAKey.generate_key(2048, {"kid": "first"})


@pytest.fixture
def issuer(clock: ManualClock) -> Iterator[OpenIdIssuer]:
    with OpenIdIssuer(clock.now) as issuer:
        yield issuer


@pytest.fixture
def services(settings: Settings, clock: ManualClock, issuer: OpenIdIssuer) -> Iterator[Services]:
    """Return services with the issuer in their settings, and Sam on the staff."""
    services = factories.build_services(
        replace(
            settings,
            private_callbacks=True,
            openid_issuer=issuer.url,
            openid_client_id=CLIENT_ID,
            openid_client_secret=CLIENT_SECRET,
            openid_label="Sign in with Rival ID",
        ),
        clock,
    )
    factories.create_staff(services, EMAIL)
    yield services
    services.db.close()


def callback(client: FlaskClient, issuer: OpenIdIssuer, next_page: str = "") -> str:
    """Go to the issuer's page; return the address to which it sends the browser."""
    response = client.get(BEGIN, query_string={"next": next_page} if next_page else {})
    assert response.status_code == 302, response.text
    return issuer.authorize(response.location)


def finish(client: FlaskClient, url: str) -> TestResponse:
    return client.get(url.removeprefix("http://provider.test"))


def is_signed_in(client: FlaskClient) -> bool:
    return client.get("/console/me/").status_code == 200


def last_act(services: Services) -> tuple[str, str, str]:
    with services.db.reading() as session:
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry
    return entry.action, entry.subject, (entry.after or {}).get("method", "")


def refusal(response: TestResponse, client: FlaskClient) -> str:
    """Return the sentence of a sign-in page that refuses."""
    assert response.status_code == 403, response.status_code
    assert not is_signed_in(client)
    return response.text


@pytest.mark.parametrize("has_elliptic_key", [False, True])
def test_verified_person_of_the_staff_signs_in(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer, has_elliptic_key: bool
) -> None:
    if has_elliptic_key:
        issuer.use_elliptic_key()
    issuer.email = "Sam@Provider.test"
    page = client.get("/console/sign-in?next=/console/orders/").text
    assert "Sign in with Rival ID" in page
    assert f"{BEGIN}?next=/console/orders/" in page
    set_up_second_step(services, EMAIL)  # the issuer answers for it
    response = finish(client, callback(client, issuer, "/console/orders/"))
    assert (response.status_code, response.location) == (302, "/console/orders/")
    assert is_signed_in(client)
    assert last_act(services) == ("staff.signed_in", f"staff:{EMAIL}", "openid")


def test_state_is_good_once_and_for_its_browser_alone(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer
) -> None:
    url = callback(client, issuer)
    other = client.application.test_client()
    callback(other, issuer)  # its cookie is for another state
    assert "another browser" in refusal(finish(other, url), other)
    without_cookie = client.application.test_client()
    assert "another browser" in refusal(finish(without_cookie, url), without_cookie)
    assert finish(client, url).status_code == 302
    client.delete_cookie("staff")
    assert "another browser" in refusal(finish(client, url), client)


def test_answer_after_ten_minutes_is_refused(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer, clock: ManualClock
) -> None:
    url = callback(client, issuer)
    clock.advance(CHALLENGE_LIFETIME)
    assert "took too long" in refusal(finish(client, url), client)


def now_plus(clock: ManualClock, seconds: int) -> int:
    return int(clock.now().timestamp()) + seconds


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": None},
        {"aud": [CLIENT_ID, "another client"]},  # without `azp`
        {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
        {"azp": "another client"},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"at_hash": "bm90IHJpZ2h0"},
    ],
    ids=str,
)
def test_token_with_a_wrong_claim_is_refused(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer, claims: dict[str, Any]
) -> None:
    issuer.instead = Misbehaviour(claims=claims)
    assert "was not accepted" in refusal(finish(client, callback(client, issuer)), client)
    assert last_act(services) == ("staff.sign_in_failed", "staff:unknown", "")


@pytest.mark.parametrize(("seconds", "is_accepted"), [(-61, False), (-30, True)])
def test_expired_token_is_refused_but_for_a_minute(
    services: Services,
    client: FlaskClient,
    issuer: OpenIdIssuer,
    clock: ManualClock,
    seconds: int,
    is_accepted: bool,
) -> None:
    issuer.instead = Misbehaviour(claims={"exp": now_plus(clock, seconds)})
    finish(client, callback(client, issuer))
    assert is_signed_in(client) == is_accepted


def test_token_of_the_future_is_refused(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer, clock: ManualClock
) -> None:
    issuer.instead = Misbehaviour(claims={"nbf": now_plus(clock, LIFETIME_SECONDS)})
    assert "was not accepted" in refusal(finish(client, callback(client, issuer)), client)


@pytest.mark.parametrize(
    "instead",
    [
        Misbehaviour(key=ANOTHER_KEY),
        Misbehaviour(key=secret_as_key(), algorithm="HS256"),
        Misbehaviour(token={"id_token": None}),
        Misbehaviour(token={"id_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."}),
        Misbehaviour(token={"id_token": "no token"}),
        Misbehaviour(metadata={"issuer": "https://evil.example"}),
    ],
    ids=["key", "secret", "none", "unsigned", "text", "issuer"],
)
def test_token_that_the_issuer_has_not_signed_is_refused(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer, instead: Misbehaviour
) -> None:
    url = callback(client, issuer)
    issuer.instead = instead
    assert "was not accepted" in refusal(finish(client, url), client)


@pytest.mark.parametrize("value", [False, None, "false", 0, "yes"])
def test_address_that_is_not_verified_is_refused(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer, value: object
) -> None:
    issuer.instead = Misbehaviour(claims={"email_verified": value})
    assert "verified" in refusal(finish(client, callback(client, issuer)), client)


def test_stranger_and_disabled_person_are_refused_and_nobody_is_created(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer
) -> None:
    issuer.email = "stranger@provider.test"
    assert "not on the staff" in refusal(finish(client, callback(client, issuer)), client)
    assert last_act(services) == ("staff.sign_in_failed", "staff:unknown", "")
    issuer.email = EMAIL
    with services.db.writing() as session:
        Staff.get_by_email(session, EMAIL).disabled_at = services.now()
    assert "not on the staff" in refusal(finish(client, callback(client, issuer)), client)
    assert last_act(services) == ("staff.sign_in_failed", f"staff:{EMAIL}", "")
    with services.db.reading() as session:
        assert len(session.scalars(select(Staff)).all()) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [("code=", "code=wrong"), ("iss=http", "iss=https")],
)
def test_answer_that_was_changed_on_its_way_is_refused(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer, old: str, new: str
) -> None:
    url = callback(client, issuer)
    assert old in url
    assert "was not accepted" in refusal(finish(client, url.replace(old, new)), client)


def test_refusal_at_the_issuer_is_told(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer
) -> None:
    state = callback(client, issuer).partition("state=")[2].partition("&")[0]
    response = client.get(f"{BEGIN}done?error=access_denied&state={state}")
    assert "refused at your company’s page" in refusal(response, client)


def test_wrong_secret_is_refused_and_never_shown(services: Services, issuer: OpenIdIssuer) -> None:
    settings = replace(services.settings, openid_client_secret="an old secret")
    client = app_for(replace(services, settings=settings), "old secret").test_client()
    response = finish(client, callback(client, issuer))
    assert "was not accepted" in refusal(response, client)
    assert "an old secret" not in response.text


def test_issuer_that_is_away_is_told_and_the_password_works(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer
) -> None:
    url = callback(client, issuer)
    issuer.stop()
    for response in (client.get(BEGIN), finish(client, url)):
        assert response.status_code == 503
        assert "cannot be reached" in response.text
        assert 'name="password"' in response.text


def test_private_issuer_is_refused_without_the_setting_for_development(
    services: Services, issuer: OpenIdIssuer
) -> None:
    settings = replace(services.settings, private_callbacks=False)
    client = app_for(replace(services, settings=settings), "public only").test_client()
    response = client.get(BEGIN)
    assert (response.status_code, "cannot be reached" in response.text) == (503, True)
    assert issuer.requests == []


def test_redirect_goes_to_a_page_of_the_console_only(
    services: Services, client: FlaskClient, issuer: OpenIdIssuer
) -> None:
    url = callback(client, issuer, "https://evil.example/console/")
    assert finish(client, url).location == "/console/"


def test_without_the_setting_there_is_no_button_and_no_page(settings: Settings) -> None:
    services = factories.build_services(settings)
    client = app_for(services, "without issuer").test_client()
    assert "openid" not in client.get("/console/sign-in").text
    for path in (BEGIN, f"{BEGIN}done?code=1&state=2"):
        assert client.get(path).status_code == 404
    services.db.close()
