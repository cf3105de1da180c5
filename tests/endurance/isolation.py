"""Unresponsive and slow hosts neither delay the other hosts nor use up threads.

Two dispatchers run side by side on the same machine, one with orders to such hosts and one without.
So the ratio of their latencies shows the effect of these hosts, not the machine's load.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles

from provider.core.orders import Order
from provider.delivery import InProcessDispatcher
from provider.delivery.http.client import TIMEOUT_SECONDS
from provider.delivery.runners.in_process import WORK_THREAD_PREFIX
from provider.services import Services
from tests import factories
from tests.endurance.actors import STAFF_EMAIL
from tests.endurance.cluster import open_instance
from tests.endurance.expected_statuses import load_expected_statuses
from tests.endurance.receiver import CallbackReceiver, SlowServer, UnresponsiveServer
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.verdict import DeliveryVerdict, check_deliveries

MAX_CONCURRENT_SENDS = 16
# Dead hosts with one order each; half of them never answer, half reset.
LONG_DEAD_HOST_COUNT, SHORT_DEAD_HOST_COUNT = 100, 20
SLOW_HOST_COUNT = 4  # with queues that never run empty; these hosts accept everything, but slowly
SLOW_RESPONSE_SECONDS = 1.5
MIN_WAITING_PER_SLOW_HOST = 8  # callbacks; enough for every slot, without limits
MIN_SLOW_RESPONSES = 24  # without limits the slow hosts would then use every slot
# Beside the sending threads: a name lookup for each, and the dispatcher's own threads.
MAX_EXTRA_THREADS = MAX_CONCURRENT_SENDS + 4
MAX_LATENCY_FACTOR = 2.0  # of healthy deliveries, with such hosts to without
NEGLIGIBLE_DELAY_SECONDS = 0.02  # a smaller delay is noise of the machine
MAX_LATENCY_SECONDS = TIMEOUT_SECONDS / 2  # a delivery that waited for a dead host takes longer
WARM_UP_DELIVERIES = 5  # not counted: they open connections and compile statements
LONG_DELIVERY_COUNT, SHORT_DELIVERY_COUNT = 600, 20  # timed, on each side
# In the names of the receivers' threads, and of the one thread of each scheduled work.
OTHER_THREAD_MARKERS = ("process_request", WORK_THREAD_PREFIX)
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
    """A running dispatcher with an account, and the receiver of its healthy orders."""

    services: Services
    account: int
    test: str
    receiver: CallbackReceiver
    initial_threads: frozenset[threading.Thread]  # before the dispatcher was started

    def count_new_threads(self) -> int:
        """Count the threads started since that deliver."""
        new = set(threading.enumerate()) - self.initial_threads
        return sum(
            not any(marker in thread.name for marker in OTHER_THREAD_MARKERS) for thread in new
        )

    def cancel_order(self, url: str) -> float:
        """Place an order and cancel it. Return the monotonic time of the cancellation."""
        order = factories.place_order(self.services, self.account, self.test, callback_url=url)
        with self.services.db.writing() as session:
            Order.find(session, order).cancel(session, STAFF_EMAIL, "Filled", self.services.now())
        return time.monotonic()

    def measure_latency(self, number: int) -> float:
        """Cancel a healthy order; return the seconds from the commit to the callback's arrival."""
        known = self.receiver.accepted_count
        cancelled_at = self.cancel_order(f"{self.receiver.url}/healthy/{number}")
        arrived = self.receiver.wait_until(lambda receiver: receiver.accepted_count > known, 60)
        assert arrived, "the callback never arrived"
        return max(0.0, self.receiver.callbacks[-1].received_at - cancelled_at)


class SlowQueues:
    """The queues of the slow hosts, refilled so that they never run empty on a slow machine."""

    def __init__(self, dispatcher: MeasuredDispatcher, server: SlowServer) -> None:
        self._dispatcher, self._server = dispatcher, server
        self._placed_per_host = 0

    def refill(self) -> None:
        """Place orders until each host has `MIN_WAITING_PER_SLOW_HOST` callbacks on average."""
        while self._waiting_count() < SLOW_HOST_COUNT * MIN_WAITING_PER_SLOW_HOST:
            for number in range(1, SLOW_HOST_COUNT + 1):
                host = f"http://{SLOW_HOST.format(number)}:{self._server.port}"
                self._dispatcher.cancel_order(f"{host}/late/{self._placed_per_host}")
            self._placed_per_host += 1

    def _waiting_count(self) -> int:
        return SLOW_HOST_COUNT * self._placed_per_host - len(self._server.received)


def isolation(run: Run) -> ScenarioVerdict:
    """Compare the latencies of healthy orders with and without such hosts; count the threads."""
    dead_host_count = SHORT_DEAD_HOST_COUNT if run.short else LONG_DEAD_HOST_COUNT
    with (
        _measured_dispatcher(run, "troubled") as troubled,
        # These servers close before the dispatcher stops, so that it need not wait for them.
        UnresponsiveServer(resets_connections=False) as silent,
        UnresponsiveServer(resets_connections=True) as resetting,
        SlowServer(SLOW_RESPONSE_SECONDS) as late,
    ):
        for number in range(WARM_UP_DELIVERIES):
            troubled.measure_latency(number)
        slow_queues = SlowQueues(troubled, late)
        slow_queues.refill()
        late.wait_for(MIN_SLOW_RESPONSES, timeout=60)
        for number in range(1, dead_host_count // 2 + 1):
            for server, host in ((silent, SILENT_HOST), (resetting, RESETTING_HOST)):
                troubled.cancel_order(f"http://{host.format(number)}:{server.port}/dead")
        pairs, deliveries, max_threads = _measure_both(run, troubled, slow_queues)
    verdict = ScenarioVerdict("")
    verdict.add_problems_of(deliveries)
    # A p95 of a few deliveries would be the noise of the machine.
    name, position = ("median", 9) if run.short else ("p95", -1)
    calm, troubled_latency = (
        quantiles(latencies, n=20)[position] for latencies in zip(*pairs, strict=True)
    )
    slowest = max(latency for _, latency in pairs)
    verdict.figures = (
        f"{len(pairs)} deliveries beside {dead_host_count} dead and {SLOW_HOST_COUNT} slow hosts, "
        f"{name} {troubled_latency * 1000:.1f} ms, without {calm * 1000:.1f} ms, "
        f"factor {troubled_latency / calm:.2f}, slowest {slowest:.2f} s, "
        f"{max_threads} threads"
    )
    verdict.require(slowest < MAX_LATENCY_SECONDS, f"a healthy delivery took {slowest:.1f} s")
    verdict.require(
        troubled_latency <= max(MAX_LATENCY_FACTOR * calm, calm + NEGLIGIBLE_DELAY_SECONDS),
        "dead or slow hosts delay the healthy deliveries",
    )
    verdict.require(
        max_threads <= MAX_CONCURRENT_SENDS + MAX_EXTRA_THREADS,
        f"{max_threads} threads for {MAX_CONCURRENT_SENDS} concurrent sends",
    )
    return verdict


def _measure_both(
    run: Run, troubled: MeasuredDispatcher, slow_queues: SlowQueues
) -> tuple[list[tuple[float, float]], DeliveryVerdict, int]:
    """Time deliveries on both sides alternately, and count the troubled side's threads."""
    max_threads, pairs = 0, []
    with _measured_dispatcher(run, "calm") as calm:
        for number in range(WARM_UP_DELIVERIES):
            calm.measure_latency(number)
        for number in range(
            WARM_UP_DELIVERIES,
            WARM_UP_DELIVERIES + (SHORT_DELIVERY_COUNT if run.short else LONG_DELIVERY_COUNT),
        ):
            slow_queues.refill()
            pairs.append((calm.measure_latency(number), troubled.measure_latency(number)))
            max_threads = max(max_threads, troubled.count_new_threads())
    healthy = [
        status
        for status in load_expected_statuses(troubled.services)
        if status.order.startswith("/healthy/")
    ]
    return pairs, check_deliveries(healthy, troubled.receiver.callbacks), max_threads


@contextmanager
def _measured_dispatcher(run: Run, name: str) -> Iterator[MeasuredDispatcher]:
    with (
        open_instance(run, name) as instance,
        instance.open_services() as services,
        CallbackReceiver(run.rng(name)) as receiver,
    ):
        account_id, _ = factories.create_account(services, hosts=ALL_HOSTS)
        test, threads = factories.create_test(services), frozenset(threading.enumerate())
        dispatcher = InProcessDispatcher(
            services, max_concurrent_sends=MAX_CONCURRENT_SENDS
        ).start()
        try:
            yield MeasuredDispatcher(services, account_id, test, receiver, threads)
        finally:
            dispatcher.stop()
