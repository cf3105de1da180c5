"""The steps of a scripted candidate of a sandbox: starts the test, answers every item, submits."""

from sqlalchemy.orm import Session

from provider.core.kinds.assessment.items import Item
from provider.core.kinds.assessment.models import Assessment
from provider.core.kinds.base import ScriptedStep
from provider.core.orders.states import STARTED


def play_step(session: Session, test: Assessment, step: ScriptedStep) -> None:
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
    """Return the form with an answer that earns the most points, or the fewest."""
    choose = max if is_good else min
    form: dict[str, list[str]] = {}
    for name, value in item.form_fields(choose(item.trial_answers(), key=item.score)):
        form.setdefault(name, []).append(value)
    return form
