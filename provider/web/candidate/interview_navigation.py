"""Where a candidate is in an interview."""

from dataclasses import dataclass

from provider.core.kinds.interview import Interview, Recording
from provider.core.kinds.interview.content import Question
from provider.errors import NotFound


@dataclass(frozen=True)
class QuestionPosition:
    """One question with its number, counted from 1, what was recorded, and the takes left."""

    number: int
    total: int
    question: Question
    takes: tuple[Recording, ...]
    takes_left: int

    @property
    def selected_take(self) -> Recording | None:
        """The take that stands."""
        return next((take for take in self.takes if take.is_selected), None)


def list_question_positions(order: Interview) -> list[QuestionPosition]:
    """Return every question of an interview in its order."""
    questions = order.content.questions
    return [
        QuestionPosition(
            number,
            len(questions),
            each,
            tuple(order.recordings_for(each.key)),
            order.takes_left(each),
        )
        for number, each in enumerate(questions, 1)
    ]


def find_question_position(order: Interview, number: int) -> QuestionPosition:
    """Return the question with this number; NotFound."""
    every = list_question_positions(order)
    if not 1 <= number <= len(every):
        raise NotFound("There is no such question in this interview")
    return every[number - 1]
