"""The statuses that an ATS receives over the life of an order: all documented ones, no others."""

from collections.abc import Callable
from datetime import timedelta
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
# Per kind: the path of the endpoint, the field of the product id, the field of the order id.
ENDPOINTS = {
    "assessment": ("/assessments", "test_id", "assessment_id"),
    "interview": ("/interviews", "interview_template_id", "interview_id"),
    "check": ("/checks", "package_id", "background_check_id"),
}
QUESTIONS = [{"key": "why", "text": "Why?"}]


def start(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        assert isinstance(order, TimedOrder)
        order.start(session, services.now())


def answer(services: Services, public_id: str) -> None:
    """Record and submit an interview. The ATS receives no status of this."""
    start(services, public_id)
    interview_factories.record_answer(services, public_id, "why")
    interview_factories.submit_interview(services, public_id)


def rate_and_complete(services: Services, public_id: str) -> None:
    interview_factories.rate_answers(services, public_id, 4)
    interview_factories.complete_interview(services, public_id)


def complete_check(services: Services, public_id: str) -> None:
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)


def mark_opened(services: Services, public_id: str) -> None:
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


# Each step, and the status that the ATS receives after it.
OrderScript = list[tuple[Step, str | None]]

COMPLETE_SCRIPTS: dict[str, OrderScript] = {
    "assessment": [(factories.finish_test, "completed")],
    "interview": [(answer, None), (rate_and_complete, "completed")],
    "check": [(check_factories.give_consent, "consented"), (complete_check, "completed")],
}
CANCEL_SCRIPTS: dict[str, OrderScript] = {
    "assessment": [(start, None), (cancel, "expired")],
    "interview": [(answer, None), (cancel, "expired")],
    "check": [(check_factories.give_consent, "consented"), (cancel, "expired")],
}


def order_scripts(kind: str) -> list[OrderScript]:
    """Return a script for every path through the statuses of a kind."""
    complete = COMPLETE_SCRIPTS[kind]
    return [
        [(mark_opened, None), *complete],
        [*complete, (reopen, "pending"), *complete],
        [(mark_opened, None), (decline, "rejected")],
        [(expire, "expired"), (reopen, "pending"), *complete],
        [(cancel, "expired")],
        CANCEL_SCRIPTS[kind],
    ]


def create_product(services: Services, kind: str) -> str:
    product_factories: dict[str, Callable[[], str]] = {
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
    return product_factories[kind]()


def is_settled(services: Services, public_id: str) -> bool:
    with services.db.reading() as session:
        return all(message.state != WAITING for message in outbox.history(session, public_id))


@pytest.mark.parametrize("kind", ENDPOINTS)
def test_statuses_are_delivered_once_in_order_and_equal_the_poll(
    live_server: LiveServer, ats: FakeAts, kind: str
) -> None:
    path, product_id_key, order_id_key = ENDPOINTS[kind]
    services = live_server.services
    workable = Workable(live_server.url, factories.create_account(services)[1])
    body: dict[str, Any] = {product_id_key: create_product(services, kind), "candidate": LAKITA}
    expected_count = 0
    for number, script in enumerate(order_scripts(kind)):
        callback_path = f"{path}/{number}"
        response = workable.post(path, body | {"callback_url": ats.url + callback_path})
        public_id, status = response.json()[order_id_key], "pending"
        assert workable.get(f"{path}/{public_id}").json() == {"status": status}
        for step, new_status in script:
            step(services, public_id)
            live_server.clock.advance(timedelta(seconds=1))
            status = new_status or status
            assert workable.get(f"{path}/{public_id}").json()["status"] == status
            wait_for(partial(is_settled, services, public_id))
        callbacks = [
            (request.method, request.json["status"])
            for request in ats.received
            if request.path == callback_path
        ]
        expected_callbacks = [("PUT", new_status) for _, new_status in script if new_status]
        assert callbacks == expected_callbacks
        expected_count += len(expected_callbacks)
    assert len(ats.received) == expected_count
