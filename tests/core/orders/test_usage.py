"""The usage: orders counted by month, account and product."""

from datetime import UTC, datetime, timedelta

import pytest

from provider.core.accounts import Account
from provider.core.orders import Order
from provider.core.orders.usage import Month, Usage, list_months, list_usage
from provider.errors import Invalid
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.maintenance.test_erasure import erase

pytestmark = pytest.mark.both
MONTHS = [Month(2026, 9), Month(2026, 10), Month(2026, 11)]


@pytest.fixture
def account_id(services: Services, clock: ManualClock) -> int:
    clock.advance(datetime(2026, 9, 30, 23, 0, tzinfo=UTC) - clock.now())
    account_id, _ = factories.create_account(services)
    return account_id


def place(services: Services, account_id: int, product_id: str, number: int) -> str:
    url = f"https://groove-tech.workable.com/assessments/{number}"
    return factories.place_order(services, account_id, product_id, callback_url=url)


def usage(
    services: Services, account_id: int | None = None
) -> list[tuple[str, str, str, int, int]]:
    with services.db.reading() as session:
        rows = list_usage(session, MONTHS, account_id)
    return [tuple(_figures(row)) for row in rows]  # type: ignore[misc]


def _figures(row: Usage) -> list[object]:
    return [str(row.month), row.account, row.product, row.ordered, row.completed]


def test_order_counts_when_placed_and_when_its_result_is_ready(
    services: Services, clock: ManualClock, account_id: int
) -> None:
    reasoning = factories.create_test(services)
    words = factories.create_test(services, "Words", "words")
    orders = [place(services, account_id, reasoning, number) for number in range(3)]
    place(services, account_id, words, 3)
    factories.finish_test(services, orders[0])
    clock.advance(timedelta(hours=1))  # the first moment of October
    factories.finish_test(services, orders[1])
    place(services, account_id, words, 4)
    with services.db.writing() as session:
        Order.find(session, orders[2]).cancel(session, "a@b.test", "Filled", services.now())
    assert usage(services) == [
        ("2026-10", "Groove Tech", "Reasoning", 0, 1),
        ("2026-10", "Groove Tech", "Words", 1, 0),
        ("2026-09", "Groove Tech", "Reasoning", 3, 1),
        ("2026-09", "Groove Tech", "Words", 1, 0),
    ]


def test_usage_of_erased_orders_stays(
    services: Services, clock: ManualClock, account_id: int
) -> None:
    product_id = factories.create_test(services)
    orders = [place(services, account_id, product_id, number) for number in range(2)]
    for order_id in orders:
        factories.finish_test(services, order_id)
    before = usage(services)
    for order_id in orders:
        erase(services, order_id, give_up=True)
        assert usage(services) == before == [("2026-09", "Groove Tech", "Reasoning", 2, 2)]


def test_usage_of_one_account_leaves_out_the_others(services: Services, account_id: int) -> None:
    product_id = factories.create_test(services)
    other_id, _ = factories.create_account(services, "Acme")
    place(services, account_id, product_id, 1)
    place(services, other_id, product_id, 1)
    assert usage(services, other_id) == [("2026-09", "Acme", "Reasoning", 1, 0)]
    with services.db.reading() as session:
        rows = list_usage(session, MONTHS)
        public_ids = {row.account_id for row in rows}
        assert public_ids == {session.get_one(Account, i).public_id for i in (account_id, other_id)}


def test_usage_leaves_out_sandboxes(services: Services, account_id: int) -> None:
    product_id = factories.create_test(services)
    place(services, account_id, product_id, 1)
    with services.db.writing() as session:
        session.get_one(Account, account_id).sandbox = True
    assert usage(services) == usage(services, account_id) == []


def test_months_are_listed_across_a_year() -> None:
    months = list_months(Month.parse("2025-11"), Month.parse("2026-02"), 4)
    assert list(map(str, months)) == ["2025-11", "2025-12", "2026-01", "2026-02"]
    assert Month(2026, 1).plus(-2) == Month(2025, 11)
    with pytest.raises(Invalid, match="at most 3 months"):
        list_months(months[0], months[-1], 3)
    with pytest.raises(Invalid, match="should not be after"):
        list_months(months[1], months[0], 3)


@pytest.mark.parametrize(
    "text", ["2026", "2026-13", "2026-00", "26-11", "2026-11-01", "", "1969-01"]
)
def test_text_that_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a month"):
        Month.parse(text)
