"""Problems of single questions in a test's document that has errors elsewhere.

A schema stops at the errors of the fields, so it finds neither a question without a right answer
nor a text that Markdown changes. An author would learn of them one round later.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from marshmallow import ValidationError

from provider.core.kinds.assessment.import_warnings import item_warnings
from provider.core.kinds.assessment.items import Item, ItemField
from provider.core.kinds.assessment.sections import raw_items
from provider.core.products.documents import DocumentProblem

_ITEM_FIELD = ItemField()


def find_draft_problems(content: Mapping[str, Any]) -> Iterator[DocumentProblem]:
    sections = content.get("sections")
    for index, section in enumerate(sections if isinstance(sections, list) else []):
        if not isinstance(section, dict):
            continue
        for item_index, raw_item in enumerate(raw_items(section)):
            item = _load_item(raw_item)
            if item is not None:
                path = f"sections[{index}].items[{item_index}]"
                yield from _item_problems(path, item, is_scored=_is_scored(section))


def _item_problems(path: str, item: Item, *, is_scored: bool) -> Iterator[DocumentProblem]:
    if is_scored and item.scoring_problem:
        name, advice = item.scoring_problem
        yield DocumentProblem(f"{path}.{name}", advice)
    for warning in item_warnings(path, item):
        yield DocumentProblem(warning.path, warning.problem, is_error=False)


def _load_item(raw_item: Any) -> Item | None:
    """Load an item, without those of its fields that have errors; None where that is too little."""
    for _ in range(2):
        try:
            item: Item = _ITEM_FIELD.deserialize(raw_item)
        except ValidationError as error:
            names = error.messages if isinstance(error.messages, dict) else {}
            if not isinstance(raw_item, dict) or "kind" in names:
                return None
            raw_item = {name: value for name, value in raw_item.items() if name not in names}
        else:
            return item
    return None


def _is_scored(section: Mapping[str, Any]) -> bool:
    try:
        weight = Decimal(str(section.get("weight", 1)))
    except InvalidOperation:
        weight = Decimal(1)
    return weight != 0 and section.get("practice") is not True
