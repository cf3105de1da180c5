"""The operator, the addresses and the logo at the foot and the head of every candidate's page."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from provider.app import create_app
from provider.config import Settings
from provider.core.accounts import Account
from provider.core.accounts.logo import set_logo
from provider.core.orders import INVITE, Link, Order
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.pictures import make_png

HELP_LINK = 'Help: <a href="mailto:help@groove.example">'
OPERATOR_HELP_LINK = 'Help: <a href="mailto:help@tests.example">'


@pytest.fixture
def operated_services(settings: Settings, clock: ManualClock) -> Iterator[Services]:
    settings = replace(
        settings,
        operator_name="Tests & Co",
        operator_support="help@tests.example",
        operator_privacy="https://tests.example/privacy",
    )
    services = factories.build_services(settings, clock)
    yield services
    services.db.close()


@pytest.fixture
def visitor(operated_services: Services) -> FlaskClient:
    return create_app(operated_services).test_client()


def place_order(services: Services) -> str:
    account_id, _ = factories.create_account(services, branding={"display_name": "Groove"})
    with services.db.writing() as session:
        account = session.get_one(Account, account_id)
        set_logo(session, account, make_png(), services.now())
        account.change_branding(support_address="help@groove.example")
    return factories.place_order(services, account_id, factories.create_test(services))


def test_landing_names_the_operator_and_both_addresses(
    visitor: FlaskClient, operated_services: Services
) -> None:
    url = factories.invitation_url(operated_services, place_order(operated_services))
    page = visitor.get(urlsplit(url).path, follow_redirects=True).text
    assert "Tests &amp; Co runs this page for Groove." in page
    assert HELP_LINK in page  # the account's address, not the operator's
    assert OPERATOR_HELP_LINK not in page
    assert 'Privacy: <a href="https://tests.example/privacy"' in page


@pytest.mark.parametrize("path", ["", "decline", "items/1", "no-such-page"])
def test_page_without_a_session_has_logo_and_addresses(
    visitor: FlaskClient, operated_services: Services, path: str
) -> None:
    order_id = place_order(operated_services)
    response = visitor.get(f"/c/o/{order_id}/{path}")
    assert response.status_code in (403, 404)
    # A path without a route names no order.
    assert ('src="/c/logo/' in response.text) == (path != "no-such-page")
    assert (HELP_LINK if path != "no-such-page" else OPERATOR_HELP_LINK) in response.text


def test_page_of_a_replaced_link_has_logo_and_addresses(
    visitor: FlaskClient, operated_services: Services
) -> None:
    order_id = place_order(operated_services)
    path = urlsplit(factories.invitation_url(operated_services, order_id)).path
    with operated_services.db.writing() as session:
        link = Link.find_permanent(session, Order.find(session, order_id), INVITE)
        assert link
        link.revoked_at = operated_services.now()
    response = visitor.get(path)
    assert response.status_code == 410
    assert 'src="/c/logo/' in response.text
    assert HELP_LINK in response.text


@pytest.mark.parametrize("path", ["/c/unknown", "/c/o/unknown/", "/c/o/x%00y/", "/c/colour/x.css"])
def test_page_of_no_order_names_the_operator(visitor: FlaskClient, path: str) -> None:
    page = visitor.get(path).text
    assert "Tests &amp; Co" in page
    assert OPERATOR_HELP_LINK in page


def test_page_without_operator_and_account_has_no_list(client: FlaskClient) -> None:
    assert "brand-contacts" not in client.get("/c/unknown").text
