"""Where a candidate is in an interview."""

from dataclasses import dataclass

from provider.errors import NotFound
from provider.kinds.interview import Interview, Recording
from provider.kinds.interview.content import Question


@dataclass(frozen=True)
class Turn:
    """One question with its number, counted from 1, what was recorded, and the takes left."""

    number: int
    of: int
    question: Question
    takes: tuple[Recording, ...]
    left: int

    @property
    def chosen(self) -> Recording | None:
        """The take that stands."""
        return next((take for take in self.takes if take.chosen), None)


def turns(order: Interview) -> list[Turn]:
    """Return every question of an interview in its order."""
    questions = order.content.questions
    return [
        Turn(number, len(questions), each, tuple(order.takes(each.key)), order.takes_left(each))
        for number, each in enumerate(questions, 1)
    ]


def turn_of(order: Interview, number: int) -> Turn:
    """Return the question with this number; NotFound."""
    every = turns(order)
    if not 1 <= number <= len(every):
        raise NotFound("There is no such question in this interview")
    return every[number - 1]
