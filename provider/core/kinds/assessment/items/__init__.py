"""The types of item of a test: the questions, and how each reads, scores and shows an answer.

Each type is one module with its class, its schema and an example, and one line in ITEM_KINDS. The
template with its form is `candidate/assessment/items/KIND.html`.
"""

from collections.abc import Mapping

from marshmallow import Schema

from provider.core.kinds.assessment.items import (
    file_answer,
    forced_choice,
    gap_fill,
    likert,
    long_text,
    matching,
    multiple_choice,
    numeric,
    ordering,
    short_text,
    single_choice,
    situational_judgement,
    true_false,
)
from provider.core.kinds.assessment.items.base import (
    ANSWER_FIELD,
    MAX_TEXT_LENGTH,
    Item,
    ItemKind,
    Reading,
)
from provider.core.kinds.assessment.items.file_answer import FileAnswer
from provider.core.kinds.assessment.items.likert import Likert
from provider.core.kinds.assessment.items.marked import MarkedItem
from provider.core.kinds.assessment.items.multiple_choice import MultipleChoice
from provider.core.kinds.assessment.items.numeric import Numeric
from provider.core.kinds.assessment.items.options import Option
from provider.core.kinds.assessment.items.ordering import MOVE_FIELD
from provider.core.kinds.assessment.items.short_text import ShortText
from provider.core.kinds.assessment.items.single_choice import SingleChoice
from provider.core.kinds.assessment.items.true_false import TrueFalse
from provider.core.products.schema_fields import SchemaChoice

__all__ = [
    "ANSWER_FIELD",
    "ITEM_KINDS",
    "MAX_TEXT_LENGTH",
    "MOVE_FIELD",
    "FileAnswer",
    "Item",
    "ItemField",
    "ItemKind",
    "Likert",
    "MarkedItem",
    "MultipleChoice",
    "Numeric",
    "Option",
    "Reading",
    "ShortText",
    "SingleChoice",
    "TrueFalse",
]

ITEM_KINDS: dict[str, ItemKind] = {
    kind.name: kind
    for kind in (
        single_choice.KIND,
        multiple_choice.KIND,
        true_false.KIND,
        numeric.KIND,
        short_text.KIND,
        likert.KIND,
        forced_choice.KIND,
        situational_judgement.KIND,
        ordering.KIND,
        matching.KIND,
        gap_fill.KIND,
        long_text.KIND,
        file_answer.KIND,
    )
}


class ItemField(SchemaChoice):
    """An item, loaded by the schema that its `kind` names."""

    @property
    def schemas(self) -> Mapping[str, Schema]:
        return {name: kind.schema for name, kind in ITEM_KINDS.items()}
