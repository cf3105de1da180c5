"""The position of each question in a test, and the values of an answer form."""

from collections.abc import Sequence
from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from provider.core.kinds.assessment.content import Section, TestContent
from provider.core.kinds.assessment.items import ANSWER_FIELD, MOVE_FIELD, Item, Reading
from provider.core.kinds.assessment.parts import Part, split_parts
from provider.errors import NotFound

# The fields with the values that were saved when the page was rendered: `shown` for `answer`, and
# `shown.KEY` for `answer.KEY`.
SHOWN_FIELD = "shown"
# The form field with the numbers of the readings that the page has shown.
READINGS_FIELD = "readings"
# A form that could not be saved is shown again: so many of its values, of so many characters.
MAX_SUBMITTED_VALUES = 100
MAX_VALUE_LENGTH = 1000


@dataclass(frozen=True)
class ItemPosition:
    """One question with its number, counted from 1."""

    number: int
    total: int
    section: Section
    item: Item
    is_first_in_section: bool
    is_first: bool = False  # of the questions among which the candidate moves
    is_last: bool = False
    shown_number: int = 0  # among the questions that count, or those of one section for practice
    shown_total: int = 0


def list_item_positions(content: TestContent) -> list[ItemPosition]:
    parts = split_parts(content)
    return [
        _describe_position(parts, part, number)
        for part in parts
        for number in range(part.first, part.last + 1)
    ]


def find_item_position(parts: Sequence[Part], number: int) -> ItemPosition:
    """Return the question with this number; raises NotFound."""
    part = next((part for part in parts if number in part), None)
    if part is None:
        raise NotFound("There is no such question in this test")
    return _describe_position(parts, part, number)


def _describe_position(parts: Sequence[Part], part: Part, number: int) -> ItemPosition:
    section, item = part.find(number)
    if part.is_practice:
        shown_number, shown_total = number - part.first + 1, part.size
    else:
        practice = [other for other in parts if other.is_practice]
        shown_number = number - sum(other.size for other in practice if other.index < part.index)
        shown_total = parts[-1].last - sum(other.size for other in practice)
    return ItemPosition(
        number,
        parts[-1].last,
        section,
        item,
        is_first_in_section=item is section.items[0],
        is_first=number == part.first,
        is_last=number == part.last,
        shown_number=shown_number,
        shown_total=shown_total,
    )


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
