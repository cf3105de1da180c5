"""The parts of a test's document about integrity, retakes and the candidate's own report."""

from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.products.schema_fields import Choice, DocumentSchema, Flag, Integer

FIRST, BEST, LAST = COUNTED = ("first", "best", "last")
MAX_DAYS_TO_RETAKE = 3650


@dataclass(frozen=True)
class IntegrityOptions:
    """Whether signals are recorded, and whether shared links show them, too."""

    record: bool = False
    shared: bool = False


NO_INTEGRITY = IntegrityOptions()


@dataclass(frozen=True)
class RetakeOptions:
    """Whether a person may take the test again, after how many days, and which attempt counts."""

    allowed: bool = True
    after_days: int = 0
    counts: str = LAST


class IntegritySchema(DocumentSchema):
    """`integrity`: whether signals are recorded, and whether shared links show them."""

    record = Flag(required=True)
    shared = Flag(load_default=False)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> IntegrityOptions:
        return IntegrityOptions(**data)


class RetakeSchema(DocumentSchema):
    """`retakes`: the rule for a person who is invited to the same test again."""

    allowed = Flag(load_default=True)
    after_days = Integer(0, MAX_DAYS_TO_RETAKE, load_default=0)
    counts = Choice(*COUNTED, load_default=LAST)

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        if not data["allowed"] and data["after_days"]:
            raise ValidationError("should be left out when no retake is allowed", "after_days")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> RetakeOptions:
        return RetakeOptions(**data)
