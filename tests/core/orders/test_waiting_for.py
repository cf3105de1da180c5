"""Whom an order waits for: written with every change of status and progress."""

import ast
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

import provider
from provider.core.kinds import KINDS, waited_for_values
from provider.core.kinds.assessment import Assessment
from provider.core.kinds.check import Check
from provider.core.kinds.interview import Interview
from provider.core.marking import MarkForm, list_open_tasks, save_mark
from provider.core.orders import FINAL_STATUSES, WAITING_FOR, Order, TimedOrder, progress_state
from provider.core.orders.states import PROGRESS_STATES
from provider.errors import Conflict, Invalid, NotFound
from provider.services import Services
from provider.storage.media import StoredFile
from tests import check_factories, factories

SAM = "sam@provider.test"
# The errors of a forbidden action: every action is tried in every state.
REFUSALS = (Conflict, Invalid, NotFound)

Action = Callable[[Services, Session, Order], None]
State = tuple[str, str, str]  # status, progress, waiting_for


def expected_waiting_for(kind: str, status: str, progress: str) -> str:
    if status not in ("pending", "consented"):
        return "nobody"
    if progress in ("invited", "opened", "started", "asked"):
        return "candidate"
    if progress == "outside":
        return "vendor"
    assert (kind, progress) != ("assessment", "submitted"), "a marked assessment is completed"
    return "staff"


def open_invitation(services: Services, session: Session, order: Order) -> None:
    order.mark_opened(session, services.now())


def decline(services: Services, session: Session, order: Order) -> None:
    order.decline(session, "Another job", services.now())


def expire(services: Services, session: Session, order: Order) -> None:
    order.expire(session, services.now())


def cancel(services: Services, session: Session, order: Order) -> None:
    order.cancel(session, SAM, "The job is filled", services.now())


def reopen(services: Services, session: Session, order: Order) -> None:
    order.reopen(session, services.secret_box, SAM, "Once more", services.now())


def start(services: Services, session: Session, order: Order) -> None:
    assert isinstance(order, TimedOrder)
    order.start(session, services.now())


def close(services: Services, session: Session, order: Order) -> None:
    """Close an attempt, as the scheduled work does for a started one only."""
    assert isinstance(order, TimedOrder)
    if (order.status, order.progress) == ("pending", "started"):
        order.close_at_deadline(session, services.secret_box, services.now())


def write_text(services: Services, session: Session, order: Order) -> None:
    assert isinstance(order, Assessment)
    order.save("letter", {"answer": "Dear customer"}, services.now())


def mark_text(services: Services, session: Session, order: Order) -> None:
    tasks = list_open_tasks(session, order) if order.progress == "marking" else []
    for task in tasks:
        form = MarkForm(Decimal(1))
        save_mark(session, services.secret_box, task, form, SAM, services.now())


def submit_assessment(services: Services, session: Session, order: Order) -> None:
    assert isinstance(order, Assessment)
    order.submit(session, services.secret_box, services.now())


def record(services: Services, session: Session, order: Order) -> None:
    assert isinstance(order, Interview)
    number = len(order.recordings)
    file = StoredFile(1, f"{number:064}")
    public_id = f"rec-{order.id}-{number}"
    order.add_recording(session, "why", public_id, "video/webm", file, services.now())


def submit_interview(services: Services, session: Session, order: Order) -> None:
    assert isinstance(order, Interview)
    order.submit(session, services.now())


def rate_and_conclude(services: Services, session: Session, order: Order) -> None:
    assert isinstance(order, Interview)
    order.rate("why", 3, "", SAM, services.now())
    order.conclude(session, services.secret_box, "", SAM, services.now())


def consent(services: Services, session: Session, order: Order) -> None:
    assert isinstance(order, Check)
    order.give_consent(
        session,
        services.secret_box,
        "Lakita",
        check_factories.FORM_VALUES,
        ip_address="192.0.2.7",
        user_agent="A browser/1.0",
        now=services.now(),
    )


def conclude_check(services: Services, session: Session, order: Order) -> None:
    assert isinstance(order, Check)
    order.record_finding(session, services.secret_box, "criminal", "clear", "", SAM, services.now())
    order.conclude(session, services.secret_box, SAM, services.now())


def set_task_state(state: str) -> Action:
    """Return an action that gives the one screening of a check another state."""

    def act(_services: Services, session: Session, order: Order) -> None:
        assert isinstance(order, Check)
        order.find_task("criminal").state = state
        order.update_progress(session)

    return act


COMMON_ACTIONS: tuple[Action, ...] = (open_invitation, decline, expire, cancel, reopen)
ACTIONS: dict[str, tuple[Action, ...]] = {
    "assessment": (*COMMON_ACTIONS, start, write_text, close, submit_assessment, mark_text),
    "interview": (*COMMON_ACTIONS, start, close, record, submit_interview, rate_and_conclude),
    "check": (
        *COMMON_ACTIONS,
        consent,
        conclude_check,
        *map(set_task_state, ("in progress", "asked", "submitted")),
    ),
}


def create_marked_test(services: Services) -> str:
    item = {"kind": "long_text", "key": "letter", "prompt": "Write a letter."}
    sections = [{"key": "one", "title": "One", "items": [item]}]
    return factories.create_test(services, sections=sections)


PRODUCTS: dict[str, Callable[[Services], str]] = {
    "assessment": create_marked_test,
    "interview": factories.create_interview,
    "check": factories.create_package,
}


def has_answer(walk: tuple[Action, ...]) -> bool:
    return record in walk or write_text in walk


class RolledBack(Exception):
    """Ends a transaction without a commit."""


def state_of(order: Order) -> State:
    return order.status, order.progress, order.waiting_for


class Walker:
    """Walks through the states of one kind, each walk with an order of its own."""

    def __init__(self, services: Services, kind: str) -> None:
        self.services, self.kind = services, kind
        self.account_id, _ = factories.create_account(services)
        self.product_id = PRODUCTS[kind](services)
        self.order_count = 0

    def walk(self, actions: tuple[Action, ...]) -> str:
        """Return the public id of a new order after these actions."""
        self.order_count += 1
        public_id = factories.place_order(
            self.services,
            self.account_id,
            self.product_id,
            self.kind,
            callback_url=f"https://groove-tech.workable.com/{self.order_count}",
        )
        for action in actions:
            with self.services.db.writing() as session:
                action(self.services, session, Order.find(session, public_id, lock=True))
        return public_id

    def read_state(self, public_id: str) -> State:
        with self.services.db.reading() as session:
            return state_of(Order.find(session, public_id))

    def try_action(self, public_id: str, action: Action) -> State | None:
        """Return the state after an action, which is rolled back; None if it is refused."""
        state = None
        with suppress(RolledBack, *REFUSALS), self.services.db.writing() as session:
            order = Order.find(session, public_id, lock=True)
            action(self.services, session, order)
            session.flush()
            session.expire(order)
            state = state_of(order)
            raise RolledBack
        return state


@pytest.mark.parametrize("kind", KINDS)
def test_waiting_for_agrees_with_the_state_on_every_walk(services: Services, kind: str) -> None:
    """Every action is tried in every state that a shortest walk reaches, once with an answer."""
    walker = Walker(services, kind)
    table = KINDS[kind].order_class.progress_table
    walks: list[tuple[Action, ...]] = [()]
    known_states: set[tuple[State, bool]] = set()
    transitions: set[tuple[str, str]] = set()
    while walks:
        walk = walks.pop(0)
        public_id = walker.walk(walk)
        before = walker.read_state(public_id)
        if (before, has_answer(walk)) in known_states:
            continue
        known_states.add((before, has_answer(walk)))
        assert before[2] == expected_waiting_for(kind, *before[:2]), walk
        for action in ACTIONS[kind]:
            after = walker.try_action(public_id, action)
            if after is None:
                continue
            assert after[2] == expected_waiting_for(kind, *after[:2]), (walk, action)
            if before[0] not in FINAL_STATUSES and before[1] != after[1]:
                transitions.add((before[1], after[1]))
            if (after, has_answer((*walk, action))) not in known_states:
                walks.append((*walk, action))
    # Nothing in the table is unused, and nothing outside the table happens.
    assert transitions == {
        (progress, value) for progress, row in table.items() for value in row.next_values
    }
    statuses = {"pending", *FINAL_STATUSES} | ({"consented"} if kind == "check" else set())
    assert {state[0] for state, _ in known_states} == statuses


@pytest.mark.parametrize("kind", KINDS)
def test_progress_table_is_closed_and_starts_with_invited(kind: str) -> None:
    table = KINDS[kind].order_class.progress_table
    assert next(iter(table)) == "invited"
    assert set(table) <= set(PROGRESS_STATES)
    for row in table.values():
        assert row.next_values <= set(table)
        assert row.waits_for <= set(WAITING_FOR)
        assert row.waits_for


def test_order_that_several_hold_up_waits_for_the_first() -> None:
    assert progress_state("nobody clock staff vendor").first_waited_for == "staff"
    assert progress_state("clock candidate").first_waited_for == "candidate"
    assert progress_state("clock vendor").first_waited_for == "vendor"


def test_waited_for_values_are_those_that_kinds_declare() -> None:
    assert waited_for_values() == {"candidate", "staff", "vendor", "nobody"}


@pytest.fixture
def order_id(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


@pytest.mark.both
def test_progress_outside_the_table_is_refused(services: Services, order_id: str) -> None:
    with pytest.raises(Conflict, match="invited cannot become submitted"):
        change_progress(services, order_id, "submitted")
    with services.db.reading() as session:
        assert Order.find(session, order_id).progress == "invited"


def change_progress(services: Services, public_id: str, progress: str) -> None:
    with services.db.writing() as session:
        Order.find(session, public_id).change_progress(session, progress)


@pytest.mark.both
def test_change_progress_of_stale_order_is_refused(services: Services, order_id: str) -> None:
    with services.db.reading() as session:
        stale_order = Order.find(session, order_id)
        session.expunge_all()
    change_progress(services, order_id, "opened")
    with pytest.raises(Conflict, match="same moment"), services.db.writing() as session:
        stale_order.change_progress(session, "opened")
    with pytest.raises(Conflict, match="same moment"), services.db.writing() as session:
        stale_order.change_status(session, "expired", actor="system", now=services.now())
    assert factories.order_status(services, order_id) == "pending"


STATE_COLUMNS = {"progress", "waiting_for"}


def assigned_state_columns(source: str) -> list[str]:
    """Return the state columns that Python code assigns to an attribute or sets by `values`."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.append(node.attr)
        elif isinstance(node, ast.Call):
            function = ast.unparse(node.func)
            if function.endswith(".values"):
                names += [keyword.arg or "" for keyword in node.keywords]
            elif function == "setattr" and isinstance(node.args[1], ast.Constant):
                names.append(str(node.args[1].value))
    return [name for name in names if name in STATE_COLUMNS]


def test_no_module_assigns_a_state_column() -> None:
    """`write_state` names the columns in a dictionary; migrations write SQL."""
    folder = Path(str(provider.__path__[0]))
    assignments = {
        str(path.relative_to(folder)): columns
        for path in folder.rglob("*.py")
        if (columns := assigned_state_columns(path.read_text("utf-8")))
    }
    assert assignments == {}


@pytest.mark.parametrize(
    "source",
    [
        "order.progress = 'started'",
        "order.progress, order.started_at = 'started', now",
        "update(Order).values(waiting_for='staff')",
        "setattr(order, 'waiting_for', 'staff')",
    ],
)
def test_assignment_of_a_state_column_is_noticed(source: str) -> None:
    assert len(assigned_state_columns(source)) == 1
