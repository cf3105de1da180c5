"""Passkeys: adding one, signing in with one, and answers that are refused."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.utils import websafe_encode
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.audit import AuditEntry
from provider.core.staff import CHALLENGE_LIFETIME, Passkey, Staff
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.passkeys import (
    EMAIL,
    HOST,
    ME,
    ORIGIN,
    PASSWORD,
    PRESENT,
    VERIFIED,
    Device,
    PasskeyClient,
)
from tests.second_step import set_up_second_step
from tests.web.console_client import ConsoleClient


@pytest.fixture
def browser_of_sam(services: Services) -> PasskeyClient:
    """Return a browser in which Sam is signed in."""
    factories.create_staff(services, EMAIL, password=PASSWORD)
    browser = PasskeyClient(services)
    assert browser.sign_in_with_password().status_code == 302
    return browser


@pytest.fixture
def device(browser_of_sam: PasskeyClient) -> Device:
    """Return a device with a passkey of Sam."""
    device = Device()
    assert browser_of_sam.add(device).status_code == 302
    return device


@pytest.fixture
def stranger(services: Services) -> PasskeyClient:
    """Return a browser in which nobody is signed in."""
    return PasskeyClient(services)


def acts(services: Services) -> list[tuple[str, str, str]]:
    with services.db.reading() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    return [
        (entry.action, entry.subject, (entry.after or {}).get("method", "")) for entry in entries
    ]


def is_signed_in(browser: PasskeyClient) -> bool:
    return browser.client.get(ME, base_url=ORIGIN).status_code == 200


def test_added_passkey_signs_in_without_password_and_code(
    services: Services, device: Device, stranger: PasskeyClient
) -> None:
    set_up_second_step(services, EMAIL)
    options = stranger.begin()
    assert options["rpId"] == HOST
    assert options["userVerification"] == "required"
    assert not options.get("allowCredentials")
    response = stranger.finish(device.get(options))
    assert (response.status_code, response.location) == (302, "/console/")
    assert is_signed_in(stranger)
    assert acts(services)[-2:] == [
        ("staff.passkey_added", f"staff:{EMAIL}", ""),
        ("staff.signed_in", f"staff:{EMAIL}", "passkey"),
    ]
    assert "Laptop" in stranger.text(ME)


def test_used_challenge_signs_in_nobody_again(device: Device, stranger: PasskeyClient) -> None:
    answer = device.get(stranger.begin())
    assert stranger.finish(answer).status_code == 302
    assert stranger.post("/console/sign-out", ME).status_code == 302
    refused = stranger.finish(answer)
    assert (refused.status_code, "sent twice" in refused.text) == (403, True)
    assert not is_signed_in(stranger)


def test_challenge_is_used_up_by_a_wrong_answer(device: Device, stranger: PasskeyClient) -> None:
    options = stranger.begin()
    device.origin = "https://provider.test.evil.example"
    assert stranger.finish(device.get(options)).status_code == 403
    device.origin = ORIGIN
    refused = stranger.finish(device.get(options))
    assert (refused.status_code, "sent twice" in refused.text) == (403, True)


def test_challenge_of_another_browser_is_refused(
    services: Services, device: Device, stranger: PasskeyClient
) -> None:
    other = PasskeyClient(services)
    other.begin()
    refused = other.finish(device.get(stranger.begin()))
    assert (refused.status_code, "sent twice" in refused.text) == (403, True)
    assert not is_signed_in(other)


def test_challenge_that_is_too_old_is_refused(
    device: Device, stranger: PasskeyClient, clock: ManualClock
) -> None:
    answer = device.get(stranger.begin())
    clock.advance(CHALLENGE_LIFETIME)
    assert stranger.finish(answer).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://provider.test"},
        {"origin": "https://sub.provider.test"},
        {"host": "evil.example"},
        {"flags": PRESENT},
        {"flags": VERIFIED},
        {"key": ec.generate_private_key(ec.SECP256R1())},
        {"credential_id": b"another"},
        {"user_handle": b"staff/999"},
    ],
    ids=lambda change: " ".join(map(str, change)),
)
def test_wrong_answer_signs_in_nobody_and_is_recorded(
    services: Services, device: Device, stranger: PasskeyClient, change: dict[str, Any]
) -> None:
    for name, value in change.items():
        setattr(device, name, value)
    refused = stranger.finish(device.get(stranger.begin()))
    assert (refused.status_code, "not accepted" in refused.text) == (403, True)
    assert not is_signed_in(stranger)
    subject = "unknown" if "credential_id" in change else EMAIL
    assert acts(services)[-1] == ("staff.sign_in_failed", f"staff:{subject}", "")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"id": 1}', "\x00", '"a"'])
def test_answer_that_cannot_be_read_is_refused(
    services: Services, stranger: PasskeyClient, text: str
) -> None:
    stranger.begin()
    refused = stranger.finish(text)
    assert (refused.status_code, "cannot be read" in refused.text) == (403, True)


def test_counter_that_does_not_grow_is_refused(device: Device, stranger: PasskeyClient) -> None:
    device.count = 5
    assert stranger.finish(device.get(stranger.begin())).status_code == 302
    for count in (5, 4, 0):
        device.count = count
        refused = stranger.finish(device.get(stranger.begin()))
        assert (refused.status_code, "copied" in refused.text) == (403, True)
    device.count = 6
    assert stranger.finish(device.get(stranger.begin())).status_code == 302


def test_disabled_person_does_not_sign_in_with_a_passkey(
    services: Services, device: Device, stranger: PasskeyClient
) -> None:
    with services.db.writing() as session:
        Staff.get_by_email(session, EMAIL).disabled_at = services.now()
    assert stranger.finish(device.get(stranger.begin())).status_code == 403


def test_passkey_is_added_only_with_the_password_and_its_own_challenge(
    services: Services, browser_of_sam: PasskeyClient, stranger: PasskeyClient
) -> None:
    wrong = browser_of_sam.begin_adding("another password")
    assert (wrong.status_code, wrong.json) == (
        400,
        {"error": "Your present password is not right"},
    )
    device = Device()
    # A challenge for signing in is none for adding.
    foreign = {**stranger.begin(), "user": {"id": websafe_encode(b"staff/1")}}
    answer = device.create(foreign)
    refused = browser_of_sam.post(f"{ME}passkeys", ME, credential=answer, name="Laptop")
    assert (refused.status_code, "sent twice" in refused.text) == (400, True)
    for flags, origin in ((PRESENT, ORIGIN), (PRESENT | VERIFIED, "https://evil.example")):
        wrong = browser_of_sam.add(Device(flags=flags, origin=origin))
        assert (wrong.status_code, "not right" in wrong.text) == (400, True)
    with services.db.reading() as session:
        assert session.scalars(select(Passkey)).all() == []


def test_same_passkey_and_a_wrong_name_are_refused(
    browser_of_sam: PasskeyClient, device: Device
) -> None:
    options = browser_of_sam.begin_adding(PASSWORD).json
    assert options
    assert [entry["id"] for entry in options["excludeCredentials"]] == [
        websafe_encode(device.credential_id)
    ]
    again = browser_of_sam.add(device)
    assert (again.status_code, "registered already" in again.text) == (400, True)
    nameless = browser_of_sam.add(Device(credential_id=b"another"), name="  ")
    assert (nameless.status_code, "1 to 60 characters" in nameless.text) == (400, True)


def test_removed_passkey_signs_in_nobody(
    services: Services,
    browser_of_sam: PasskeyClient,
    device: Device,
    stranger: PasskeyClient,
) -> None:
    with services.db.reading() as session:
        number = session.scalars(select(Passkey.id)).one()
    path = f"{ME}passkeys/{number}/remove"
    assert browser_of_sam.post(path, ME, password="another").status_code == 400
    assert browser_of_sam.post(path, ME, password=PASSWORD).status_code == 302
    assert acts(services)[-1][0] == "staff.passkey_removed"
    assert browser_of_sam.post(path, ME, password=PASSWORD).status_code == 404
    assert stranger.finish(device.get(stranger.begin())).status_code == 403


def test_passkey_of_another_person_is_not_removed(
    services: Services, device: Device, stranger: PasskeyClient
) -> None:
    factories.create_staff(services, "ana@provider.test", password=PASSWORD)
    stranger.post(
        "/console/sign-in", "/console/sign-in", email="ana@provider.test", password=PASSWORD
    )
    with services.db.reading() as session:
        number = session.scalars(select(Passkey.id)).one()
    assert stranger.post(f"{ME}passkeys/{number}/remove", ME, password=PASSWORD).status_code == 404


def test_address_without_https_offers_no_passkeys(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client)
    assert "Add a passkey" not in console.get_text(ME)
    page = "/console/sign-in"
    assert "passkey" not in console.get_text(page)
    assert console.submit("/console/sign-in/passkey/begin", page=page).status_code == 404
