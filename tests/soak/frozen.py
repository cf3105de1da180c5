"""Frozen: a worker stands still for longer than its leases last, and then goes on."""

import threading
import time
from http.server import BaseHTTPRequestHandler

from provider.courier.courier import HANDS
from provider.outbox import LEASE
from tests import cast
from tests.fake_ats import Received
from tests.soak.actor import STEPS
from tests.soak.fleet import end_what_stands_still, let_time_pass, scaled
from tests.soak.history import judge
from tests.soak.ledger import unsettled, written
from tests.soak.proof import Run, Verdict
from tests.soak.receiver import Answer, Receiver
from tests.soak.server import Instance

SCRIPT = ("decline", "reopen", "decline", "reopen")
LONG, SHORT = 200, 20  # orders
ROUNDS = 5  # of freezing, in the long form
LAST = 900.0  # seconds


class Holding(Receiver):
    """Leaves requests without an answer while it holds, until it lets go of them."""

    holds = False

    def __init__(self, run: Run) -> None:
        super().__init__(run.luck("receiver"))
        self._going_on = threading.Event()

    @property
    def held(self) -> int:
        """How many requests have no answer."""
        return sum(arrival.answered is None for arrival in self.arrived)

    def hold(self) -> None:
        """Answer nobody from now on."""
        self._going_on.clear()
        self.holds = True

    def let_go(self) -> None:
        """Answer those who still wait."""
        self._going_on.set()

    def _answer(self, request: Received) -> Answer:
        return (None, self._much_later) if self.holds else super()._answer(request)

    def _much_later(self, handler: BaseHTTPRequestHandler) -> None:
        self._going_on.wait(LAST)
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


def frozen(run: Run) -> Verdict:
    """What it says too late is not heard, and what others sent meanwhile stays as it is."""
    count, rounds = (SHORT, 1) if run.short else (LONG, ROUNDS)
    verdict = Verdict("")
    with scaled(run, "frozen") as (instance, _), Holding(run) as receiver:
        for number in range(rounds):
            orders = _orders(instance, receiver.url, range(number * count, (number + 1) * count))
            _freeze(run, instance, receiver, orders, verdict)
            run.say(f"{number + 1} of {rounds}: {receiver.taken:,} statuses taken")
        with instance.house() as house:
            kept, waiting = written(house), unsettled(house)
    judgement = judge(kept, receiver.arrived, repeats_allowed=rounds * HANDS)
    verdict.figures = f"{rounds} workers frozen, {judgement.figures}"
    verdict.hold(judgement)
    verdict.claim(len(kept) == rounds * count * len(SCRIPT), f"{len(kept)} statuses were written")
    verdict.claim(not waiting, f"{waiting} messages are not settled as delivered")
    return verdict


def _freeze(
    run: Run, instance: Instance, receiver: Holding, orders: list[str], verdict: Verdict
) -> None:
    """Freeze a worker while it sends the first statuses; another sends them and the next two."""
    before, each = receiver.taken, len(orders)

    def arrived(times: int) -> bool:
        return receiver.wait_until(lambda it: it.taken >= before + times * each, LAST)

    with instance.work() as first, instance.work() as second:
        second.freeze()
        held = receiver.held
        receiver.hold()
        _step(instance, orders, 0)
        verdict.claim(receiver.wait_until(lambda _: receiver.held > held, LAST), "nothing was sent")
        first.freeze()
        receiver.holds = False
        _outlast_leases(run, instance)
        second.thaw()
        verdict.claim(arrived(1), "the other worker did not take over")
        _step(instance, orders, 1)
        verdict.claim(arrived(2), "the second statuses did not arrive")
        first.thaw()
        receiver.let_go()
        for step in (2, 3):
            _step(instance, orders, step)
            verdict.claim(arrived(step + 1), f"{step + 1} statuses did not arrive")
        codes = [first.stop(), second.stop()]
        verdict.claim(codes == [0, 0], f"the workers ended with {codes}")


def _outlast_leases(run: Run, instance: Instance) -> None:
    if run.short:
        end_what_stands_still(instance)
        let_time_pass(instance, "2 minutes")
    else:
        time.sleep(LEASE.total_seconds() + 5)


def _orders(instance: Instance, receiver: str, numbers: range) -> list[str]:
    with instance.house() as house:
        account, _ = cast.account(house, f"Account {numbers.start}")
        test = cast.test(house, key=f"test-{numbers.start}")
        return [
            cast.order(house, account, test, callback_url=f"{receiver}/callbacks/{number}")
            for number in numbers
        ]


def _step(instance: Instance, orders: list[str], step: int) -> None:
    with instance.house() as house:
        for order in orders:
            with house.db.writing() as session:
                for part in STEPS[SCRIPT[step]]:
                    part(house, session, order, house.now())
