"""The factories of each kind: a product, and the steps from an order to its result."""

from collections.abc import Callable
from dataclasses import dataclass

from provider.core.orders import Order, TimedOrder
from provider.services import Services
from tests import check_factories, factories, interview_factories


@dataclass(frozen=True)
class KindFactories:
    """`create_product` returns a public id. `complete` completes a placed order."""

    create_product: Callable[[Services], str]
    complete: Callable[[Services, str], None]


def complete_interview(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        assert isinstance(order, TimedOrder)
        order.start(session, services.now())
    interview_factories.record_answer(services, public_id, "why")
    interview_factories.submit_interview(services, public_id)
    interview_factories.rate_answers(services, public_id, 4)
    interview_factories.complete_interview(services, public_id)


def complete_check(services: Services, public_id: str) -> None:
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)


KIND_FACTORIES = {
    "assessment": KindFactories(factories.create_test, factories.finish_test),
    "interview": KindFactories(factories.create_interview, complete_interview),
    "check": KindFactories(check_factories.create_package, complete_check),
}
