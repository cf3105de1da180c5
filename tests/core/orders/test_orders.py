"""Orders: statuses, events, deadlines and simultaneous changes."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.core.kinds import KINDS
from provider.core.kinds.assessment import Assessment
from provider.core.orders import Link, Order, OrderEvent, OrderSession, expire_overdue_orders
from provider.errors import Conflict, NotFound
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

pytestmark = pytest.mark.both


@pytest.fixture
def order_id(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


def change_order(
    services: Services, public_id: str, change: Callable[[Session, Order], object]
) -> None:
    with services.db.writing() as session:
        change(session, Order.find(session, public_id))


def change_status(services: Services, public_id: str, status: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.change_status(session, status, actor="x", now=services.now())


def decline(services: Services, public_id: str, reason: str = "") -> None:
    with services.db.writing() as session:
        Order.find(session, public_id).decline(session, reason, services.now())


def reopen(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.reopen(session, services.secret_box, "sam", "was ill", services.now())


def enqueued_statuses(services: Services) -> list[str]:
    with services.db.reading() as session:
        messages = session.scalars(
            select(Message).where(Message.topic == "status").order_by(Message.id)
        ).all()
        return [message.get_payload(services.secret_box)["status"] for message in messages]


def events(services: Services) -> list[tuple[str, str]]:
    with services.db.reading() as session:
        rows = session.scalars(select(OrderEvent).order_by(OrderEvent.id))
        return [(event.type, event.actor) for event in rows]


def test_place_enqueues_the_invitation_and_no_callback(services: Services, order_id: str) -> None:
    assert events(services) == [("placed", "ats")]
    assert enqueued_statuses(services) == []
    with services.db.reading() as session:
        message = session.scalars(select(Message)).one()
        assert (message.topic, message.queue) == ("invitation", "1/email")
        assert session.scalar(select(func.count(Link.id))) == 1


def test_place_stores_no_token_in_clear_text(services: Services, order_id: str) -> None:
    token = factories.invitation_url(services, order_id).rsplit("/", 1)[1]
    files = services.settings.instance.glob("provider.db*")
    data = b"".join(path.read_bytes() for path in files)
    assert token.encode() not in data


def test_change_status_of_stale_order_is_refused(services: Services, order_id: str) -> None:
    """Two processes may both read an order before either of them writes."""
    with services.db.reading() as session:
        stale_order = Assessment.find(session, order_id)
        assert stale_order.account
        assert stale_order.candidate
        session.expunge_all()
    change_order(services, order_id, lambda session, order: order.expire(session, services.now()))
    with (
        pytest.raises(Conflict, match="same moment"),
        services.db.writing() as session,
    ):
        stale_order.change_status(session, "cancelled", actor="sam", now=services.now())
    assert factories.order_status(services, order_id) == "expired"
    assert enqueued_statuses(services) == ["expired"]
    assert [event_type for event_type, _ in events(services)] == ["placed", "expired"]


def test_change_status_from_many_threads_succeeds_once(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())
    barrier, outcomes = threading.Barrier(12), []

    def run(change: Callable[[Session, Assessment], None]) -> None:
        barrier.wait()
        try:
            with services.db.writing() as session:
                change(session, Assessment.find(session, order_id))
            outcomes.append("succeeded")
        except Conflict:
            outcomes.append("refused")

    def submit(session: Session, order: Assessment) -> None:
        order.submit(session, services.secret_box, services.now())

    def cancel(session: Session, order: Assessment) -> None:
        order.cancel(session, "sam", "a mistake", services.now())

    threads = [threading.Thread(target=run, args=(change,)) for change in (submit, cancel) * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 11 + ["succeeded"]
    assert len(enqueued_statuses(services)) == 1


@pytest.mark.parametrize("status", ["completed", "declined", "expired", "cancelled"])
def test_final_status_changes_only_by_reopen(
    services: Services, order_id: str, status: str
) -> None:
    change_status(services, order_id, status)
    for next_status in ("completed", "declined", "expired", "cancelled", "consented"):
        with pytest.raises(Conflict, match="cannot become"):
            change_status(services, order_id, next_status)
    reopen(services, order_id)
    assert factories.order_status(services, order_id) == "pending"
    assert enqueued_statuses(services) == [status, "pending"]


def test_reopen_invites_again_with_a_new_link_and_full_time(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    url = factories.invitation_url(services, order_id)
    now = clock.advance(timedelta(days=8))
    with services.db.writing() as session:
        assert expire_overdue_orders(session, now) == 1
    reopen(services, order_id)
    assert factories.invitation_url(services, order_id) != url
    with services.db.reading() as session:
        assert Order.find(session, order_id).expires_at == now + timedelta(days=7)
        invitations = session.scalar(select(func.count()).where(Message.topic == "invitation"))
        assert invitations == 2


def test_reopen_ends_the_sessions_and_the_old_invitation(services: Services, order_id: str) -> None:
    token = factories.invitation_url(services, order_id).rpartition("/")[2]
    with services.db.writing() as session:
        order, cookie = Order.find(session, order_id), OrderSession.derive_cookie(token)
        OrderSession.create_or_renew(session, order, cookie, services.now())
    decline(services, order_id)
    reopen(services, order_id)
    with services.db.reading() as session:
        assert Link.find(session, token, "invite") is None
        assert Link.was_revoked(session, token, "invite")
        assert session.scalars(select(OrderSession)).all() == []


def test_reopen_open_order_is_refused(services: Services, order_id: str) -> None:
    with pytest.raises(Conflict, match="has ended"):
        reopen(services, order_id)


def test_callbacks_are_numbered_by_revision(services: Services, order_id: str) -> None:
    decline(services, order_id, " no time ")
    reopen(services, order_id)
    change_order(
        services, order_id, lambda session, order: order.cancel(session, "sam", "y", services.now())
    )
    with services.db.reading() as session:
        messages = session.scalars(
            select(Message).where(Message.topic == "status").order_by(Message.id)
        ).all()
        assert [
            (message.sequence, message.get_payload(services.secret_box)["status"])
            for message in messages
        ] == [
            (1, "declined"),
            (2, "pending"),
            (3, "cancelled"),
        ]
        declined = session.scalars(select(OrderEvent).where(OrderEvent.type == "declined")).one()
        assert (declined.note, declined.revision) == ("no time", 1)


def test_apply_deadlines_expires_orders_of_the_account(
    services: Services, clock: ManualClock
) -> None:
    account_id, _ = factories.create_account(services, expire_after_seconds=3600)
    product_id = factories.create_test(services)
    for number in range(5):
        url = f"https://a.workable.com/{number}"
        factories.place_order(services, account_id, product_id, callback_url=url)
    now = clock.advance(timedelta(hours=1, seconds=9))
    with services.db.writing() as session:
        assert factories.apply_deadlines(services, session, now) == 0  # something may arrive
    now = clock.advance(timedelta(seconds=1))
    with services.db.writing() as session:
        assert factories.apply_deadlines(services, session, now) == 5
    assert enqueued_statuses(services) == ["expired"] * 5


def test_attempt_started_just_before_expiry_keeps_its_full_time(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    started_at = clock.advance(timedelta(days=7) - timedelta(minutes=1))
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, started_at)
    now = clock.advance(timedelta(minutes=19))
    with services.db.writing() as session:
        assert factories.apply_deadlines(services, session, now) == 0
        Assessment.find(session, order_id).save("sum", {"answer": "b"}, now)
    assert factories.order_status(services, order_id) == "pending"


def test_deadline_scores_the_saved_answers(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        order.start(session, clock.now())
        order.save("sum", {"answer": "b"}, clock.now())
    now = clock.advance(timedelta(minutes=20))
    with services.db.writing() as session, pytest.raises(Conflict, match="time"):
        Assessment.find(session, order_id).save("half", {"answer": "3.5"}, now)
    now = clock.advance(timedelta(hours=5))
    with services.db.writing() as session:
        assert factories.apply_deadlines(services, session, now) == 1
    with services.db.reading() as session:
        result = Assessment.find(session, order_id).result
        assert result
        assert (result.score, result.grade, result.duration) == (25.0, "failed", 1200)
    assert ("completed", "system") in events(services)


def test_attempt_without_time_limit_lasts_at_least_a_day(
    services: Services, clock: ManualClock
) -> None:
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services, time_limit=None)
    order_id = factories.place_order(services, account_id, product_id)
    now = clock.advance(timedelta(days=7) - timedelta(minutes=1))
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        order.start(session, now)
        assert order.attempt_ends_at == now + timedelta(days=1)


def test_submitted_order_never_expires(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    factories.finish_test(services, order_id)
    now = clock.advance(timedelta(days=400))
    with services.db.writing() as session:
        assert factories.apply_deadlines(services, session, now) == 0
    assert factories.order_status(services, order_id) == "completed"


def test_start_twice_keeps_the_first_start(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, clock.now())
    now = clock.advance(timedelta(minutes=5))
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        order.start(session, now)
        assert order.started_at == now - timedelta(minutes=5)


def test_save_changes_and_deletes_answers_until_submit(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        order.start(session, services.now())
        order.save("half", {"answer": "1"}, services.now())
        order.save("half", {"answer": "3.5"}, services.now())
        order.save("sum", {"answer": "a"}, services.now())
        order.save("sum", {}, services.now())
        assert set(order.saved_answers) == {"half"}
        with pytest.raises(NotFound):
            order.save("nothing", {"answer": "1"}, services.now())
        order.submit(session, services.secret_box, services.now())
    with services.db.writing() as session, pytest.raises(Conflict):
        Assessment.find(session, order_id).submit(session, services.secret_box, services.now())


def test_overdue_order_cannot_be_started_or_declined(
    services: Services, order_id: str, clock: ManualClock
) -> None:
    now = clock.advance(timedelta(days=7))
    with services.db.writing() as session, pytest.raises(Conflict, match="no longer open"):
        Assessment.find(session, order_id).start(session, now)
    with pytest.raises(Conflict, match="no longer open"):
        decline(services, order_id)


def test_find_refuses_ids_of_other_kinds(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    product_ids = {
        "assessment": factories.create_test(services),
        "interview": factories.create_interview(services),
        "check": factories.create_package(services),
    }
    order_ids = {
        kind: factories.place_order(
            services, account_id, product_id, kind, callback_url=f"https://a.workable.com/{kind}"
        )
        for kind, product_id in product_ids.items()
    }
    with services.db.reading() as session:
        for kind_name, kind in KINDS.items():
            for other_name, public_id in order_ids.items():
                if kind_name == other_name:
                    assert type(kind.order_class.find(session, public_id)) is kind.order_class
                else:
                    with pytest.raises(NotFound):
                        kind.order_class.find(session, public_id)


@pytest.mark.parametrize("invalid_id", ["", "x" * 23, "a\x00b", "nothing", "é" * 30])
def test_find_invalid_id_is_not_found(services: Services, order_id: str, invalid_id: str) -> None:
    with services.db.reading() as session, pytest.raises(NotFound):
        Order.find(session, invalid_id)
