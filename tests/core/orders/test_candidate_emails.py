"""The e-mails that tell a candidate of a status, by the settings of the account."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.orders import SUBSCRIBERS_KEY, Order, StatusChange
from provider.services import Services
from tests import check_factories, factories, interview_factories
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES

pytestmark = pytest.mark.both


def place_order(
    services: Services, kind: str = "assessment", options: dict[str, Any] | None = None
) -> str:
    account_id, _ = factories.create_account(services, options=options or {})
    product = KIND_FACTORIES[kind].create_product(services)
    return factories.place_order(services, account_id, product, kind)


def email_topics(services: Services, public_id: str) -> list[str]:
    """Return the templates of an order's e-mails, without the invitation."""
    with services.db.reading() as session:
        return [
            message.topic
            for message in outbox.history(session, public_id)
            if outbox.QueueName.parse(message.queue).channel == outbox.EMAIL
        ][1:]


def change(services: Services, public_id: str, act: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        if act == "cancel":
            order.cancel(session, "sam", "", services.now())
        elif act == "decline":
            order.decline(session, "", services.now())
        else:
            order.expire(session, services.now())


def fail(session: Session, change: StatusChange) -> None:
    raise ZeroDivisionError


def test_submitted_test_sends_a_receipt(services: Services) -> None:
    order_id = place_order(services)
    factories.finish_test(services, order_id)
    assert email_topics(services, order_id) == ["completion"]


def test_interview_sends_its_receipt_at_the_submission(services: Services) -> None:
    order_id = place_order(services, "interview")
    with services.db.writing() as session:
        Order.find(session, order_id).start(session, services.now())  # type: ignore[attr-defined]
    interview_factories.record_answer(services, order_id, "why")
    assert email_topics(services, order_id) == []
    interview_factories.submit_interview(services, order_id)
    assert email_topics(services, order_id) == ["completion"]
    interview_factories.rate_answers(services, order_id, 4)
    interview_factories.complete_interview(services, order_id)
    assert email_topics(services, order_id) == ["completion"]


def test_check_sends_one_email_for_each_act(services: Services) -> None:
    order_id = check_factories.place_check(services)
    check_factories.give_consent(services, order_id)
    assert email_topics(services, order_id) == ["consent"]
    check_factories.record_findings(services, order_id)
    check_factories.complete_check(services, order_id)
    assert email_topics(services, order_id) == ["consent", "completion"]


@pytest.mark.parametrize(
    ("chosen", "act", "expected"),
    [
        (None, "decline", ["decline"]),
        (None, "expire", []),
        (["expiry"], "expire", ["expiry"]),
        (["expiry"], "decline", []),
        (["completion", "decline", "expiry"], "cancel", []),
        ([], "decline", []),
    ],
)
def test_status_sends_what_the_account_has_chosen(
    services: Services, chosen: list[str] | None, act: str, expected: list[str]
) -> None:
    options = {} if chosen is None else {"candidate_emails": chosen}
    order_id = place_order(services, options=options)
    change(services, order_id, act)
    assert email_topics(services, order_id) == expected


def test_status_that_is_rolled_back_sends_nothing(services: Services) -> None:
    order_id = place_order(services)
    subscribers = services.db.session_info[SUBSCRIBERS_KEY]
    services.db.session_info[SUBSCRIBERS_KEY] = (*subscribers, fail)
    with pytest.raises(ZeroDivisionError):
        change(services, order_id, "decline")
    assert email_topics(services, order_id) == []


def test_order_that_is_declined_twice_sends_two_confirmations(
    services: Services, clock: ManualClock
) -> None:
    order_id = place_order(services)
    change(services, order_id, "decline")
    clock.advance(timedelta(days=1))
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        order.reopen(session, services.secret_box, "sam", "", services.now())
    change(services, order_id, "decline")
    assert email_topics(services, order_id) == ["decline", "invitation", "decline"]
