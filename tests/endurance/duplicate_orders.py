"""The same order is placed fifty times at once on two servers, and is stored once."""

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
LONG_ORDER_COUNT, SHORT_ORDER_COUNT = 200, 2


def duplicate_orders(run: Run) -> ScenarioVerdict:
    """All duplicates get the same response; one order and one invitation are stored."""
    orders = SHORT_ORDER_COUNT if run.short else LONG_ORDER_COUNT
    with open_postgres_instance(run, "duplicate-orders") as (instance, _):
        with instance.open_services() as services:
            _, token = factories.create_account(services)
            test = factories.create_test(services)
        with instance.start_server() as first, instance.start_server(free_port()) as second:
            clients = [
                AtsClient(server.wait_until_ready().port, token) for server in (first, second)
            ]
            responses = [_order_concurrently(clients, test, number) for number in range(orders)]
            exit_codes = [first.stop(), second.stop()]
        stored = _count_stored(instance)
    verdict = ScenarioVerdict(
        f"{orders} orders, each {CONCURRENT_REQUESTS} times at once on two servers"
    )
    for number, order_responses in enumerate(responses):
        distinct = sorted({(response.status_code, response.text) for response in order_responses})
        verdict.require(
            len(distinct) == 1 and distinct[0][0] == 201,
            f"order {number} got the responses {distinct[:3]}",
        )
    verdict.require(stored == (orders, orders), f"stored orders and messages: {stored}")
    verdict.require(exit_codes == [0, 0], f"the servers ended with {exit_codes}")
    return verdict


def _order_concurrently(clients: list[AtsClient], test: str, number: int) -> list[HttpResponse]:
    body = {
        "test_id": test,
        "callback_url": f"http://127.0.0.1:9/callbacks/{number}",
        "candidate": {"email": "lakita_marrero@gmail.com", "first_name": "Lakita"},
    }
    start = Barrier(CONCURRENT_REQUESTS)

    def post(index: int) -> HttpResponse:
        start.wait()
        return clients[index % len(clients)].post("/assessments", body)

    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as threads:
        return list(threads.map(post, range(CONCURRENT_REQUESTS)))


def _count_stored(instance: Instance) -> tuple[int, int]:
    with instance.open_services() as services, services.db.reading() as session:
        orders, messages = (
            session.scalar(select(func.count()).select_from(table)) for table in (Order, Message)
        )
    return orders or 0, messages or 0
