"""The steps of a scripted candidate of a sandbox: starts the test, answers every item, submits.

The scripted staff mark the answers that need it.
"""

from decimal import Decimal

from sqlalchemy.orm import Session

from provider.core.kinds.assessment.items import Item
from provider.core.kinds.assessment.marking import record_mark, score_when_marked
from provider.core.kinds.assessment.models import Assessment
from provider.core.kinds.base import ScriptedStep
from provider.core.orders.states import STARTED, SUBMITTED

ACTOR = "system"


def play_step(session: Session, test: Assessment, step: ScriptedStep) -> None:
    if test.progress == SUBMITTED:
        _mark(session, test, step)
        return
    if test.progress != STARTED:
        test.start(session, step.now)
        return
    for item in test.content.items:
        test.save(item.key, _choose_form(item, step.is_good), step.now)
    test.submit(session, step.secret_box, step.now)


def _mark(session: Session, test: Assessment, step: ScriptedStep) -> None:
    for item in test.unmarked_items:
        points = item.points if step.is_good else Decimal(0)
        record_mark(test, item.key, ACTOR, points, step.now, is_final=True)
    score_when_marked(session, test, step.secret_box, ACTOR, step.now)


def _choose_form(item: Item, is_good: bool) -> dict[str, list[str]]:
    """Return the form with an answer that earns the most points, or the fewest."""
    choose = max if is_good else min
    answer = choose(item.trial_answers(), key=lambda answer: item.score(answer) or 0)
    form: dict[str, list[str]] = {}
    for name, value in item.form_fields(answer):
        form.setdefault(name, []).append(value)
    return form
