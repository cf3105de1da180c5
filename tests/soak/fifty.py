"""Fifty: the same order at once, fifty times, on two servers side by side; it is one order."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import func, select

from provider.orders import Order
from provider.outbox import Message
from tests import cast
from tests.soak.fleet import scaled
from tests.soak.proof import Run, Verdict
from tests.soak.server import Instance, free_port
from tests.soak.web import Machine, Page

AT_ONCE = 50
LONG, SHORT = 200, 3  # orders


def fifty(run: Run) -> Verdict:
    """Every one of them is answered alike, and there is one order and one letter."""
    orders = SHORT if run.short else LONG
    with scaled(run, "fifty") as (instance, _):
        with instance.house() as house:
            _, token = cast.account(house)
            test = cast.test(house)
        with instance.start() as one, instance.start(free_port()) as other:
            doors = [Machine(server.wait().port, token) for server in (one, other)]
            answers = [_at_once(doors, test, number) for number in range(orders)]
            codes = [one.stop(), other.stop()]
        kept = _kept(instance)
    verdict = Verdict(f"{orders} orders, each {AT_ONCE} times at once on two servers")
    for number, pages in enumerate(answers):
        said = sorted({(page.code, page.text) for page in pages})
        verdict.claim(
            len(said) == 1 and said[0][0] == 201, f"order {number} was answered {said[:3]}"
        )
    verdict.claim(kept == (orders, orders), f"(orders, letters) that are kept: {kept}")
    verdict.claim(codes == [0, 0], f"the servers ended with {codes}")
    return verdict


def _at_once(doors: list[Machine], test: str, number: int) -> list[Page]:
    wish = {
        "test_id": test,
        "callback_url": f"http://127.0.0.1:9/callbacks/{number}",
        "candidate": {"email": "lakita_marrero@gmail.com", "first_name": "Lakita"},
    }
    start = Barrier(AT_ONCE)

    def ask(index: int) -> Page:
        start.wait()
        return doors[index % len(doors)].post("/assessments", wish)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(ask, range(AT_ONCE)))


def _kept(instance: Instance) -> tuple[int, int]:
    with instance.house() as house, house.db.reading() as session:
        orders, letters = (
            session.scalar(select(func.count()).select_from(table)) for table in (Order, Message)
        )
    return orders or 0, letters or 0
