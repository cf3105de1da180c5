"""The position of each question in an interview."""

from dataclasses import dataclass

from provider.core.kinds.interview import Interview, Recording
from provider.core.kinds.interview.questions import Question
from provider.errors import NotFound


@dataclass(frozen=True)
class QuestionPosition:
    """One question with its number, counted from 1, its saved takes, and the takes left."""

    number: int
    total: int
    question: Question
    takes: tuple[Recording, ...]
    takes_left: int

    @property
    def selected_take(self) -> Recording | None:
        """The take that counts as the answer; None before the first take."""
        return next((take for take in self.takes if take.is_selected), None)


def list_question_positions(order: Interview) -> list[QuestionPosition]:
    questions = order.questions
    return [
        QuestionPosition(
            number,
            len(questions),
            question,
            tuple(order.recordings_for(question.key)),
            order.takes_left(question),
        )
        for number, question in enumerate(questions, 1)
    ]


def find_question_position(order: Interview, number: int) -> QuestionPosition:
    """Return the question with this number; raises NotFound."""
    positions = list_question_positions(order)
    if not 1 <= number <= len(positions):
        raise NotFound("There is no such question in this interview")
    return positions[number - 1]
