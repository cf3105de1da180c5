"""Tests with answers that staff mark, and their marks."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from provider.core.kinds.assessment import Assessment
from provider.core.marking import (
    MarkForm,
    MarkingTask,
    claim,
    find_second_look,
    find_task,
    list_open_tasks,
    save_mark,
)
from provider.services import Services
from tests import factories
from tests.factories import TEST_CONTENT

ANA, BEN, CLEO = "ana@provider.test", "ben@provider.test", "cleo@provider.test"
LETTER = {
    "kind": "long_text",
    "key": "letter",
    "prompt": "Write a *letter*.",
    "points": 10,
}
PLAN = {
    "kind": "long_text",
    "key": "plan",
    "prompt": "Write a plan.",
    "rubric": [
        {"key": "goal", "text": "Names a goal", "points": 4},
        {"key": "steps", "text": "Names the steps", "points": 6},
    ],
}
TEXTS = {"letter": {"answer": "Dear customer,\nwe are sorry."}, "plan": {"answer": "First, look."}}


def create_marked_test(services: Services, *items: Mapping[str, Any], **content: Any) -> str:
    """Return a test with a section of `items`: by default the letter and the plan."""
    section = {
        "key": "texts",
        "title": "Texts",
        "items": [dict(item) for item in items or (LETTER, PLAN)],
    }
    sections = [section, TEST_CONTENT["sections"][0]]
    return factories.create_test(services, "Writing", "writing", sections=sections, **content)


def submit_texts(
    services: Services, *items: Mapping[str, Any], account: str = "Groove Tech", **content: Any
) -> str:
    """Return an order whose texts wait for marks; its other answers are right."""
    account_id, _ = factories.create_account(services, account)
    product_id = create_marked_test(services, *items, **content)
    order_id = factories.place_order(services, account_id, product_id)
    keys = {item["key"] for item in items or (LETTER, PLAN)}
    answers = {key: answer for key, answer in TEXTS.items() if key in keys}
    right = {key: factories.CORRECT_ANSWERS[key] for key in ("sum", "half")}
    factories.finish_test(services, order_id, answers | right)
    return order_id


def task_ids(services: Services, order_id: str) -> dict[str, str]:
    """Return the public ids of the open tasks of an order by the key of their item."""
    with services.db.reading() as session:
        tasks: Sequence[MarkingTask] = list_open_tasks(session, Assessment.find(session, order_id))
        return {task.unit: task.public_id for task in tasks}


def mark(services: Services, task_id: str, marker: str, points: object, comment: str = "") -> str:
    """Save a mark; with a rubric `points` are those of each row. Return the task's new state."""
    rows = (
        {key: Decimal(str(number)) for key, number in points.items()}
        if isinstance(points, dict)
        else {}
    )
    number = None if rows else Decimal(str(points))
    with services.db.writing() as session:
        task = find_task(session, task_id, lock=True)
        form = MarkForm(number, rows, comment)
        save_mark(session, services.secret_box, task, form, marker, services.now())
        return task.state


def take(services: Services, task_id: str, marker: str) -> None:
    with services.db.writing() as session:
        claim(find_task(session, task_id, lock=True), marker, services.now())


def ask_second_look(services: Services, points: object = 4) -> tuple[str, str]:
    """Return an order whose candidate asks for a second look, and the page to answer it."""
    order_id = submit_texts(services, LETTER, second_look=True)
    mark(services, task_ids(services, order_id)["letter"], ANA, points)
    with services.db.writing() as session:
        order = Assessment.find(session, order_id, lock=True)
        order.ask_second_look(session, "The second page was not read", services.now())
        session.flush()
        task = find_second_look(session, order)
        assert task
        return order_id, f"/console/marking/{task.public_id}/second-look"
