"""What an ATS hears of an order over its whole life: exactly what is documented, and no more."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from provider import outbox
from provider.house import House
from provider.orders import Order, Sitting
from provider.outbox import WAITING
from tests import cast, film, screened
from tests.conftest import Served
from tests.fake_ats import FakeAts
from tests.test_story import LAKITA, Workable
from tests.waiting import until

Step = Callable[[House, str], None]
# The contract's words of each kind: where it is ordered, the product's field, the order's field.
WIRE = {
    "assessment": ("/assessments", "test_id", "assessment_id"),
    "interview": ("/interviews", "interview_template_id", "interview_id"),
    "check": ("/checks", "package_id", "background_check_id"),
}
QUESTIONS = [{"key": "why", "text": "Why?"}]


def begin(house: House, public_id: str) -> None:
    with house.db.writing() as session:
        order = Order.find(session, public_id)
        assert isinstance(order, Sitting)
        order.start(session, house.now())


def answer(house: House, public_id: str) -> None:
    """Begin an interview and hand it in: nothing that an ATS would hear of."""
    begin(house, public_id)
    film.take(house, public_id, "why")
    film.send(house, public_id)


def rate(house: House, public_id: str) -> None:
    film.rate(house, public_id, 4)
    film.conclude(house, public_id)


def look_into(house: House, public_id: str) -> None:
    screened.find_out(house, public_id)
    screened.conclude(house, public_id)


def open_(house: House, public_id: str) -> None:
    with house.db.writing() as session:
        Order.find(session, public_id).open(session, house.now())


def decline(house: House, public_id: str) -> None:
    with house.db.writing() as session:
        Order.find(session, public_id).decline(session, "Another job", house.now())


def expire(house: House, public_id: str) -> None:
    with house.db.writing() as session:
        Order.find(session, public_id).expire(session, house.now())


def cancel(house: House, public_id: str) -> None:
    with house.db.writing() as session:
        Order.find(session, public_id).cancel(session, "sam", "The job is filled", house.now())


def reopen(house: House, public_id: str) -> None:
    with house.db.writing() as session:
        order = Order.find(session, public_id)
        order.reopen(session, house.vault, "sam", "The line broke", house.now())


Life = list[tuple[Step, str | None]]  # each step, and the status that the ATS hears after it

DONE: dict[str, Life] = {
    "assessment": [(cast.finish, "completed")],
    "interview": [(answer, None), (rate, "completed")],
    "check": [(screened.consent, "consented"), (look_into, "completed")],
}
CUT_SHORT: dict[str, Life] = {
    "assessment": [(begin, None), (cancel, "expired")],
    "interview": [(answer, None), (cancel, "expired")],
    "check": [(screened.consent, "consented"), (cancel, "expired")],
}


def lives(kind: str) -> list[Life]:
    """Return every way that an order of a kind can go."""
    done = DONE[kind]
    return [
        [(open_, None), *done],
        [*done, (reopen, "pending"), *done],
        [(open_, None), (decline, "rejected")],
        [(expire, "expired"), (reopen, "pending"), *done],
        [(cancel, "expired")],
        CUT_SHORT[kind],
    ]


def product(house: House, kind: str) -> str:
    made: dict[str, Callable[[], str]] = {
        "assessment": lambda: cast.test(house),
        "interview": lambda: cast.product(
            house, "interview", film.TEMPLATE | {"questions": QUESTIONS}, "one", "One"
        ),
        "check": lambda: screened.package(house),
    }
    return made[kind]()


def settled(house: House, public_id: str) -> bool:
    with house.db.reading() as session:
        return all(each.state != WAITING for each in outbox.story(session, public_id))


@pytest.mark.parametrize("kind", DONE)
def test_an_ats_hears_every_status_once_and_in_order_and_reads_the_same_when_it_asks(
    served: Served, ats: FakeAts, kind: str
) -> None:
    path, wanted, given = WIRE[kind]
    workable = Workable(served.url, cast.account(served.house)[1])
    wish: dict[str, Any] = {wanted: product(served.house, kind), "candidate": LAKITA}
    for number, life in enumerate(lives(kind)):
        heard_at = f"{path}/{number}"
        placed = workable.post(path, wish | {"callback_url": ats.url + heard_at}).json()
        public_id, status = placed[given], "pending"
        assert workable.get(f"{path}/{public_id}").json() == {"status": status}
        for step, news in life:
            step(served.house, public_id)
            status = news or status
            assert workable.get(f"{path}/{public_id}").json()["status"] == status
            until(partial(settled, served.house, public_id))
        heard = [(each.method, each.json["status"]) for each in ats.received
                 if each.path == heard_at]  # fmt: skip
        assert heard == [("PUT", news) for _, news in life if news]
    assert len(ats.received) == sum(1 for life in lives(kind) for _, news in life if news)
