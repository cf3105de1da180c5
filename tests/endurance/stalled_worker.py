"""A worker stalls for longer than its leases last, and then continues."""

import threading
import time
from http.server import BaseHTTPRequestHandler

from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS
from provider.outbox import DEFAULT_LEASE
from tests import factories
from tests.endurance.actors import STEPS
from tests.endurance.cluster import (
    open_postgres_instance,
    simulate_elapsed_time,
    terminate_open_transactions,
)
from tests.endurance.expected_statuses import count_undelivered, load_expected_statuses
from tests.endurance.receiver import CallbackReceiver, PlannedResponse
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.endurance.verdict import check_deliveries
from tests.fake_ats import ReceivedRequest

SCRIPT = ("decline", "reopen", "decline", "reopen")
LONG_ORDER_COUNT, SHORT_ORDER_COUNT = 200, 20
LONG_ROUND_COUNT = 5
FINISH_TIMEOUT_SECONDS = 900.0


class BlockingReceiver(CallbackReceiver):
    """Leaves requests unanswered while it blocks, until `unblock`."""

    is_blocking = False

    def __init__(self, run: Run) -> None:
        super().__init__(run.rng("receiver"))
        self._unblocked = threading.Event()

    @property
    def blocked_count(self) -> int:
        """The number of requests that arrived while blocking."""
        return sum(callback.status_code is None for callback in self.callbacks)

    def block(self) -> None:
        """Answer no request that arrives from now on."""
        self._unblocked.clear()
        self.is_blocking = True

    def unblock(self) -> None:
        """Answer all blocked requests."""
        self._unblocked.set()

    def _plan_response(self, request: ReceivedRequest) -> PlannedResponse:
        return (
            (None, self._respond_when_unblocked)
            if self.is_blocking
            else super()._plan_response(request)
        )

    def _respond_when_unblocked(self, handler: BaseHTTPRequestHandler) -> None:
        self._unblocked.wait(FINISH_TIMEOUT_SECONDS)
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


def stalled_worker(run: Run) -> ScenarioVerdict:
    """Late results of the stalled worker are ignored; results of other workers remain."""
    order_count, rounds = (
        (SHORT_ORDER_COUNT, 1) if run.short else (LONG_ORDER_COUNT, LONG_ROUND_COUNT)
    )
    verdict = ScenarioVerdict("")
    with (
        open_postgres_instance(run, "stalled-worker") as (instance, _),
        BlockingReceiver(run) as receiver,
    ):
        for number in range(rounds):
            orders = _place_orders(
                instance, receiver.url, range(number * order_count, (number + 1) * order_count)
            )
            _stall_worker(run, instance, receiver, orders, verdict)
            run.print_progress(
                f"{number + 1} of {rounds}: {receiver.accepted_count:,} statuses accepted"
            )
        with instance.open_services() as services:
            expected, undelivered = load_expected_statuses(services), count_undelivered(services)
    deliveries = check_deliveries(
        expected, receiver.callbacks, max_repeats=rounds * MAX_CONCURRENT_SENDS
    )
    verdict.figures = f"{rounds} workers stalled, {deliveries.figures}"
    verdict.add_problems_of(deliveries)
    verdict.require(
        len(expected) == rounds * order_count * len(SCRIPT),
        f"{len(expected)} statuses were written",
    )
    verdict.require(not undelivered, f"{undelivered} messages are not delivered")
    return verdict


def _stall_worker(
    run: Run,
    instance: Instance,
    receiver: BlockingReceiver,
    orders: list[str],
    verdict: ScenarioVerdict,
) -> None:
    """Suspend a worker while it sends the first statuses; another worker sends them again."""
    accepted_before = receiver.accepted_count

    def arrived(steps: int) -> bool:
        expected = accepted_before + steps * len(orders)
        return receiver.wait_until(
            lambda receiver: receiver.accepted_count >= expected, FINISH_TIMEOUT_SECONDS
        )

    with instance.start_worker() as first, instance.start_worker() as second:
        second.suspend()
        blocked_before = receiver.blocked_count
        receiver.block()
        _perform_step(instance, orders, 0)
        verdict.require(
            receiver.wait_until(
                lambda _: receiver.blocked_count > blocked_before, FINISH_TIMEOUT_SECONDS
            ),
            "nothing was sent",
        )
        first.suspend()
        receiver.is_blocking = False
        _wait_for_lease_expiry(run, instance)
        second.resume()
        verdict.require(arrived(1), "the other worker did not send the statuses")
        _perform_step(instance, orders, 1)
        verdict.require(arrived(2), "the second statuses did not arrive")
        first.resume()
        receiver.unblock()
        for step in (2, 3):
            _perform_step(instance, orders, step)
            verdict.require(arrived(step + 1), f"{step + 1} statuses did not arrive")
        exit_codes = [first.stop(), second.stop()]
        verdict.require(exit_codes == [0, 0], f"the workers ended with {exit_codes}")


def _wait_for_lease_expiry(run: Run, instance: Instance) -> None:
    if run.short:
        terminate_open_transactions(instance)
        simulate_elapsed_time(instance, "2 minutes")
    else:
        time.sleep(DEFAULT_LEASE.total_seconds() + 5)


def _place_orders(instance: Instance, receiver_url: str, numbers: range) -> list[str]:
    with instance.open_services() as services:
        account_id, _ = factories.create_account(services, f"Account {numbers.start}")
        test = factories.create_test(services, key=f"test-{numbers.start}")
        return [
            factories.place_order(
                services, account_id, test, callback_url=f"{receiver_url}/callbacks/{number}"
            )
            for number in numbers
        ]


def _perform_step(instance: Instance, orders: list[str], step: int) -> None:
    with instance.open_services() as services:
        for order in orders:
            with services.db.writing() as session:
                for act in STEPS[SCRIPT[step]]:
                    act(services, session, order, services.now())
