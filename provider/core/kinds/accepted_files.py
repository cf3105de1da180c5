"""The files that a question takes as its answer: which types, and how large."""

from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from provider.core.formats import format_number
from provider.core.products.schema_fields import Choice, ListOf
from provider.errors import Invalid
from provider.storage.file_types import detect_type
from provider.texts import gettext

MEGABYTE = 1_000_000
# A single form with the file must not exceed `web/body_limits.py`.
MAX_FORM_MEGABYTES = 2
CONTENT_TYPES = {
    "pdf": ("application/pdf",),
    # Not image/heic: phones then convert their pictures to JPEG.
    "picture": ("image/jpeg", "image/png", "image/webp"),
}
FILE_TYPES = tuple(CONTENT_TYPES)
TYPE_LABELS = {
    "application/pdf": "PDF",
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WebP",
}


@dataclass(frozen=True)
class AcceptedFiles:
    """Types of file, of FILE_TYPES, and the largest size."""

    types: tuple[str, ...] = FILE_TYPES
    max_megabytes: int = MAX_FORM_MEGABYTES

    @property
    def content_types(self) -> tuple[str, ...]:
        return tuple(content_type for name in self.types for content_type in CONTENT_TYPES[name])

    @property
    def max_bytes(self) -> int:
        return self.max_megabytes * MEGABYTE

    def require(self, content: bytes) -> str:
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


def types_field() -> ListOf:
    """Return the field of a document that names the types."""
    return ListOf(Choice(*FILE_TYPES), "types", 1, len(FILE_TYPES), load_default=FILE_TYPES)


def require_unique_types(data: dict[str, Any]) -> None:
    """Raise ValidationError for a type that is named twice."""
    if len(set(data["types"])) != len(data["types"]):
        raise ValidationError("should name each type once", "types")


def format_size(size: int) -> str:
    """Return a number of bytes as text: `120 kB`, `1.4 MB`."""
    if size < MEGABYTE:
        return gettext("%(number)d kB", number=max(1, round(size / 1000)))
    return gettext("%(number)s MB", number=format_number(round(size / MEGABYTE, 1)))
