"""The steps of a scripted candidate of a sandbox: starts the test, answers every item, submits."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from provider.core.kinds.assessment.items import (
    ANSWER_FIELD,
    Item,
    Likert,
    MultipleChoice,
    Numeric,
    ShortText,
    SingleChoice,
    TrueFalse,
)
from provider.core.kinds.assessment.models import Assessment
from provider.core.kinds.base import ScriptedStep
from provider.core.orders.states import STARTED

OTHER_TEXT = "A scripted answer"
OTHER_NUMBER = 1  # for an item without a solution


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
        _answers(item), key=lambda answer: item.score(item.parse_answer({ANSWER_FIELD: answer}))
    )


def _answers(item: Item) -> Iterator[Any]:
    """Yield answers, of which one has the best and one has the worst score."""
    match item:
        case SingleChoice() | MultipleChoice():
            correct_keys = [option.key for option in item.options if option.correct]
            if isinstance(item, MultipleChoice) and correct_keys:
                yield correct_keys
            yield from (option.key for option in item.options)
        case TrueFalse():
            yield from ("true", "false")
        case Numeric():
            number = item.answer if item.answer is not None else item.minimum or OTHER_NUMBER
            yield from (str(number), str(number + item.tolerance + 1))
        case ShortText():
            yield from (*item.accepted[:1], OTHER_TEXT)
        case Likert():
            yield from (str(position) for position in range(1, len(item.labels) + 1))
