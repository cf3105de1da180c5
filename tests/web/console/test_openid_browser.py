"""Signing in by OpenID Connect in a browser: cookies and the page's policy let it through."""

from dataclasses import replace

from playwright.sync_api import Browser, expect

from provider.config import Settings
from tests import factories
from tests.conftest import listen
from tests.factories import ManualClock
from tests.openid_issuer import CLIENT_ID, CLIENT_SECRET, OpenIdIssuer
from tests.web.accessibility import AccessibilityChecker


def test_button_leads_to_the_issuer_and_back_to_the_page_wanted(
    browser: Browser, settings: Settings, clock: ManualClock
) -> None:
    with OpenIdIssuer(clock.now) as issuer:
        settings = replace(
            settings,
            openid_issuer=issuer.url,
            openid_client_id=CLIENT_ID,
            openid_client_secret=CLIENT_SECRET,
        )
        # Another name than the issuer's: the browser takes it for another site.
        with listen(settings, clock, "localhost") as server:
            issuer.redirect_uri = f"{server.url}/console/sign-in/openid/done"
            factories.create_staff(server.services)
            context = browser.new_context(base_url=server.url)
            page = context.new_page()
            accessibility = AccessibilityChecker(page)
            page.goto("/console/accounts/")
            accessibility.check_page()
            page.get_by_role("link", name="Sign in with your company’s account").click()
            page.wait_for_url("**/console/accounts/")
            expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
            assert accessibility.problems == []
            context.close()
