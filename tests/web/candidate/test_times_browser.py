"""Times in a browser: in its own zone and in the words of its language."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect

from provider.core.orders import Order
from tests import factories
from tests.conftest import LiveServer


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    account_id, _ = factories.create_account(live_server.services, timezone="Europe/Athens")
    product = factories.create_test(live_server.services)
    return factories.place_order(live_server.services, account_id, product)


@pytest.mark.parametrize(
    ("locale", "pattern"),
    [
        ("en-GB", r"[A-Z][a-z]+day,? \d+ [A-Z][a-z]+( \d{4})?, %H:%M \(in 6 days\)"),
        ("en-US", r"[A-Z][a-z]+day, [A-Z][a-z]+ \d+(, \d{4})?, \d+:%M\s[AP]M \(in 6 days\)"),
        ("fr-FR", r"[a-z]+ \d+ \S+( \d{4})?(,| à) %H:%M \(dans 6 jours\)"),
        ("sw-KE", r".*\(in 6 days\)"),  # in the language of the page
    ],
)
def test_time_has_the_zone_and_the_habit_of_the_browser(
    live_server: LiveServer, browser: Browser, invited: str, locale: str, pattern: str
) -> None:
    live_server.clock.advance(timedelta(hours=1))
    context = browser.new_context(timezone_id="Asia/Kathmandu", locale=locale)
    page = context.new_page()
    page.goto(factories.invitation_url(live_server.services, invited))
    with live_server.services.db.reading() as session:
        deadline = Order.find(session, invited).expires_at
    kathmandu = deadline + timedelta(hours=5, minutes=45)
    expected = pattern.replace("%H:%M", f"{kathmandu:%H:%M}").replace("%M", f"{kathmandu:%M}")
    expect(page.locator("time").first).to_have_text(re.compile(expected))
    with page.expect_response(f"**/{invited}/opened"):
        page.keyboard.press("Tab")
    with live_server.services.db.reading() as session:
        zone = Order.find(session, invited).candidate.timezone
    assert zone in ("Asia/Kathmandu", "Asia/Katmandu")
    context.close()


def test_time_without_scripts_names_its_zone(
    live_server: LiveServer, browser: Browser, invited: str
) -> None:
    context = browser.new_context(timezone_id="Asia/Kathmandu", java_script_enabled=False)
    page = context.new_page()
    page.goto(factories.invitation_url(live_server.services, invited))
    expect(page.locator("time").first).to_have_text(re.compile(r"Athens time \(in 7 days\)"))
    context.close()
