"""Where a candidate is in a test, and what a form of theirs says."""

from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from provider.core.kinds.assessment.content import Section, TestContent
from provider.core.kinds.assessment.items import ANSWER_FIELD, Item
from provider.errors import NotFound

SHOWN_FIELD = "shown"  # the form's field with what was saved when the page was made
MAX_SUBMITTED_VALUES, MAX_VALUE_LENGTH = (
    100,
    1000,
)  # what a page gives back of a form that could not be saved


@dataclass(frozen=True)
class ItemPosition:
    """One question with its number, counted from 1; `opens` the first of its section."""

    number: int
    total: int
    section: Section
    item: Item
    is_first_in_section: bool


def list_item_positions(content: TestContent) -> list[ItemPosition]:
    """Return every question of a test in its order."""
    pairs = [(section, item) for section in content.sections for item in section.items]
    return [
        ItemPosition(
            number, len(pairs), section, item, is_first_in_section=item is section.items[0]
        )
        for number, (section, item) in enumerate(pairs, 1)
    ]


def find_item_position(content: TestContent, number: int) -> ItemPosition:
    """Return the question with this number; NotFound."""
    every = list_item_positions(content)
    if not 1 <= number <= len(every):
        raise NotFound("There is no such question in this test")
    return every[number - 1]


def read_submitted_values(form: MultiDict[str, str]) -> list[str]:
    """Return what was typed or chosen, to show it again."""
    return [value[:MAX_VALUE_LENGTH] for value in form.getlist(ANSWER_FIELD)[:MAX_SUBMITTED_VALUES]]


def is_unchanged(form: MultiDict[str, str]) -> bool:
    """Whether the form says what it said when it was shown.

    Then it is not saved: another tab or device may have answered in the meantime, and pressing
    Next on a page that was left blank must not take that answer away.
    """
    given, shown = (
        [value for value in form.getlist(name) if value] for name in (ANSWER_FIELD, SHOWN_FIELD)
    )
    return SHOWN_FIELD in form and sorted(given) == sorted(shown)
