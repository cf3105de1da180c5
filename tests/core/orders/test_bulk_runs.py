"""Bulk runs: each order once, also after a crash; what stops a run; undoing; old runs."""

import os
import signal
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from provider.config import Settings
from provider.core.account_limits import limit_to_accounts
from provider.core.audit import Action, AuditEntry
from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order, OrderEvent, StatusChange
from provider.core.orders.actions import ORDER_ACTIONS
from provider.core.orders.bulk_run import DONE, REFUSED, BulkRow, BulkRun, Progress
from provider.core.orders.bulk_runner import (
    DROP_OLD_BULK_RUNS,
    PERFORM_BULK_RUNS,
    UNEXPECTED_PROBLEM,
    perform_next,
)
from provider.core.orders.edit_conflict import seen_digests
from provider.core.scheduled import run_if_due
from provider.core.staff import Staff
from provider.errors import Conflict
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.maintenance.backup_processes import run_in_process

pytestmark = pytest.mark.both

ACTOR, COLLEAGUE = "sam@provider.test", "ana@provider.test"
REASON = {"reason": "The job is filled"}
EXTENSION = {"days": 3, "notify": True}


@pytest.fixture
def order_ids(services: Services) -> list[str]:
    factories.create_staff(services)
    account_id, _ = factories.create_account(services)
    test_id = factories.create_test(services)
    return [
        factories.place_order(
            services, account_id, test_id, callback_url=f"https://a.workable.com/{number}"
        )
        for number in range(5)
    ]


def create_run(
    services: Services, action: str, order_ids: Sequence[str], arguments: dict[str, Any] = REASON
) -> str:
    """Store a run for orders as they are now; return its public id."""
    with services.db.writing() as session:
        orders = [Order.find(session, order_id) for order_id in order_ids]
        digests = seen_digests(session, orders)
        seen = [(order.public_id, digests[order.id]) for order in orders]
        run = BulkRun.create(session, action, arguments, seen, ACTOR, services.now())
        return run.public_id


def perform(services: Services, action: str, order_ids: Sequence[str], **arguments: Any) -> str:
    run_id = create_run(services, action, order_ids, arguments or REASON)
    PERFORM_BULK_RUNS.run(services)
    return run_id


def undo(services: Services, run_id: str, account_ids: Sequence[int] = ()) -> list[tuple[str, str]]:
    """Undo a run, or its orders of some accounts; return the state and problem of each order."""
    with services.db.writing() as session:
        if account_ids:
            limit_to_accounts(session, account_ids)
        run = BulkRun.find(session, run_id, lock=True)
        undo_id = run.create_undo(session, COLLEAGUE, services.now()).public_id
    PERFORM_BULK_RUNS.run(services)
    return outcomes(services, undo_id)


def outcomes(services: Services, run_id: str) -> list[tuple[str, str]]:
    with services.db.reading() as session:
        run = BulkRun.find(session, run_id)
        query = select(BulkRow.state, BulkRow.problem).where(BulkRow.run_id == run.id)
        return [(row.state, row.problem) for row in session.execute(query.order_by(BulkRow.id))]


def read_progress(services: Services, run_id: str) -> Progress:
    with services.db.reading() as session:
        return BulkRun.find(session, run_id).progress(session)


def statuses(services: Services, order_ids: Sequence[str]) -> list[str]:
    return [factories.order_status(services, order_id) for order_id in order_ids]


def event_count(services: Services, event_type: str) -> int:
    with services.db.reading() as session:
        query = select(func.count()).select_from(OrderEvent)
        return session.scalar(query.where(OrderEvent.type == event_type)) or 0


def deadlines(services: Services) -> list[Any]:
    with services.db.reading() as session:
        return list(session.scalars(select(Order.expires_at).order_by(Order.id)))


def add_subscriber(services: Services, subscriber: Any) -> None:
    subscribers = services.db.session_info["status_subscribers"]
    services.db.session_info["status_subscribers"] = (*subscribers, subscriber)


def add_colleague(services: Services) -> None:
    with services.db.writing() as session:
        Staff.create(session, COLLEAGUE, "seven quiet lamps rowing", "operator", services.now())


def perform_until_killed(settings: Settings, orders: int) -> None:
    """Perform a run in a process that is killed within the transaction of its nth order."""
    services, changed = factories.build_services(settings, ManualClock()), []

    def kill(_session: Session, change: StatusChange) -> None:
        changed.append(change.order.public_id)
        if len(changed) == orders:
            os.kill(os.getpid(), signal.SIGKILL)

    add_subscriber(services, kill)
    PERFORM_BULK_RUNS.run(services)


def test_killed_process_leaves_the_rest_to_the_next(
    services: Services, order_ids: list[str]
) -> None:
    run_id = create_run(services, "cancel", order_ids)
    assert run_in_process(perform_until_killed, services.settings, 3) == -signal.SIGKILL
    assert statuses(services, order_ids) == [*["cancelled"] * 2, *["pending"] * 3]
    assert read_progress(services, run_id) == (3, 2, 0)
    PERFORM_BULK_RUNS.run(services)
    assert statuses(services, order_ids) == ["cancelled"] * 5
    assert read_progress(services, run_id) == (0, 5, 0)
    assert event_count(services, "cancelled") == 5


def test_two_processes_change_each_order_once(services: Services, order_ids: list[str]) -> None:
    run_id = create_run(services, "extend", order_ids, EXTENSION)
    start, errors = threading.Barrier(2), []

    def work() -> None:
        start.wait()
        try:
            while perform_next(services):
                pass
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert read_progress(services, run_id) == (0, 5, 0)
    assert event_count(services, "extended") == 5


def test_order_that_fails_unexpectedly_stops_no_other(
    services: Services, order_ids: list[str]
) -> None:
    def fail(_session: Session, change: StatusChange) -> None:
        if change.order.public_id == order_ids[1]:
            raise ValueError("a subscriber's bug")

    add_subscriber(services, fail)
    run_id = perform(services, "cancel", order_ids)
    assert outcomes(services, run_id) == [
        (DONE, ""),
        (REFUSED, UNEXPECTED_PROBLEM),
        *[(DONE, "")] * 3,
    ]
    assert statuses(services, order_ids[:3]) == ["cancelled", "pending", "cancelled"]


def test_actor_who_was_disabled_changes_no_further_order(
    services: Services, order_ids: list[str]
) -> None:
    run_id = create_run(services, "cancel", order_ids)
    assert perform_next(services)
    with services.db.writing() as session:
        session.execute(update(Staff).values(disabled_at=services.now()))
    PERFORM_BULK_RUNS.run(services)
    problem = (REFUSED, f"{ACTOR} may not do this any more")
    assert outcomes(services, run_id) == [(DONE, ""), *[problem] * 4]
    assert statuses(services, order_ids[1:]) == ["pending"] * 4


def test_stopped_run_leaves_the_rest_as_it_was(services: Services, order_ids: list[str]) -> None:
    run_id = create_run(services, "cancel", order_ids)
    assert perform_next(services)
    with services.db.writing() as session:
        assert BulkRun.find(session, run_id).stop(session, COLLEAGUE) == 4
    PERFORM_BULK_RUNS.run(services)
    problem = (REFUSED, f"{COLLEAGUE} stopped this before it was done")
    assert outcomes(services, run_id) == [(DONE, ""), *[problem] * 4]
    assert statuses(services, order_ids[1:]) == ["pending"] * 4


def test_finished_run_forgets_its_reason(services: Services, order_ids: list[str]) -> None:
    run_id = perform(services, "cancel", order_ids)
    with services.db.reading() as session:
        run = BulkRun.find(session, run_id)
        assert (run.arguments, run.finished_at) == ({}, services.now())


def test_run_and_its_orders_are_in_the_audit_log(services: Services, order_ids: list[str]) -> None:
    run_id = perform(services, "cancel", order_ids[:1])
    with services.db.reading() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.action, entry.subject, entry.after) for entry in entries[-2:]] == [
        (Action.ORDERS_CHANGED, f"bulk:{run_id}", {"action": "cancel", "orders": 1}),
        (
            Action.ORDER_CANCELLED,
            f"order:{order_ids[0]}",
            {"status": "cancelled", "bulk": run_id},
        ),
    ]


def test_work_runs_only_while_a_run_is_unfinished(
    services: Services, order_ids: list[str], clock: ManualClock
) -> None:
    assert run_if_due(services, PERFORM_BULK_RUNS)  # the first run makes its row
    clock.advance(timedelta(seconds=3))
    assert not run_if_due(services, PERFORM_BULK_RUNS)
    create_run(services, "cancel", order_ids)
    assert run_if_due(services, PERFORM_BULK_RUNS)
    clock.advance(timedelta(seconds=3))
    assert not run_if_due(services, PERFORM_BULK_RUNS)
    assert statuses(services, order_ids) == ["cancelled"] * 5


# Undoing


def test_undo_of_cancel_reopens_the_orders(services: Services, order_ids: list[str]) -> None:
    add_colleague(services)
    run_id = perform(services, "cancel", order_ids)
    assert undo(services, run_id) == [(DONE, "")] * 5
    assert statuses(services, order_ids) == ["pending"] * 5
    assert event_count(services, "reopened") == 5


def test_undo_of_reopen_cancels_only_what_was_cancelled(
    services: Services, order_ids: list[str]
) -> None:
    add_colleague(services)
    perform(services, "cancel", order_ids[:1])
    factories.finish_test(services, order_ids[1])
    run_id = perform(services, "reopen", order_ids[:2])
    assert undo(services, run_id) == [
        (DONE, ""),
        (REFUSED, "Only the reopening of a cancelled order can be undone"),
    ]
    assert statuses(services, order_ids[:2]) == ["cancelled", "pending"]


def test_undo_of_extend_restores_each_deadline(services: Services, order_ids: list[str]) -> None:
    add_colleague(services)
    before = deadlines(services)
    run_id = perform(services, "extend", order_ids, **EXTENSION)
    assert deadlines(services) == [deadline + timedelta(days=3) for deadline in before]
    assert undo(services, run_id) == [(DONE, "")] * 5
    assert deadlines(services) == before
    assert event_count(services, "extension undone") == 5


def test_undo_of_extend_keeps_a_deadline_that_would_be_over(
    services: Services, order_ids: list[str], clock: ManualClock
) -> None:
    add_colleague(services)
    (before, *_) = deadlines(services)
    run_id = perform(services, "extend", order_ids[:1], **EXTENSION)
    clock.advance(before - clock.now())
    assert undo(services, run_id) == [
        (REFUSED, "The deadline from before is over, so the extension stays")
    ]


def test_undo_of_extra_time_restores_the_earlier_one(
    services: Services, order_ids: list[str]
) -> None:
    add_colleague(services)
    perform(services, "extra-time", order_ids[:1], percent=25)
    with services.db.reading() as session:
        before = Order.find(session, order_ids[0]).extra_time_seconds
    run_id = perform(services, "extra-time", order_ids[:2], percent=100)
    assert undo(services, run_id) == [(DONE, "")] * 2
    with services.db.reading() as session:
        orders = [Order.find(session, order_id) for order_id in order_ids[:2]]
        assert [order.extra_time_seconds for order in orders] == [before, 0]


def test_undo_of_hold_releases_the_orders(services: Services, order_ids: list[str]) -> None:
    add_colleague(services)
    run_id = perform(services, "hold", order_ids[:2], reason="A dispute")
    assert undo(services, run_id) == [(DONE, "")] * 2
    with services.db.reading() as session:
        assert not session.scalars(select(Order).where(Order.hold_reason.is_not(None))).all()
    assert event_count(services, "released") == 2


def test_undo_leaves_an_order_to_which_something_happened(
    services: Services, order_ids: list[str]
) -> None:
    add_colleague(services)
    run_id = perform(services, "extend", order_ids[:3], **EXTENSION)
    with services.db.writing() as session:
        Assessment.find(session, order_ids[0]).start(session, services.now())
        order = Order.find(session, order_ids[1])
        order.hold(session, COLLEAGUE, "A dispute", services.now())
        Order.find(session, order_ids[2]).mark_opened(session, services.now())
    assert undo(services, run_id) == [
        (REFUSED, "Changed meanwhile: Started by the candidate"),
        (REFUSED, f"Changed meanwhile: Put on hold: not erased by {COLLEAGUE}"),
        (DONE, ""),
    ]


def test_run_is_undone_once_and_an_undo_never(services: Services, order_ids: list[str]) -> None:
    add_colleague(services)
    run_id = perform(services, "cancel", order_ids)
    undo(services, run_id)
    with pytest.raises(Conflict, match=f"{COLLEAGUE} has undone this already"):
        undo(services, run_id)
    with services.db.reading() as session:
        (undo_run,) = BulkRun.find(session, run_id).list_undos(session)
    with pytest.raises(Conflict, match="an undoing cannot be"):
        undo(services, undo_run.public_id)


def test_undo_of_a_part_leaves_the_rest_to_others(
    services: Services, order_ids: list[str], clock: ManualClock
) -> None:
    add_colleague(services)
    other_id, _ = factories.create_account(services, "Other")
    test_id = factories.create_test(services, key="other")
    theirs = factories.place_order(services, other_id, test_id)
    run_id = perform(services, "cancel", [*order_ids[:2], theirs])
    assert undo(services, run_id, [other_id]) == [(DONE, "")]
    assert statuses(services, [*order_ids[:2], theirs]) == ["cancelled", "cancelled", "pending"]
    with pytest.raises(Conflict, match=f"{COLLEAGUE} has undone this already"):
        undo(services, run_id, [other_id])
    assert undo(services, run_id) == [(DONE, "")] * 2
    assert statuses(services, [*order_ids[:2], theirs]) == ["pending"] * 3
    assert event_count(services, "reopened") == 3
    with pytest.raises(Conflict, match=f"{COLLEAGUE} has undone this already"):
        undo(services, run_id)


def test_action_without_undo_cannot_be_undone(services: Services, order_ids: list[str]) -> None:
    run_id = perform(services, "revoke-links", order_ids)
    with pytest.raises(Conflict, match="cannot be undone"):
        undo(services, run_id)
    undoable = {name for name, action in ORDER_ACTIONS.items() if action.undo}
    assert undoable == {"cancel", "reopen", "extend", "extra-time", "hold"}


# Old runs


def test_old_runs_are_deleted_after_thirty_days(
    services: Services, order_ids: list[str], clock: ManualClock
) -> None:
    add_colleague(services)
    perform(services, "extend", order_ids[:1], **EXTENSION)
    undone = perform(services, "extend", order_ids[1:2], **EXTENSION)
    clock.advance(timedelta(hours=1))
    undo(services, undone)
    clock.advance(timedelta(days=30) - timedelta(minutes=1))
    DROP_OLD_BULK_RUNS.run(services)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(BulkRun)) == 2
        assert BulkRun.find(session, undone)  # its undoing is not old yet
    clock.advance(timedelta(minutes=2))
    DROP_OLD_BULK_RUNS.run(services)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(BulkRow)) == 0
        assert session.scalar(select(func.count()).select_from(BulkRun)) == 0


def test_undoings_of_a_run_are_deleted_together(
    services: Services, order_ids: list[str], clock: ManualClock
) -> None:
    add_colleague(services)
    other_id, _ = factories.create_account(services, "Other")
    theirs = factories.place_order(services, other_id, factories.create_test(services, key="other"))
    run_id = perform(services, "extend", [order_ids[0], theirs], **EXTENSION)
    undo(services, run_id, [other_id])
    clock.advance(timedelta(days=1))
    undo(services, run_id)
    clock.advance(timedelta(days=30) - timedelta(minutes=1))
    DROP_OLD_BULK_RUNS.run(services)
    with services.db.reading() as session:
        assert len(BulkRun.find(session, run_id).list_undos(session)) == 2
    clock.advance(timedelta(minutes=2))
    DROP_OLD_BULK_RUNS.run(services)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(BulkRun)) == 0
