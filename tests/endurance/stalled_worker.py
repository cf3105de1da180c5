"""Frozen: a worker stands still for longer than its leases last, and then goes on."""

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
    terminate_idle_transactions,
)
from tests.endurance.expected_statuses import count_undelivered, load_expected_statuses
from tests.endurance.receiver import CallbackReceiver, PlannedResponse
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.endurance.verdict import check_deliveries
from tests.fake_ats import ReceivedRequest

SCRIPT = ("decline", "reopen", "decline", "reopen")
LONG_ORDER_COUNT, SHORT_ORDER_COUNT = 200, 20  # orders
LONG_ROUND_COUNT = 5  # of freezing, in the long form
FINISH_TIMEOUT_SECONDS = 900.0  # seconds


class BlockingReceiver(CallbackReceiver):
    """Leaves requests without an answer while it holds, until it lets go of them."""

    is_blocking = False

    def __init__(self, run: Run) -> None:
        super().__init__(run.rng("receiver"))
        self._unblocked = threading.Event()

    @property
    def blocked_count(self) -> int:
        """How many requests have no answer."""
        return sum(arrival.status_code is None for arrival in self.callbacks)

    def block(self) -> None:
        """Answer nobody from now on."""
        self._unblocked.clear()
        self.is_blocking = True

    def unblock(self) -> None:
        """Answer those who still wait."""
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
    """What it says too late is not heard, and what others sent meanwhile stays as it is."""
    count, rounds = (SHORT_ORDER_COUNT, 1) if run.short else (LONG_ORDER_COUNT, LONG_ROUND_COUNT)
    verdict = ScenarioVerdict("")
    with open_postgres_instance(run, "frozen") as (instance, _), BlockingReceiver(run) as receiver:
        for number in range(rounds):
            orders = _place_orders(
                instance, receiver.url, range(number * count, (number + 1) * count)
            )
            _stall_worker(run, instance, receiver, orders, verdict)
            run.print_progress(
                f"{number + 1} of {rounds}: {receiver.accepted_count:,} statuses taken"
            )
        with instance.open_services() as services:
            kept, waiting = load_expected_statuses(services), count_undelivered(services)
    judgement = check_deliveries(
        kept, receiver.callbacks, max_repeats=rounds * MAX_CONCURRENT_SENDS
    )
    verdict.figures = f"{rounds} workers frozen, {judgement.figures}"
    verdict.add_problems_of(judgement)
    verdict.require(len(kept) == rounds * count * len(SCRIPT), f"{len(kept)} statuses were written")
    verdict.require(not waiting, f"{waiting} messages are not settled as delivered")
    return verdict


def _stall_worker(
    run: Run,
    instance: Instance,
    receiver: BlockingReceiver,
    orders: list[str],
    verdict: ScenarioVerdict,
) -> None:
    """Freeze a worker while it sends the first statuses; another sends them and the next two."""
    before, each = receiver.accepted_count, len(orders)

    def arrived(times: int) -> bool:
        return receiver.wait_until(
            lambda it: it.accepted_count >= before + times * each, FINISH_TIMEOUT_SECONDS
        )

    with instance.start_worker() as first, instance.start_worker() as second:
        second.suspend()
        held = receiver.blocked_count
        receiver.block()
        _perform_step(instance, orders, 0)
        verdict.require(
            receiver.wait_until(lambda _: receiver.blocked_count > held, FINISH_TIMEOUT_SECONDS),
            "nothing was sent",
        )
        first.suspend()
        receiver.is_blocking = False
        _wait_for_lease_expiry(run, instance)
        second.resume()
        verdict.require(arrived(1), "the other worker did not take over")
        _perform_step(instance, orders, 1)
        verdict.require(arrived(2), "the second statuses did not arrive")
        first.resume()
        receiver.unblock()
        for step in (2, 3):
            _perform_step(instance, orders, step)
            verdict.require(arrived(step + 1), f"{step + 1} statuses did not arrive")
        codes = [first.stop(), second.stop()]
        verdict.require(codes == [0, 0], f"the workers ended with {codes}")


def _wait_for_lease_expiry(run: Run, instance: Instance) -> None:
    if run.short:
        terminate_idle_transactions(instance)
        simulate_elapsed_time(instance, "2 minutes")
    else:
        time.sleep(DEFAULT_LEASE.total_seconds() + 5)


def _place_orders(instance: Instance, receiver_url: str, numbers: range) -> list[str]:
    with instance.open_services() as services:
        account, _ = factories.create_account(services, f"Account {numbers.start}")
        test = factories.create_test(services, key=f"test-{numbers.start}")
        return [
            factories.place_order(
                services, account, test, callback_url=f"{receiver_url}/callbacks/{number}"
            )
            for number in numbers
        ]


def _perform_step(instance: Instance, orders: list[str], step: int) -> None:
    with instance.open_services() as services:
        for order in orders:
            with services.db.writing() as session:
                for part in STEPS[SCRIPT[step]]:
                    part(services, session, order, services.now())
