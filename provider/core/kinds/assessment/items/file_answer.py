"""`file`: a PDF or a picture that the candidate sends, and staff mark."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import validates_schema

from provider.core.kinds.accepted_files import (
    FILE_TYPES,
    MAX_MEGABYTES,
    TYPE_LABELS,
    AcceptedFiles,
    format_size,
    require_unique_types,
    types_field,
)
from provider.core.kinds.assessment.items.base import UNREADABLE, ItemKind
from provider.core.kinds.assessment.items.marked import MarkedItem, MarkedItemSchema
from provider.core.products.schema_fields import Integer
from provider.errors import Invalid


@dataclass(frozen=True, kw_only=True)
class FileAnswer(MarkedItem):
    """A file. The answer has the id of an AnswerFile, and its name, type and size in bytes.

    The file comes by a form of its own: `file_answers.save_file` writes the answer.
    """

    kind = "file"
    takes_file: ClassVar[bool] = True
    types: tuple[str, ...] = FILE_TYPES
    max_megabytes: int = MAX_MEGABYTES

    @property
    def accepted_files(self) -> AcceptedFiles:
        return AcceptedFiles(tuple(self.types), self.max_megabytes)

    @property
    def content_types(self) -> tuple[str, ...]:
        return self.accepted_files.content_types

    @property
    def max_bytes(self) -> int:
        return self.accepted_files.max_bytes

    def require_file(self, content: bytes) -> str:
        """Return the type of a file; raises Invalid for one that is no answer."""
        return self.accepted_files.require(content)

    def _parse_values(self, values: list[str]) -> Any:
        raise Invalid(UNREADABLE)

    def form_fields(self, value: Any) -> list[tuple[str, str]]:
        return []

    def format_answer(self, value: Any) -> str:
        return f"{value['name']} ({format_size(value['size'])})"

    def describe_for_marker(self, value: Any) -> str:
        """Return the type and the size: the file's name may be that of the candidate."""
        return f"{TYPE_LABELS[value['type']]}, {format_size(value['size'])}"

    def trial_answers(self) -> Iterator[Any]:
        """Yield nothing: a file cannot be made up."""
        yield from ()


class FileAnswerSchema(MarkedItemSchema):
    """`file`: which types of file, and how large."""

    item_class = FileAnswer

    types = types_field()
    max_megabytes = Integer(1, MAX_MEGABYTES, load_default=MAX_MEGABYTES)

    @validates_schema
    def _require_unique_types(self, data: dict[str, Any], **_: Any) -> None:
        require_unique_types(data)


KIND = ItemKind(
    FileAnswerSchema(),
    {
        "kind": "file",
        "key": "floor-plan",
        "prompt": "Draw a floor plan of the shop. Send a photo of it, or a PDF.",
        "types": ["pdf", "picture"],
        "max_megabytes": 2,
        "rubric": [
            {"key": "way", "text": "The way from the entrance to the till is free.", "points": 3},
            {"key": "scale", "text": "The plan names its scale.", "points": 2},
        ],
    },
)
