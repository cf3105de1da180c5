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

from provider.courier import EmbeddedCourier
from provider.courier.exchange import DEADLINE
from provider.house import House
from provider.orders import Order
from tests import cast
from tests.soak.actor import STAFF
from tests.soak.fleet import instance
from tests.soak.history import Judgement, judge
from tests.soak.ledger import written
from tests.soak.proof import Run, Verdict
from tests.soak.receiver import Dead, Receiver, Slow

WORKERS = 16
DEAD = 100  # orders, each to a host of its own: half of them never answer, half reset
SLOW = 4  # hosts that take all, but late, and for each of which there are many orders
LATE = 1.5  # seconds until they have
QUEUED, QUEUED_SHORT = 300, 60  # orders for each of them
KNOWN = 24  # of their answers, after which they would have every hand, if they could
SPARE = 10  # threads beside the workers
FACTOR = 2.0  # by which the healthy may be slower
NOTHING = 0.02  # seconds: a delay that nobody can tell from the machine's own
SLOWEST = DEADLINE / 2  # seconds: who waited for a dead host's end waited for longer
WARM = 5  # deliveries that are not counted: connections are made, statements put together
LONG, SHORT = 600, 100  # deliveries that are timed on each side
RECEIVERS = "process_request"  # in the name of a thread that is a receiver's own
HOST, SILENT, RESETTING, LATELY = "127.0.0.1", "127.0.1.{}", "127.0.2.{}", "127.0.3.{}"
OTHERS = (SILENT, RESETTING, LATELY)
HOSTS = [HOST, *(host.format(number) for host in OTHERS for number in range(1, 51))]


@dataclass(frozen=True)
class Side:
    """A house with its courier at work, an account, and the receiver of the healthy orders."""

    house: House
    account: int
    test: str
    receiver: Receiver
    known: frozenset[threading.Thread]  # before the courier began

    def threads(self) -> int:
        """Return how many threads there are that were not before, receivers' apart."""
        new = set(threading.enumerate()) - self.known
        return sum(RECEIVERS not in thread.name for thread in new)

    def cancel(self, url: str) -> float:
        """Place an order whose news goes to an address, cancel it, return the moment of that."""
        order = cast.order(self.house, self.account, self.test, callback_url=url)
        with self.house.db.writing() as session:
            Order.find(session, order).cancel(session, STAFF, "Filled", self.house.now())
        return time.monotonic()

    def latency(self, number: int) -> float:
        """Cancel a healthy order and return the seconds from the commit to the arrival."""
        known = self.receiver.taken
        began = self.cancel(f"{self.receiver.url}/healthy/{number}")
        assert self.receiver.wait_until(lambda it: it.taken > known, 60), "it never arrived"
        return max(0.0, self.receiver.arrived[-1].at - began)


def isolation(run: Run) -> Verdict:
    """Compare the latencies of healthy orders with and without such hosts, and count threads."""
    with (
        _side(run, "troubled") as troubled,
        Dead(resets=False) as silent,  # within, so that they hang up before the courier stops
        Dead(resets=True) as resetting,
        Slow(LATE) as late,
    ):
        for number in range(WARM):
            troubled.latency(number)
        each = QUEUED_SHORT if run.short else QUEUED
        for queued in range(each):
            for number in range(1, SLOW + 1):
                troubled.cancel(f"http://{LATELY.format(number)}:{late.port}/late/{queued}")
        late.wait_for(KNOWN, timeout=60)
        for number in range(1, DEAD // 2 + 1):
            for dead, host in ((silent, SILENT), (resetting, RESETTING)):
                troubled.cancel(f"http://{host.format(number)}:{dead.port}/dead")
        pairs, judgement, most = _side_by_side(run, troubled)
        waiting = SLOW * each - len(late.received)
    verdict = Verdict("")
    verdict.hold(judgement)
    calm, slowed = (_p95(side) for side in zip(*pairs, strict=True))
    slowest = max(slowed for _, slowed in pairs)
    verdict.figures = (
        f"{len(pairs)} deliveries beside {DEAD} dead hosts and {SLOW} slow ones, "
        f"p95 {slowed * 1000:.1f} ms, without {calm * 1000:.1f} ms, "
        f"factor {slowed / calm:.2f}, slowest {slowest:.2f} s, "
        f"{most} threads, {waiting} late ones still to go"
    )
    verdict.claim(waiting > 0, "the slow hosts had nothing left to do: queue more for them")
    verdict.claim(slowest < SLOWEST, f"one of the healthy waited {slowest:.1f} s")
    verdict.claim(
        slowed <= max(FACTOR * calm, calm + NOTHING), "the dead or the slow delay the healthy"
    )
    verdict.claim(most <= WORKERS + SPARE, f"{most} threads for {WORKERS} workers")
    return verdict


def _side_by_side(run: Run, troubled: Side) -> tuple[list[tuple[float, float]], Judgement, int]:
    """Time deliveries on both sides, in turn; count the troubled side's threads meanwhile."""
    most, pairs = 0, []
    with _side(run, "calm") as calm:
        for number in range(WARM):
            calm.latency(number)
        for number in range(WARM, WARM + (SHORT if run.short else LONG)):
            pairs.append((calm.latency(number), troubled.latency(number)))
            most = max(most, troubled.threads())
    healthy = [each for each in written(troubled.house) if each.order.startswith("/healthy/")]
    return pairs, judge(healthy, troubled.receiver.arrived), most


@contextmanager
def _side(run: Run, name: str) -> Iterator[Side]:
    with (
        instance(run, name) as ground,
        ground.house() as house,
        Receiver(run.luck(name)) as receiver,
    ):
        account, _ = cast.account(house, hosts=HOSTS)
        test, known = cast.test(house), frozenset(threading.enumerate())
        courier = EmbeddedCourier(house, hands=WORKERS).start()
        try:
            yield Side(house, account, test, receiver, known)
        finally:
            courier.stop()


def _p95(seconds: tuple[float, ...]) -> float:
    return quantiles(seconds, n=20)[-1]
