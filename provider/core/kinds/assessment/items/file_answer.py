"""`file`: a PDF or a picture that the candidate sends, and staff mark."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from provider.core.kinds.assessment.items.base import UNREADABLE, ItemKind
from provider.core.kinds.assessment.items.marked import MarkedItem, MarkedItemSchema
from provider.core.labels import format_number
from provider.core.products.schema_fields import Choice, Integer, ListOf
from provider.errors import Invalid
from provider.storage.file_types import detect_type
from provider.texts import gettext

_MEGABYTE = 1_000_000
DEFAULT_MEGABYTES, MAX_MEGABYTES = 10, 50
# A single form with the file must not exceed `web/body_limits.py`. A script sends pieces.
MAX_FORM_MEGABYTES = 2
MAX_PIECE_BYTES = _MEGABYTE
_CONTENT_TYPES = {
    "pdf": ("application/pdf",),
    # Not image/heic: phones then convert their pictures to JPEG.
    "picture": ("image/jpeg", "image/png", "image/webp"),
}
TYPE_LABELS = {
    "application/pdf": "PDF",
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WebP",
}


@dataclass(frozen=True, kw_only=True)
class FileAnswer(MarkedItem):
    """A file. The answer has the id of an AnswerFile, and its name, type and size in bytes.

    The file comes by a form of its own: `file_answers.save_file` writes the answer.
    """

    kind = "file"
    takes_file: ClassVar[bool] = True
    types: tuple[str, ...] = tuple(_CONTENT_TYPES)
    max_megabytes: int = DEFAULT_MEGABYTES
    max_form_megabytes: ClassVar[int] = MAX_FORM_MEGABYTES
    max_form_bytes: ClassVar[int] = MAX_FORM_MEGABYTES * _MEGABYTE
    max_piece_bytes: ClassVar[int] = MAX_PIECE_BYTES

    @property
    def content_types(self) -> tuple[str, ...]:
        return tuple(content_type for name in self.types for content_type in _CONTENT_TYPES[name])

    @property
    def max_bytes(self) -> int:
        return self.max_megabytes * _MEGABYTE

    def require_file(self, content: bytes) -> str:
        """Return the type of a file; raises Invalid for one that is no answer."""
        self.require_size(len(content))
        return self.require_type(content)

    def require_size(self, size: int) -> None:
        """Raise Invalid for a file of so many bytes that is too large."""
        if size > self.max_bytes:
            raise Invalid(
                "This file is too large. It may have %(maximum)d MB", maximum=self.max_megabytes
            )

    def require_type(self, first_bytes: bytes) -> str:
        """Return the type of a file that begins with these bytes; raises Invalid for another."""
        content_type = detect_type(first_bytes)
        if content_type not in self.content_types:
            if self.types == ("pdf",):
                raise Invalid("This is not a PDF file. Please send a PDF")
            if self.types == ("picture",):
                raise Invalid("This is not a picture. Please send a JPEG, PNG or WebP picture")
            raise Invalid("Please send a PDF, or a JPEG, PNG or WebP picture")
        return content_type

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

    types = ListOf(Choice(*_CONTENT_TYPES), "types", 1, 2, load_default=tuple(_CONTENT_TYPES))
    max_megabytes = Integer(1, MAX_MEGABYTES, load_default=DEFAULT_MEGABYTES)

    @validates_schema
    def _require_unique_types(self, data: dict[str, Any], **_: Any) -> None:
        if len(set(data["types"])) != len(data["types"]):
            raise ValidationError("should name each type once", "types")


KIND = ItemKind(
    FileAnswerSchema(),
    {
        "kind": "file",
        "key": "floor-plan",
        "prompt": "Draw a floor plan of the shop. Send a photo of it, or a PDF.",
        "types": ["pdf", "picture"],
        "max_megabytes": 8,
        "rubric": [
            {"key": "way", "text": "The way from the entrance to the till is free.", "points": 3},
            {"key": "scale", "text": "The plan names its scale.", "points": 2},
        ],
    },
)


def format_size(size: int) -> str:
    """Return a number of bytes as text: `120 kB`, `1.4 MB`."""
    if size < _MEGABYTE:
        return gettext("%(number)d kB", number=max(1, round(size / 1000)))
    return gettext("%(number)s MB", number=format_number(round(size / _MEGABYTE, 1)))
