"""What an ATS hears of an order over its whole life: exactly what is documented, and no more."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from provider import outbox
from provider.core.orders import Order, TimedOrder
from provider.outbox import WAITING
from provider.services import Services
from tests import check_factories, factories, interview_factories
from tests.conftest import LiveServer
from tests.fake_ats import FakeAts
from tests.test_end_to_end import LAKITA, Workable
from tests.wait_for import wait_for

Step = Callable[[Services, str], None]
# The contract's words of each kind: where it is ordered, the product's field, the order's field.
WIRE = {
    "assessment": ("/assessments", "test_id", "assessment_id"),
    "interview": ("/interviews", "interview_template_id", "interview_id"),
    "check": ("/checks", "package_id", "background_check_id"),
}
QUESTIONS = [{"key": "why", "text": "Why?"}]


def begin(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        assert isinstance(order, TimedOrder)
        order.start(session, services.now())


def answer(services: Services, public_id: str) -> None:
    """Begin an interview and hand it in: nothing that an ATS would hear of."""
    begin(services, public_id)
    interview_factories.record_answer(services, public_id, "why")
    interview_factories.submit_interview(services, public_id)


def rate(services: Services, public_id: str) -> None:
    interview_factories.rate_answers(services, public_id, 4)
    interview_factories.complete_interview(services, public_id)


def look_into(services: Services, public_id: str) -> None:
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)


def open_(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, public_id).mark_opened(session, services.now())


def decline(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, public_id).decline(session, "Another job", services.now())


def expire(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, public_id).expire(session, services.now())


def cancel(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, public_id).cancel(session, "sam", "The job is filled", services.now())


def reopen(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.reopen(session, services.secret_box, "sam", "The line broke", services.now())


Life = list[tuple[Step, str | None]]  # each step, and the status that the ATS hears after it

DONE: dict[str, Life] = {
    "assessment": [(factories.finish_test, "completed")],
    "interview": [(answer, None), (rate, "completed")],
    "check": [(check_factories.give_consent, "consented"), (look_into, "completed")],
}
CUT_SHORT: dict[str, Life] = {
    "assessment": [(begin, None), (cancel, "expired")],
    "interview": [(answer, None), (cancel, "expired")],
    "check": [(check_factories.give_consent, "consented"), (cancel, "expired")],
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


def product(services: Services, kind: str) -> str:
    made: dict[str, Callable[[], str]] = {
        "assessment": lambda: factories.create_test(services),
        "interview": lambda: factories.create_product(
            services,
            "interview",
            interview_factories.TEMPLATE_CONTENT | {"questions": QUESTIONS},
            "one",
            "One",
        ),
        "check": lambda: check_factories.create_package(services),
    }
    return made[kind]()


def settled(services: Services, public_id: str) -> bool:
    with services.db.reading() as session:
        return all(each.state != WAITING for each in outbox.history(session, public_id))


@pytest.mark.parametrize("kind", DONE)
def test_an_ats_hears_every_status_once_and_in_order_and_reads_the_same_when_it_asks(
    live_server: LiveServer, ats: FakeAts, kind: str
) -> None:
    path, wanted, given = WIRE[kind]
    workable = Workable(live_server.url, factories.create_account(live_server.services)[1])
    wish: dict[str, Any] = {wanted: product(live_server.services, kind), "candidate": LAKITA}
    for number, life in enumerate(lives(kind)):
        heard_at = f"{path}/{number}"
        placed = workable.post(path, wish | {"callback_url": ats.url + heard_at}).json()
        public_id, status = placed[given], "pending"
        assert workable.get(f"{path}/{public_id}").json() == {"status": status}
        for step, news in life:
            step(live_server.services, public_id)
            status = news or status
            assert workable.get(f"{path}/{public_id}").json()["status"] == status
            wait_for(partial(settled, live_server.services, public_id))
        heard = [
            (each.method, each.json["status"]) for each in ats.received if each.path == heard_at
        ]
        assert heard == [("PUT", news) for _, news in life if news]
    assert len(ats.received) == sum(1 for life in lives(kind) for _, news in life if news)
