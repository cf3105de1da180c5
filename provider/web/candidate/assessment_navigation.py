"""The position of each question in a test, and the values of an answer form."""

from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from provider.core.kinds.assessment.content import Section, TestContent
from provider.core.kinds.assessment.items import ANSWER_FIELD, MOVE_FIELD, Item, Reading
from provider.errors import NotFound

# The fields with the values that were saved when the page was rendered: `shown` for `answer`, and
# `shown.KEY` for `answer.KEY`.
SHOWN_FIELD = "shown"
# The form field with the numbers of the readings that the page has shown.
READINGS_FIELD = "readings"
# A form that could not be saved is shown again: so many of its values, of so many characters.
MAX_SUBMITTED_VALUES = 100
MAX_VALUE_LENGTH = 20_000


@dataclass(frozen=True)
class ItemPosition:
    """One question with its number, counted from 1."""

    number: int
    total: int
    section: Section
    item: Item
    is_first_in_section: bool


def list_item_positions(content: TestContent) -> list[ItemPosition]:
    pairs = [(section, item) for section in content.sections for item in section.items]
    return [
        ItemPosition(
            number, len(pairs), section, item, is_first_in_section=item is section.items[0]
        )
        for number, (section, item) in enumerate(pairs, 1)
    ]


def find_item_position(content: TestContent, number: int) -> ItemPosition:
    """Return the question with this number; raises NotFound."""
    positions = list_item_positions(content)
    if not 1 <= number <= len(positions):
        raise NotFound("There is no such question in this test")
    return positions[number - 1]


def read_submitted_fields(form: MultiDict[str, str]) -> list[tuple[str, str]]:
    """Return the fields of the answer, cut to a size that a page can show again."""
    fields = _fields_of_answer(form, ANSWER_FIELD)
    return [(name, value[:MAX_VALUE_LENGTH]) for name, value in fields[:MAX_SUBMITTED_VALUES]]


def name_shown_fields(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the hidden fields that tell `is_unchanged` what the page showed; at least one."""
    named = [(SHOWN_FIELD + name.removeprefix(ANSWER_FIELD), value) for name, value in fields]
    return named or [(SHOWN_FIELD, "")]


def must_see_reading(form: MultiDict[str, str], reading: Reading | None) -> bool:
    """Return True when the candidate has not seen yet how the number was read."""
    return reading is not None and reading.numbers[0] not in form.get(READINGS_FIELD, "").split()


def is_moving(form: MultiDict[str, str]) -> bool:
    """Tell whether a button of the question was pressed that changes the answer."""
    return MOVE_FIELD in form


def find_moved_button(form: MultiDict[str, str]) -> str | None:
    """Return the id of the button that was pressed, so that the next page focuses it."""
    return form.get(MOVE_FIELD, "").replace(" ", "-") or None


def is_unchanged(form: MultiDict[str, str]) -> bool:
    """Return True when the form has the same values as when it was shown.

    An unchanged form is not saved. Another tab or device may have saved an answer in the meantime,
    and Next on a page that was left blank must not delete that answer.
    """
    shown = _fields_of_answer(form, SHOWN_FIELD)
    submitted = name_shown_fields(_fields_of_answer(form, ANSWER_FIELD))
    if is_moving(form):
        return False
    return bool(shown) and _without_blanks(submitted) == _without_blanks(shown)


def _fields_of_answer(form: MultiDict[str, str], prefix: str) -> list[tuple[str, str]]:
    names = [name for name in form if name == prefix or name.startswith(f"{prefix}.")]
    return [(name, value) for name in names for value in form.getlist(name)]


def _without_blanks(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in fields if value)
