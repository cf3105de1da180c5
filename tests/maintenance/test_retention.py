"""Retention: recordings go first, then the candidate; what must stay, stays."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from provider.core import audit
from provider.core.accounts import Account
from provider.core.audit import Action, AuditEntry
from provider.core.orders import PDF, REPORT, ErasedOrder, Link, Order
from provider.maintenance import preview_retention
from provider.maintenance.retention import RETENTION, RetentionPreview
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES
from tests.maintenance.test_erasure import completed_order, deliver_everything

pytestmark = pytest.mark.both

DAY = timedelta(days=1)
ACTOR = "sam@provider.test"


def set_policy(
    services: Services, recordings: timedelta | None = None, candidates: timedelta | None = None
) -> None:
    values = {
        "keep_recordings_seconds": recordings and int(recordings.total_seconds()),
        "keep_candidates_seconds": candidates and int(candidates.total_seconds()),
    }
    with services.db.writing() as session:
        session.execute(update(Account).values(values))


def run(services: Services) -> None:
    """Run the work if it is needed, as a runner does."""
    with services.db.reading() as session:
        assert RETENTION.is_needed
        is_needed = RETENTION.is_needed(session, services.now())
    if is_needed:
        RETENTION.run(services)


def preview(services: Services) -> list[RetentionPreview]:
    with services.db.reading() as session:
        return preview_retention(session, services.now())


def is_erased(services: Services, order_id: str) -> bool:
    with services.db.reading() as session:
        query = select(ErasedOrder.id).where(ErasedOrder.public_id == order_id)
        return session.scalar(query) is not None


def test_recordings_go_first_and_then_the_candidate(
    services: Services, clock: ManualClock, client: FlaskClient
) -> None:
    order_id = completed_order(services, "interview")
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        paths = []
        for purpose, suffix in ((REPORT, ""), (PDF, "/report.pdf")):
            link = Link.find_permanent(session, order, purpose)
            assert link
            paths.append(f"/r/{link.get_token(services.secret_box)}{suffix}")
    set_policy(services, recordings=30 * DAY, candidates=90 * DAY)
    clock.advance(30 * DAY - timedelta(minutes=1))
    run(services)
    assert len(list(services.media.list_files())) == 3
    clock.advance(timedelta(minutes=1))
    assert (preview(services)[0].recordings, preview(services)[0].candidates) == ([order_id], [])
    run(services)
    assert list(services.media.list_files()) == []
    page = client.get(paths[0]).text
    assert "The recording was deleted: the time of its storage is over." in page
    assert "<video" not in page
    assert client.get(paths[1]).status_code == 200
    assert preview(services)[0].recordings == []
    with services.db.reading() as session:
        entry = session.scalars(select(AuditEntry)).one()
    assert (entry.actor, entry.action) == (audit.SYSTEM, Action.ORDER_MEDIA_DELETED)
    clock.advance(60 * DAY)
    run(services)
    assert is_erased(services, order_id)
    assert [client.get(path).status_code for path in paths] == [404, 404]


def test_without_a_policy_nothing_is_deleted(services: Services, clock: ManualClock) -> None:
    order_id = completed_order(services, "interview")
    clock.advance(3000 * DAY)
    run(services)
    assert not is_erased(services, order_id)
    assert preview(services) == []


@pytest.mark.parametrize("obstacle", ["hold", "undelivered", "open"])
def test_what_must_stay_waits_and_goes_afterwards(
    services: Services, clock: ManualClock, obstacle: str
) -> None:
    order_id = completed_order(services, "interview")
    set_policy(services, candidates=DAY)
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        if obstacle == "hold":
            order.hold(session, ACTOR, "A dispute", services.now())
        elif obstacle == "open":
            order.reopen(session, services.secret_box, ACTOR, "Again", services.now())
        else:
            is_callback = Message.queue.contains("/callback/")
            values = {"state": "waiting", "settled_at": None}
            session.execute(update(Message).where(is_callback).values(values))
    clock.advance(2 * DAY)
    run(services)
    assert not is_erased(services, order_id)
    assert preview(services)[0].waiting == ([order_id] if obstacle == "undelivered" else [])
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        if obstacle == "hold":
            order.release(session, ACTOR, "Settled", services.now())
        elif obstacle == "open":
            order.cancel(session, ACTOR, "Enough", services.now() - DAY)
    deliver_everything(services)
    run(services)
    assert is_erased(services, order_id)


def test_policy_of_one_account_concerns_no_other(services: Services, clock: ManualClock) -> None:
    order_id = completed_order(services, "assessment")
    set_policy(services, candidates=DAY)
    other_account, _ = factories.create_account(services, "Northwind Traders")
    with services.db.reading() as session:
        product = Order.find(session, order_id).product.public_id
    other = factories.place_order(services, other_account, product)
    KIND_FACTORIES["assessment"].complete(services, other)
    deliver_everything(services)
    clock.advance(2 * DAY)
    run(services)
    assert (is_erased(services, order_id), is_erased(services, other)) == (True, False)


def test_run_deletes_a_bounded_number_of_orders(
    services: Services, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    monkeypatch.setattr("provider.maintenance.retention.MAX_ORDERS_PER_RUN", 2)
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services)
    for number in range(3):
        url = f"https://groove-tech.workable.com/assessments/{number}"
        order_id = factories.place_order(services, account_id, product, callback_url=url)
        with services.db.writing() as session:
            Order.find(session, order_id).cancel(session, ACTOR, "Enough", services.now())
    deliver_everything(services)
    set_policy(services, candidates=DAY)
    clock.advance(2 * DAY)
    assert len(preview(services)[0].candidates) == 2
    for remaining in (1, 0):
        run(services)
        with services.db.reading() as session:
            assert len(session.scalars(select(Order)).all()) == remaining
