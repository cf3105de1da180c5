"""Where a candidate is in a test, and what a form of theirs says."""

from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from provider.errors import NotFound
from provider.kinds.assessment.content import Section, TestContent
from provider.kinds.assessment.items import FIELD, Item

SHOWN = "shown"  # the form's field with what was saved when the page was made
MOST_VALUES, MOST_TYPED = 100, 1000  # what a page gives back of a form that could not be saved


@dataclass(frozen=True)
class Place:
    """One question with its number, counted from 1; `opens` the first of its section."""

    number: int
    of: int
    section: Section
    item: Item
    opens: bool


def places(content: TestContent) -> list[Place]:
    """Return every question of a test in its order."""
    pairs = [(section, item) for section in content.sections for item in section.items]
    return [
        Place(number, len(pairs), section, item, opens=item is section.items[0])
        for number, (section, item) in enumerate(pairs, 1)
    ]


def place_of(content: TestContent, number: int) -> Place:
    """Return the question with this number; NotFound."""
    every = places(content)
    if not 1 <= number <= len(every):
        raise NotFound("There is no such question in this test")
    return every[number - 1]


def posted(form: MultiDict[str, str]) -> list[str]:
    """Return what was typed or chosen, to show it again."""
    return [value[:MOST_TYPED] for value in form.getlist(FIELD)[:MOST_VALUES]]


def untouched(form: MultiDict[str, str]) -> bool:
    """Whether the form says what it said when it was shown.

    Then it is not saved: another tab or device may have answered in the meantime, and pressing
    Next on a page that was left blank must not take that answer away.
    """
    given, shown = ([value for value in form.getlist(name) if value] for name in (FIELD, SHOWN))
    return SHOWN in form and sorted(given) == sorted(shown)
