"""The position of each question in an interview, and the page that follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import url_for

from provider.core.kinds.interview import Interview, Recording
from provider.core.kinds.interview.questions import Question
from provider.errors import NotFound

BLUEPRINT = "candidate.interview"
# The states of a question in the list before the candidate submits.
BLANK, SAVED, PROBLEM = "blank", "saved", "problem"


@dataclass(frozen=True)
class QuestionPosition:
    """One question with its number, counted from 1, its answer, and the takes left.

    `value` is the text, option or file that answers it; see `GivenAnswer`.
    """

    number: int
    total: int
    question: Question
    takes: tuple[Recording, ...]
    takes_left: int
    value: Any = None

    @property
    def selected_take(self) -> Recording | None:
        """The take that counts as the answer; None before the first take."""
        return next((take for take in self.takes if take.is_selected), None)

    @property
    def has_answer(self) -> bool:
        """Whether there is an answer, a broken recording included."""
        return self.value is not None or self.selected_take is not None

    @property
    def state(self) -> str:
        """BLANK, SAVED, or PROBLEM for a broken recording."""
        take = self.selected_take
        if take and take.is_broken:
            return PROBLEM
        return SAVED if self.has_answer else BLANK

    @property
    def is_text_known(self) -> bool:
        """Whether the candidate may read the question in a list.

        One that is recorded is shown only when its time to think begins.
        """
        return self.has_answer or not self.question.is_recorded


def list_question_positions(order: Interview) -> list[QuestionPosition]:
    questions = order.questions
    return [
        QuestionPosition(
            number,
            len(questions),
            question,
            tuple(order.recordings_for(question.key)),
            order.takes_left(question),
            order.given_value(question.key),
        )
        for number, question in enumerate(questions, 1)
    ]


def find_question_position(order: Interview, number: int) -> QuestionPosition:
    """Return the question with this number; raises NotFound."""
    positions = list_question_positions(order)
    if not 1 <= number <= len(positions):
        raise NotFound("There is no such question in this interview")
    return positions[number - 1]


def find_next_position(
    positions: Sequence[QuestionPosition], number: int
) -> QuestionPosition | None:
    """Return the next question without an answer, the earlier ones last; None without any."""
    blank = [
        position for position in positions if not position.has_answer and position.number != number
    ]
    later = [position for position in blank if position.number > number]
    return next(iter(later or blank), None)


def question_url(public_id: str, number: int) -> str:
    return url_for(f"{BLUEPRINT}.question", public_id=public_id, number=number)


def overview_url(public_id: str) -> str:
    return url_for(f"{BLUEPRINT}.overview", public_id=public_id)


def next_url(order: Interview, number: int = 0) -> str:
    """Return the URL of the question that follows `number`, or of the overview."""
    position = find_next_position(list_question_positions(order), number)
    if position is None:
        return overview_url(order.public_id)
    return question_url(order.public_id, position.number)
