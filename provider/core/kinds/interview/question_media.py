"""The pictures and videos that an interview template shows beside its questions and texts.

{video: FILE, transcript?}            the recruiter's own video; the transcript is Markdown
{picture: FILE, alt}                  a picture, and what it shows for those who do not see it
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.products.files import PICTURE, VIDEO, FileName, FileSlot
from provider.core.products.schema_fields import DocumentSchema, Text


@dataclass(frozen=True)
class Media:
    """A video or a picture, by the name of its file. The other one is empty."""

    video: str = ""
    transcript: str = ""
    picture: str = ""
    alt: str = ""


class MediaSchema(DocumentSchema):
    """`media`: a video or a picture."""

    video = FileName(load_default="")
    transcript = Text(10_000, multiline=True, load_default="")
    picture = FileName(load_default="")
    alt = Text(1000, multiline=True, load_default="")

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        if bool(data["video"]) == bool(data["picture"]):
            raise ValidationError("should have either a video or a picture", "video")
        if data["picture"] and not data["alt"]:
            raise ValidationError("should say what the picture shows", "alt")
        if data["video"] and data["alt"]:
            raise ValidationError("is for a picture only; remove it", "alt")
        if data["picture"] and data["transcript"]:
            raise ValidationError("is for a video only; remove it", "transcript")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Media:
        return Media(**data)


def find_file_slots(content: dict[str, Any]) -> Iterator[FileSlot]:
    """Yield the places of an interview template that name files; the content may be incomplete."""
    parts = [(name, content.get(name)) for name in ("introduction", "practice", "closing")]
    questions = content.get("questions")
    parts += [
        (f"questions[{index}]", question)
        for index, question in enumerate(questions if isinstance(questions, list) else [])
    ]
    for path, part in parts:
        media = part.get("media") if isinstance(part, dict) else None
        for name in (VIDEO, PICTURE):
            if isinstance(media, dict) and isinstance(media.get(name), str) and media[name]:
                yield FileSlot(media, name, f"{path}.media.{name}")
