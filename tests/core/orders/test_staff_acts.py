"""What staff do for the candidate of an open order."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order, staff_acts
from provider.errors import Conflict
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

pytestmark = pytest.mark.both

ACTOR = "sam@provider.test"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def order_id(services: Services) -> str:
    account_id, _ = factories.create_account(services, timezone="Europe/Athens")
    return factories.place_order(services, account_id, factories.create_test(services))


def perform(services: Services, order_id: str, act: Callable[[Session, Order], Any]) -> Any:
    with services.db.writing() as session:
        return act(session, Order.find(session, order_id, lock=True))


def resend(services: Services, order_id: str) -> None:
    perform(
        services,
        order_id,
        lambda session, order: staff_acts.resend_invitation(
            session, services.secret_box, order, ACTOR, services.now()
        ),
    )


def last_event(services: Services, order_id: str) -> tuple[str, str, str]:
    with services.db.reading() as session:
        event = Order.find(session, order_id).events[-1]
        return event.type, event.actor, event.note


def email_topics(services: Services, *states: str) -> list[str]:
    with services.db.reading() as session:
        query = select(Message.topic).where(Message.state.in_(states)).order_by(Message.id)
        return list(session.scalars(query))


def test_resend_sends_the_same_link_again(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    factories.deliver_emails(services)
    url = factories.invitation_url(services, order_id)
    clock.advance(MINUTE)
    resend(services, order_id)
    assert email_topics(services, outbox.WAITING) == ["invitation"]
    assert last_event(services, order_id) == ("invitation resent", ACTOR, "")
    factories.deliver_emails(services)
    assert factories.invitation_url(services, order_id) == url
    files = sorted((services.settings.instance / "mail").iterdir())
    assert [url.encode() in file.read_bytes() for file in files] == [True, True]


def test_resend_within_a_minute_is_refused(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    factories.deliver_emails(services)
    clock.advance(MINUTE - timedelta(seconds=1))
    with pytest.raises(Conflict, match="less than a minute ago"):
        resend(services, order_id)
    clock.advance(timedelta(seconds=1))
    resend(services, order_id)


def test_resend_while_an_invitation_waits_is_refused(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    clock.advance(timedelta(hours=1))
    with pytest.raises(Conflict, match="has not been sent yet"):
        resend(services, order_id)
    assert email_topics(services, outbox.WAITING) == ["invitation"]


def start(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())


def cancel(services: Services, order_id: str) -> None:
    perform(
        services,
        order_id,
        lambda session, order: order.cancel(session, ACTOR, "filled", services.now()),
    )


@pytest.mark.parametrize(
    ("prepare", "message"), [(start, "has started"), (cancel, "reopen it instead")]
)
def test_resend_for_an_order_that_is_not_waiting_is_refused(
    services: Services,
    order_id: str,
    clock: ManualClock,
    prepare: Callable[[Services, str], None],
    message: str,
) -> None:
    factories.deliver_emails(services)
    clock.advance(MINUTE)
    prepare(services, order_id)
    with pytest.raises(Conflict, match=message):
        resend(services, order_id)


def test_resend_after_the_deadline_is_refused(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    factories.deliver_emails(services)
    clock.advance(timedelta(days=7))
    with pytest.raises(Conflict, match="time to start is over"):
        resend(services, order_id)
