"""The steps of a scripted candidate of a sandbox, and of the staff who mark the answers."""

from sqlalchemy.orm import Session

from provider.core.kinds.assessment.items import Item
from provider.core.kinds.assessment.models import Assessment
from provider.core.kinds.base import ScriptedStep
from provider.core.marking import MarkForm, list_open_tasks, save_mark
from provider.core.orders.states import MARKING, STARTED

ACTOR = "system"


def play_step(session: Session, test: Assessment, step: ScriptedStep) -> None:
    if test.progress == MARKING:
        _mark(session, test, step)
        return
    if test.progress != STARTED:
        test.start(session, step.now)
        return
    for number, item in enumerate(test.content.items, 1):
        if test.part_index_of(number) > test.part.index:
            test.finish_part(session, test.part.index, step.now)
            test.go_on(session, step.now)  # a scripted candidate takes no break
        test.open_part(session, test.part.index, step.now)
        test.save(item.key, _choose_form(item, step.is_good), step.now)
        test.move_forward(session, number, step.now)
    test.submit(session, step.secret_box, step.now)


def _choose_form(item: Item, is_good: bool) -> dict[str, list[str]]:
    """Return the form with an answer that earns the most points, or the fewest.

    A question that takes a file stays without an answer.
    """
    choose = max if is_good else min
    form: dict[str, list[str]] = {}
    for name, value in item.form_fields(choose(item.trial_answers(), key=item.score, default=None)):
        form.setdefault(name, []).append(value)
    return form


def _mark(session: Session, test: Assessment, step: ScriptedStep) -> None:
    """Give every answer all its points, or none."""
    for task in list_open_tasks(session, test):
        unit = test.marking_unit(task.unit)
        share = 1 if step.is_good else 0
        rows = {row.key: row.points * share for row in unit.rubric}
        form = MarkForm(unit.max_points * share, rows)
        for number in range(task.markers):
            save_mark(session, step.secret_box, task, form, f"{ACTOR} {number + 1}", step.now)
