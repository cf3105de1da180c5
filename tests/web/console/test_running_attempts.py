"""The page that gives more time to everybody who takes a test now."""

import pytest
from flask.testing import FlaskClient

from provider.core.kinds.assessment import Assessment
from provider.services import Services
from tests import factories
from tests.web.console_client import ConsoleClient


def start_attempt(services: Services, account_id: int, product_id: str, number: int = 0) -> str:
    url = f"https://groove-tech.workable.com/assessments/{number}"
    order_id = factories.place_order(services, account_id, product_id, callback_url=url)
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())
    return order_id


def extra_minutes(services: Services, order_id: str) -> float:
    with services.db.reading() as session:
        return Assessment.find(session, order_id).extra_time_seconds / 60


@pytest.fixture
def test_id(services: Services) -> str:
    return factories.create_test(services)


@pytest.fixture
def path(test_id: str) -> str:
    return f"/console/products/{test_id}/running/"


def test_extend_sent_twice_adds_the_minutes_once(
    services: Services, client: FlaskClient, test_id: str, path: str
) -> None:
    account_id, _ = factories.create_account(services)
    first = start_attempt(services, account_id, test_id)
    console = ConsoleClient.signed_in(services, client)
    seen = console.read_field(path, "seen")
    second = start_attempt(services, account_id, test_id, 2)
    replies = [console.submit(path, page=path, seen=seen, minutes="5") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [302, 409]
    assert "nothing was added now" in replies[1].text
    assert [extra_minutes(services, order_id) for order_id in (first, second)] == [5, 5]
    seen = console.read_field(path, "seen")
    assert console.submit(path, page=path, seen=seen, minutes="3").status_code == 302
    assert extra_minutes(services, first) == 8


@pytest.mark.parametrize("minutes", ["", "0", "-5", "1.5", "1441", "five"])
def test_extend_by_a_wrong_number_adds_nothing(
    services: Services, client: FlaskClient, test_id: str, path: str, minutes: str
) -> None:
    account_id, _ = factories.create_account(services)
    order_id = start_attempt(services, account_id, test_id)
    console = ConsoleClient.signed_in(services, client)
    reply = console.submit(path, page=path, seen="0", minutes=minutes)
    assert reply.status_code == 400
    assert "minutes, from 1 to 1440" in reply.text
    assert extra_minutes(services, order_id) == 0


def test_extend_concerns_only_the_accounts_that_the_member_sees(
    services: Services, client: FlaskClient, test_id: str, path: str
) -> None:
    account_id, _ = factories.create_account(services)
    other_id, _ = factories.create_account(services, name="Other")
    order_id = start_attempt(services, account_id, test_id)
    other_order_id = start_attempt(services, other_id, test_id)
    console = ConsoleClient.signed_in(services, client, account_ids=[account_id])
    assert "1 candidate takes" in console.get_text(path)
    assert console.submit(path, page=path, seen="0", minutes="5").status_code == 302
    assert extra_minutes(services, order_id) == 5
    assert extra_minutes(services, other_order_id) == 0
