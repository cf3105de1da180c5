"""Fifty: the same order at once, fifty times, on two servers side by side; it is one order."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import func, select

from provider.core.orders import Order
from provider.outbox import Message
from tests import factories
from tests.endurance.cluster import open_postgres_instance
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance, free_port
from tests.endurance.web import AtsClient, HttpResponse

CONCURRENT_REQUESTS = 50
LONG_ORDER_COUNT, SHORT_ORDER_COUNT = 200, 3  # orders


def duplicate_orders(run: Run) -> ScenarioVerdict:
    """Every one of them is answered alike, and there is one order and one letter."""
    orders = SHORT_ORDER_COUNT if run.short else LONG_ORDER_COUNT
    with open_postgres_instance(run, "fifty") as (instance, _):
        with instance.open_services() as services:
            _, token = factories.create_account(services)
            test = factories.create_test(services)
        with instance.start_server() as one, instance.start_server(free_port()) as other:
            doors = [AtsClient(server.wait_until_ready().port, token) for server in (one, other)]
            answers = [_order_concurrently(doors, test, number) for number in range(orders)]
            codes = [one.stop(), other.stop()]
        kept = _count_stored(instance)
    verdict = ScenarioVerdict(
        f"{orders} orders, each {CONCURRENT_REQUESTS} times at once on two servers"
    )
    for number, pages in enumerate(answers):
        said = sorted({(page.status_code, page.text) for page in pages})
        verdict.require(
            len(said) == 1 and said[0][0] == 201, f"order {number} was answered {said[:3]}"
        )
    verdict.require(kept == (orders, orders), f"(orders, letters) that are kept: {kept}")
    verdict.require(codes == [0, 0], f"the servers ended with {codes}")
    return verdict


def _order_concurrently(clients: list[AtsClient], test: str, number: int) -> list[HttpResponse]:
    wish = {
        "test_id": test,
        "callback_url": f"http://127.0.0.1:9/callbacks/{number}",
        "candidate": {"email": "lakita_marrero@gmail.com", "first_name": "Lakita"},
    }
    start = Barrier(CONCURRENT_REQUESTS)

    def ask(index: int) -> HttpResponse:
        start.wait()
        return clients[index % len(clients)].post("/assessments", wish)

    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as threads:
        return list(threads.map(ask, range(CONCURRENT_REQUESTS)))


def _count_stored(instance: Instance) -> tuple[int, int]:
    with instance.open_services() as services, services.db.reading() as session:
        orders, letters = (
            session.scalar(select(func.count()).select_from(table)) for table in (Order, Message)
        )
    return orders or 0, letters or 0
