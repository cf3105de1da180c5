"""Revoking the links of an order: each address stops working, and the ATS gets new ones."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from provider.core.orders import Link, Order
from provider.services import Services
from tests import factories
from tests.web.console_client import ORDERS_PATH, ConsoleClient


class Ats:
    """The ATS of an order: it polls, and asks for shared links."""

    def __init__(self, app: Flask, token: str, order_id: str) -> None:
        self.client, self.order_id = app.test_client(), order_id
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, suffix: str = "") -> Any:
        response = self.client.get(f"/assessments/{self.order_id}{suffix}", headers=self.headers)
        assert response.status_code == 200, response.text
        return response.json

    def report_paths(self) -> list[str]:
        """Return the paths of the report, its PDF and a shared link."""
        poll = self.get()
        pdfs = [attachment["url"] for attachment in poll["attachments"]]
        urls = [poll["results_url"], *pdfs, self.get("/shared-link")["url"]]
        return [urlsplit(url).path for url in urls]


@pytest.fixture
def order(app: Flask, services: Services) -> Ats:
    account_id, token = factories.create_account(services)
    return Ats(
        app,
        token,
        factories.place_order(services, account_id, factories.create_test(services)),
    )


def revoke(services: Services, client: FlaskClient, order_id: str) -> str:
    """Revoke the links in the console, as the confirmation page says. Returns that page."""
    console = ConsoleClient.signed_in(services, client)
    path = f"{ORDERS_PATH}{order_id}/revoke-links"
    page = console.get_text(path)
    seen = console.read_field(path, "seen")
    response = console.submit(path, page=path, reason="It was forwarded", seen=seen)
    assert response.status_code == 302
    return page


def limited_link_path(services: Services, order_id: str) -> str:
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        link = Link.get_or_create_shared(
            session, services.secret_box, order, 3, "views", services.now()
        )
        return f"/s/{link.get_token(services.secret_box)}"


def test_revoke_links_ends_every_address_and_the_ats_gets_new_ones(
    app: Flask, services: Services, client: FlaskClient, order: Ats
) -> None:
    factories.finish_test(services, order.order_id)
    visitor = app.test_client()
    old_paths = [*order.report_paths(), limited_link_path(services, order.order_id)]
    assert len(old_paths) == 4
    assert [visitor.get(path).status_code for path in old_paths] == [200] * 4
    page = revoke(services, client, order.order_id)
    assert "stop working at once" in page
    assert [visitor.get(path).status_code for path in old_paths] == [404] * 4
    new_paths = order.report_paths()
    assert not set(new_paths) & set(old_paths)
    assert [visitor.get(path).status_code for path in new_paths] == [200] * 3
    assert factories.order_status(services, order.order_id) == "completed"


def test_revoke_links_ends_the_invitation_and_the_session(
    app: Flask, services: Services, client: FlaskClient, order: Ats
) -> None:
    candidate = app.test_client()
    old_path = urlsplit(factories.invitation_url(services, order.order_id)).path
    assert candidate.get(old_path, follow_redirects=True).status_code == 200
    revoke(services, client, order.order_id)
    assert candidate.get(f"/c/o/{order.order_id}/").status_code == 403
    gone = app.test_client().get(old_path)
    assert gone.status_code == 410
    assert "please use the newest e-mail" in gone.text
    new_path = urlsplit(factories.invitation_url(services, order.order_id)).path
    assert candidate.get(new_path, follow_redirects=True).status_code == 200


def test_revoke_links_is_in_the_timeline_with_its_reason(
    services: Services, client: FlaskClient, order: Ats
) -> None:
    revoke(services, client, order.order_id)
    page = ConsoleClient(client).get_text(f"{ORDERS_PATH}{order.order_id}")
    assert "All links revoked" in page
    assert "It was forwarded" in page
