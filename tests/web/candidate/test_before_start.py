"""What a candidate may change before the start: her name."""

import pytest
from flask.testing import FlaskClient

from provider.core.orders import REPORT, Link, Order
from provider.core.orders.order import OrderEvent
from provider.services import Services
from tests import factories
from tests.web.candidate.test_pages import open_invitation, submit_form
from tests.web.console_client import ORDERS_PATH, ConsoleClient


@pytest.fixture
def invited(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


def last_event(services: Services, public_id: str) -> OrderEvent:
    with services.db.reading() as session:
        return Order.find(session, public_id).events[-1]


def test_correct_name_changes_pages_report_and_timeline(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    assert "Lakita Marrero" in page
    path = f"/c/o/{invited}/name"
    assert 'value="Marrero"' in client.get(path).text
    response = submit_form(client, page, path, first_name=" Lakita ", last_name="Marrero\tDíaz")
    assert response.status_code == 303
    page = client.get(response.headers["Location"]).text
    assert "Lakita Marrero Díaz" in page
    event = last_event(services, invited)
    assert (event.type, event.actor) == ("name corrected", "candidate")
    assert event.note == "Lakita Marrero → Lakita Marrero Díaz"
    factories.finish_test(services, invited)
    with services.db.reading() as session:
        link = Link.find_permanent(session, Order.find(session, invited), REPORT)
        assert link
        report_url = services.urls.report(link.get_token(services.secret_box))
    assert "Lakita Marrero Díaz" in client.get(report_url).text
    console = ConsoleClient.signed_in(services, client)
    order_page = console.get_text(f"{ORDERS_PATH}{invited}")
    assert "Name corrected by the candidate" in order_page
    assert invited in console.get_text(f"{ORDERS_PATH}?q=Díaz")
    assert invited not in console.get_text(f"{ORDERS_PATH}?q=Another")


def test_correct_name_to_the_same_name_records_nothing(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    names = {"first_name": "Lakita", "last_name": "Marrero"}
    assert submit_form(client, page, f"/c/o/{invited}/name", **names).status_code == 303
    assert last_event(services, invited).type == "opened"


@pytest.mark.parametrize(
    ("first_name", "last_name", "problem"),
    [(" ", "", "Please write your name"), ("x" * 201, "Marrero", "at most 200 characters")],
)
def test_correct_name_to_no_name_shows_what_was_typed(
    client: FlaskClient,
    services: Services,
    invited: str,
    first_name: str,
    last_name: str,
    problem: str,
) -> None:
    page = open_invitation(client, services, invited).text
    names = {"first_name": first_name, "last_name": last_name}
    response = submit_form(client, page, f"/c/o/{invited}/name", **names)
    assert response.status_code == 400
    assert problem in response.text
    assert f'value="{first_name}"' in response.text
    with services.db.reading() as session:
        assert Order.find(session, invited).candidate.name == "Lakita Marrero"


def test_correct_name_after_the_start_is_refused(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    submit_form(client, page, f"/c/o/{invited}/start")
    path = f"/c/o/{invited}/name"
    assert client.get(path).status_code == 409
    assert submit_form(client, page, path, first_name="Ana", last_name="B").status_code == 409
    with services.db.reading() as session:
        assert Order.find(session, invited).candidate.name == "Lakita Marrero"
