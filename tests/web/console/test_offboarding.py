"""The console's page of the end of an account: three steps, each confirmed by name."""

import io
import re
from datetime import timedelta
from zipfile import ZipFile

import pytest
from flask.testing import FlaskClient

from provider.core.accounts import Account
from provider.core.orders import Order
from provider.core.scheduled import run_if_due
from provider.maintenance.offboarding import OFFBOARD_ACCOUNTS
from provider.services import Services
from provider.web.console import offboarding
from tests.factories import ManualClock
from tests.maintenance.test_offboarding import completed_orders
from tests.web.console_client import ConsoleClient


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "admin")


def page_of(services: Services) -> str:
    with services.db.reading() as session:
        public_id = session.get_one(Account, 1).public_id
    return f"/console/accounts/{public_id}/offboarding/"


def forms(page: str) -> list[str]:
    """Return the steps that the page offers."""
    return re.findall(r'action="[^"]+/offboarding/(\w+)"', page)


def work(clock: ManualClock, services: Services) -> None:
    clock.advance(timedelta(seconds=5))
    run_if_due(services, OFFBOARD_ACCOUNTS)


def test_each_step_is_offered_only_after_the_one_before(
    services: Services, console: ConsoleClient, clock: ManualClock
) -> None:
    completed_orders(services)
    path = page_of(services)
    assert forms(console.get_text(path)) == ["disable"]
    assert console.submit(f"{path}disable", name="Groove Tech").location == path
    page = console.get_text(path)
    assert "by admin@provider.test" in page
    assert forms(page) == ["enable", "export"]
    assert console.submit(f"{path}export", name="Groove Tech").location == path
    page = console.get_text(path)
    assert "0 of 1 orders" in page
    assert forms(page) == ["enable"]
    work(clock, services)
    page = console.get_text(path)
    assert forms(page) == ["enable", "download", "export", "erase"]
    response = console.submit(f"{path}download")
    assert "attachment" in response.headers["Content-Disposition"]
    with ZipFile(io.BytesIO(response.data)) as archive:
        assert "account.json" in archive.namelist()
    assert console.submit(f"{path}erase", name="Groove Tech").location == path
    page = console.get_text(path)
    assert "0 of 1 orders" in page
    assert forms(page) == ["download"]
    work(clock, services)
    page = console.get_text(path)
    assert forms(page) == []
    for text in ("Certificate", "Orders: Assessment", "as admin@provider.test asked"):
        assert text in page
    assert console.submit(f"{path}download").status_code == 404


def test_counting_stops_at_a_great_number_of_orders(
    services: Services,
    console: ConsoleClient,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    completed_orders(services)
    path = page_of(services)
    assert "The account has 1 order, of which 0 are open." in console.get_text(path)
    monkeypatch.setattr(offboarding, "MAX_COUNTED_ORDERS", 0)
    assert "The account has more than 0 orders, of which 0 are open." in console.get_text(path)
    for step in ("disable", "export"):
        console.submit(f"{path}{step}", name="Groove Tech")
        work(clock, services)
    console.submit(f"{path}erase", name="Groove Tech")
    assert "Orders erased: 0. Orders left: more than 0." in console.get_text(path)


@pytest.mark.parametrize("step", ["disable", "enable", "export", "erase"])
def test_step_needs_the_name_of_the_account(
    services: Services, console: ConsoleClient, step: str
) -> None:
    completed_orders(services)
    path = page_of(services)
    response = console.submit(f"{path}{step}", name="Groove")
    assert response.status_code == 400
    with services.db.reading() as session:
        assert session.get_one(Account, 1).disabled_at is None


def test_step_out_of_order_is_refused_with_its_reason(
    services: Services, console: ConsoleClient
) -> None:
    completed_orders(services)
    response = console.submit(f"{page_of(services)}erase", name="Groove Tech")
    assert response.status_code == 409
    assert "Disable account Groove Tech first." in response.text


def test_orders_on_hold_are_listed_instead_of_the_last_step(
    services: Services, console: ConsoleClient, clock: ManualClock
) -> None:
    (order_id,) = completed_orders(services)
    path = page_of(services)
    for step in ("disable", "export"):
        console.submit(f"{path}{step}", name="Groove Tech")
        work(clock, services)
    with services.db.writing() as session:
        Order.find(session, order_id).hold(session, "sam", "A lawsuit", clock.now())
    page = console.get_text(path)
    assert "erase" not in forms(page)
    assert f'href="/console/orders/{order_id}"' in page
    refusal = console.submit(f"{path}erase", name="Groove Tech")
    assert (refusal.status_code, order_id in refusal.text) == (409, True)


def test_disabled_account_is_marked_on_its_pages(
    services: Services, console: ConsoleClient
) -> None:
    completed_orders(services)
    path = page_of(services)
    account_page = path.removesuffix("offboarding/")[:-1]
    assert path in console.get_text(account_page)
    console.submit(f"{path}disable", name="Groove Tech")
    for page in (account_page, "/console/accounts/"):
        assert '<span class="tag tag-bad">Disabled</span>' in console.get_text(page)
