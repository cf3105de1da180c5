"""Passkeys in a browser, with its virtual authenticator."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from provider.config import Settings
from tests import factories
from tests.conftest import LiveServer, listen
from tests.factories import ManualClock
from tests.web.accessibility import AccessibilityChecker

EMAIL, PASSWORD = "sam@provider.test", "correct horse battery"


@dataclass
class VirtualDevice:
    """The authenticator of a browser: it answers without a person."""

    page: Page
    number: str
    session: Any

    @classmethod
    def plug_in(cls, page: Page) -> "VirtualDevice":
        session = page.context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        added = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return cls(page, added["authenticatorId"], session)

    def verify_person(self, is_verified: bool) -> None:
        self.session.send(
            "WebAuthn.setUserVerified",
            {"authenticatorId": self.number, "isUserVerified": is_verified},
        )


@pytest.fixture
def server(settings: Settings, clock: ManualClock) -> Iterator[LiveServer]:
    # Browsers have passkeys for this name without TLS, but for no IP address.
    with listen(settings, clock, "localhost") as server:
        factories.create_staff(server.services, EMAIL, password=PASSWORD)
        yield server


@pytest.fixture
def page(browser: Browser, server: LiveServer) -> Iterator[Page]:
    context = browser.new_context(base_url=server.url)
    yield context.new_page()
    context.close()


def sign_in_by_password(page: Page) -> None:
    page.goto("/console/sign-in")
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/console/")


def add_passkey(page: Page, password: str = PASSWORD) -> None:
    page.goto("/console/me/")
    page.get_by_text("Add a passkey", exact=True).first.click()
    page.get_by_label("Name", exact=True).fill("Work laptop")
    page.locator("#passkey-password").fill(password)
    page.get_by_role("button", name="Add a passkey").click()


def test_passkey_is_added_signs_in_and_is_removed(page: Page) -> None:
    accessibility = AccessibilityChecker(page)
    VirtualDevice.plug_in(page)
    sign_in_by_password(page)
    add_passkey(page)
    expect(page.get_by_text("The passkey is added")).to_be_visible()
    expect(page.get_by_role("rowheader", name="Work laptop")).to_be_visible()
    accessibility.check_page()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/console/sign-in")
    accessibility.check_page()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/console/")
    page.goto("/console/me/")
    page.get_by_text("Remove Work laptop").click()
    page.get_by_label("Your password").locator("visible=true").fill(PASSWORD)
    page.get_by_role("button", name="Remove the passkey").click()
    expect(page.get_by_text("The passkey “Work laptop” is removed")).to_be_visible()
    assert accessibility.problems == []


def test_refusals_are_told_beside_the_button(page: Page) -> None:
    device = VirtualDevice.plug_in(page)
    sign_in_by_password(page)
    add_passkey(page, "not the password")
    expect(page.get_by_text("Your present password is not right.")).to_be_visible()
    add_passkey(page)
    expect(page.get_by_text("The passkey is added")).to_be_visible()
    add_passkey(page)
    expect(page.get_by_text("This device has a passkey for your account already.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/console/sign-in")
    device.verify_person(False)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("The device was not asked")).to_be_visible()


def test_sign_in_page_without_scripts_shows_no_passkey_button(
    browser: Browser, server: LiveServer
) -> None:
    context = browser.new_context(base_url=server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/console/sign-in")
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    expect(page.get_by_text("passkey")).to_be_hidden()
    context.close()
