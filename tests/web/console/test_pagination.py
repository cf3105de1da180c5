"""The links between the pages of a list, whatever the query has."""

import pytest
from flask.testing import FlaskClient

from provider.services import Services
from provider.web.console import pagination
from tests import factories
from tests.web.console_client import ORDERS_PATH, ConsoleClient


@pytest.mark.parametrize("name", ["endpoint", "_external", "_scheme", "_anchor", "_method"])
def test_pager_keeps_arguments_named_like_those_of_url_for(
    name: str, services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "PAGE_SIZE", 1)
    account_id, _ = factories.create_account(services)
    test = factories.create_test(services)
    for number in range(2):
        factories.place_order(
            services,
            account_id,
            test,
            callback_url=f"https://groove-tech.workable.com/assessments/{number}",
        )
    console = ConsoleClient.signed_in(services, client)
    response = console.client.get(f"{ORDERS_PATH}?{name}=http")
    assert response.status_code == 200
    assert f'href="{ORDERS_PATH}?{name}=http&amp;before=' in response.text
