"""The steps of a scripted candidate of a sandbox: starts the test, answers every item, submits."""

from typing import Any

from sqlalchemy.orm import Session

from provider.core.kinds.assessment.items import ANSWER_FIELD, Item
from provider.core.kinds.assessment.models import Assessment
from provider.core.kinds.base import ScriptedStep
from provider.core.orders.states import STARTED


def play_step(session: Session, test: Assessment, step: ScriptedStep) -> None:
    if test.progress != STARTED:
        test.start(session, step.now)
        return
    for item in test.content.items:
        test.save(item.key, {ANSWER_FIELD: _choose_answer(item, step.is_good)}, step.now)
    test.submit(session, step.secret_box, step.now)


def _choose_answer(item: Item, is_good: bool) -> Any:
    """Return the values of a form that earn the most points, or the fewest."""
    choose = max if is_good else min
    return choose(
        item.trial_answers(),
        key=lambda answer: item.score(item.parse_answer({ANSWER_FIELD: answer})),
    )
