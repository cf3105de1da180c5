"""Isolation: dead and slow hosts do not delay the others, nor do they cost threads.

Two couriers run side by side on whatever this machine has left, one with orders to such hosts and
one without: only so is the ratio of their latencies the doing of those.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles

from provider.core.orders import Order
from provider.delivery import InProcessDispatcher
from provider.delivery.http.client import DEADLINE
from provider.services import Services
from tests import factories
from tests.endurance.actors import STAFF_EMAIL
from tests.endurance.cluster import open_instance
from tests.endurance.expected_statuses import load_expected_statuses
from tests.endurance.receiver import CallbackReceiver, SlowServer, UnresponsiveServer
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.verdict import DeliveryVerdict, check_deliveries

MAX_CONCURRENT_SENDS = 16
DEAD_HOST_COUNT = 100  # orders, each to a host of its own: half of them never answer, half reset
SLOW_HOST_COUNT = 4  # hosts that take all, but late, and for each of which there are many orders
SLOW_RESPONSE_SECONDS = 1.5  # seconds until they have
ORDERS_PER_SLOW_HOST, SHORT_ORDERS_PER_SLOW_HOST = 300, 60  # orders for each of them
MIN_SLOW_RESPONSES = 24  # of their answers, after which they would have every hand, if they could
MAX_EXTRA_THREADS = 10  # threads beside the workers
MAX_LATENCY_FACTOR = 2.0  # by which the healthy may be slower
NEGLIGIBLE_DELAY_SECONDS = 0.02  # seconds: a delay that nobody can tell from the machine's own
MAX_LATENCY_SECONDS = DEADLINE / 2  # seconds: who waited for a dead host's end waited for longer
WARM_UP_DELIVERIES = (
    5  # deliveries that are not counted: connections are made, statements put together
)
LONG_DELIVERY_COUNT, SHORT_DELIVERY_COUNT = 600, 100  # deliveries that are timed on each side
RECEIVER_THREAD_MARKER = "process_request"  # in the name of a thread that is a receiver's own
HEALTHY_HOST, SILENT_HOST, RESETTING_HOST, SLOW_HOST = (
    "127.0.0.1",
    "127.0.1.{}",
    "127.0.2.{}",
    "127.0.3.{}",
)
UNHEALTHY_HOSTS = (SILENT_HOST, RESETTING_HOST, SLOW_HOST)
ALL_HOSTS = [
    HEALTHY_HOST,
    *(host.format(number) for host in UNHEALTHY_HOSTS for number in range(1, 51)),
]


@dataclass(frozen=True)
class MeasuredDispatcher:
    """A house with its courier at work, an account, and the receiver of the healthy orders."""

    services: Services
    account: int
    test: str
    receiver: CallbackReceiver
    initial_threads: frozenset[threading.Thread]  # before the courier began

    def count_new_threads(self) -> int:
        """Return how many threads there are that were not before, receivers' apart."""
        new = set(threading.enumerate()) - self.initial_threads
        return sum(RECEIVER_THREAD_MARKER not in thread.name for thread in new)

    def cancel_order(self, url: str) -> float:
        """Place an order whose news goes to an address, cancel it, return the moment of that."""
        order = factories.place_order(self.services, self.account, self.test, callback_url=url)
        with self.services.db.writing() as session:
            Order.find(session, order).cancel(session, STAFF_EMAIL, "Filled", self.services.now())
        return time.monotonic()

    def measure_latency(self, number: int) -> float:
        """Cancel a healthy order and return the seconds from the commit to the arrival."""
        known = self.receiver.accepted_count
        began = self.cancel_order(f"{self.receiver.url}/healthy/{number}")
        assert self.receiver.wait_until(lambda it: it.accepted_count > known, 60), (
            "it never arrived"
        )
        return max(0.0, self.receiver.callbacks[-1].received_at - began)


def isolation(run: Run) -> ScenarioVerdict:
    """Compare the latencies of healthy orders with and without such hosts, and count threads."""
    with (
        _measured_dispatcher(run, "troubled") as troubled,
        UnresponsiveServer(
            resets_connections=False
        ) as silent,  # within, so that they hang up before the courier stops
        UnresponsiveServer(resets_connections=True) as resetting,
        SlowServer(SLOW_RESPONSE_SECONDS) as late,
    ):
        for number in range(WARM_UP_DELIVERIES):
            troubled.measure_latency(number)
        each = SHORT_ORDERS_PER_SLOW_HOST if run.short else ORDERS_PER_SLOW_HOST
        for queued in range(each):
            for number in range(1, SLOW_HOST_COUNT + 1):
                troubled.cancel_order(
                    f"http://{SLOW_HOST.format(number)}:{late.port}/late/{queued}"
                )
        late.wait_for(MIN_SLOW_RESPONSES, timeout=60)
        for number in range(1, DEAD_HOST_COUNT // 2 + 1):
            for dead, host in ((silent, SILENT_HOST), (resetting, RESETTING_HOST)):
                troubled.cancel_order(f"http://{host.format(number)}:{dead.port}/dead")
        pairs, judgement, most = _measure_both(run, troubled)
        waiting = SLOW_HOST_COUNT * each - len(late.received)
    verdict = ScenarioVerdict("")
    verdict.add_problems_of(judgement)
    calm, slowed = (_p95(side) for side in zip(*pairs, strict=True))
    slowest = max(slowed for _, slowed in pairs)
    verdict.figures = (
        f"{len(pairs)} deliveries beside {DEAD_HOST_COUNT} dead hosts and {SLOW_HOST_COUNT} slow ones, "
        f"p95 {slowed * 1000:.1f} ms, without {calm * 1000:.1f} ms, "
        f"factor {slowed / calm:.2f}, slowest {slowest:.2f} s, "
        f"{most} threads, {waiting} late ones still to go"
    )
    verdict.require(waiting > 0, "the slow hosts had nothing left to do: queue more for them")
    verdict.require(slowest < MAX_LATENCY_SECONDS, f"one of the healthy waited {slowest:.1f} s")
    verdict.require(
        slowed <= max(MAX_LATENCY_FACTOR * calm, calm + NEGLIGIBLE_DELAY_SECONDS),
        "the dead or the slow delay the healthy",
    )
    verdict.require(
        most <= MAX_CONCURRENT_SENDS + MAX_EXTRA_THREADS,
        f"{most} threads for {MAX_CONCURRENT_SENDS} workers",
    )
    return verdict


def _measure_both(
    run: Run, troubled: MeasuredDispatcher
) -> tuple[list[tuple[float, float]], DeliveryVerdict, int]:
    """Time deliveries on both sides, in turn; count the troubled side's threads meanwhile."""
    most, pairs = 0, []
    with _measured_dispatcher(run, "calm") as calm:
        for number in range(WARM_UP_DELIVERIES):
            calm.measure_latency(number)
        for number in range(
            WARM_UP_DELIVERIES,
            WARM_UP_DELIVERIES + (SHORT_DELIVERY_COUNT if run.short else LONG_DELIVERY_COUNT),
        ):
            pairs.append((calm.measure_latency(number), troubled.measure_latency(number)))
            most = max(most, troubled.count_new_threads())
    healthy = [
        each
        for each in load_expected_statuses(troubled.services)
        if each.order.startswith("/healthy/")
    ]
    return pairs, check_deliveries(healthy, troubled.receiver.callbacks), most


@contextmanager
def _measured_dispatcher(run: Run, name: str) -> Iterator[MeasuredDispatcher]:
    with (
        open_instance(run, name) as ground,
        ground.open_services() as services,
        CallbackReceiver(run.rng(name)) as receiver,
    ):
        account, _ = factories.create_account(services, hosts=ALL_HOSTS)
        test, known = factories.create_test(services), frozenset(threading.enumerate())
        courier = InProcessDispatcher(services, max_concurrent_sends=MAX_CONCURRENT_SENDS).start()
        try:
            yield MeasuredDispatcher(services, account, test, receiver, known)
        finally:
            courier.stop()


def _p95(seconds: tuple[float, ...]) -> float:
    return quantiles(seconds, n=20)[-1]
