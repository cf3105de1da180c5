"""The overview: what needs a person, and who sees which figures."""

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from provider.core.accounts import Account
from provider.core.connections import SourceCursor
from provider.core.products import Product
from provider.services import Services
from tests import check_factories, factories, interview_factories
from tests.delivery.api_world import ApiWorld, dummy_server
from tests.dummy_ats import registered_dummy
from tests.factories import ManualClock
from tests.web.console.test_deliveries import cancelled_orders, park
from tests.web.console_client import ConsoleClient

HOME = "/console/"


def tasks(page: str) -> dict[str, tuple[str, str]]:
    """Return the count and the address of each task by its text."""
    pattern = (
        r'<a href="([^"]+)"><span class="console-task-count">([^<]+)</span> '
        r'<span dir="auto">([^<]+)</span>'
    )
    return {text: (count, url) for url, count, text in re.findall(pattern, page)}


def test_overview_lists_what_waits_for_a_person(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client, "admin")
    assert "Nothing waits for you" in console.get_text(HOME)
    cancelled_orders(services, 2)
    park(services)
    with services.db.reading() as session:
        account_id = session.scalars(select(Account.id)).one()
    interview_factories.submitted_interview(services, account=account_id)
    package = check_factories.create_package(services)
    check_id = factories.place_order(services, account_id, package, "check")
    check_factories.give_consent(services, check_id)
    shown = tasks(console.get_text(HOME))
    assert shown["Interview that waits for the staff"] == (
        "1",
        "/console/orders/?kind=interview&waiting_for=staff",
    )
    assert shown["Background check that waits for the staff"][0] == "1"
    assert shown["Deliveries that failed"] == ("2", "/console/deliveries/")
    for _, url in shown.values():
        assert client.get(url).status_code == 200


def test_overview_names_accounts_whose_ats_is_not_read(
    services: Services, client: FlaskClient, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = ConsoleClient.signed_in(services, client, "admin")
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        world = ApiWorld.of_dummy(services, clock, fake)
        world.add_known_rule()
        fake.add(1, email="")
        world.read_next()
        with services.db.writing() as session:
            session.execute(update(SourceCursor).values(stopped_reason="very many orders"))
        page = console.get_text(HOME)
    assert [text for text in tasks(page) if text.startswith("Groove Tech")] == [
        "Groove Tech: list that is read no further",
        "Groove Tech: candidate who could not be ordered for",
    ]


def test_overview_shows_scores_only_to_roles_that_see_results(
    services: Services, client: FlaskClient
) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    factories.finish_test(services, order_id)
    for role, sees_scores in (("viewer", True), ("support", False)):
        page = ConsoleClient.signed_in(services, client, role).get_text(HOME)
        assert ("Median score per product" in page) == sees_scores
        assert "Completion rate</dt><dd>100%" in page


def test_overview_of_an_author_is_the_list_of_products(
    services: Services, client: FlaskClient
) -> None:
    ConsoleClient.signed_in(services, client, "author")
    assert client.get(HOME).location == "/console/products/"


def test_overview_shows_a_hostile_name_as_text(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    factories.finish_test(services, order_id)
    with services.db.writing() as session:
        session.scalars(select(Product)).one().name = "<script>alert(1)</script>"
    ConsoleClient.signed_in(services, client, "viewer")
    page = client.get(HOME).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_overview_says_how_many_orders_of_sandboxes_are_left_out(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client, "viewer")
    account_id, _ = factories.create_account(services)
    factories.place_order(services, account_id, factories.create_test(services))
    page = console.get_text(HOME)
    assert "<dt>Orders</dt><dd>1</dd>" in page
    assert "sandboxes" not in page
    with services.db.writing() as session:
        session.execute(update(Account).values(sandbox=True))
    page = console.get_text(HOME)
    assert "Only sandboxes have placed orders in the last 30 days: 1." in page
    account_id, _ = factories.create_account(services, "Another")
    factories.place_order(services, account_id, factories.create_test(services, key="another"))
    page = console.get_text(HOME)
    assert "<dt>Orders</dt><dd>1</dd>" in page
    assert "Orders of sandboxes are left out: 1." in page
