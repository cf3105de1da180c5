"""The questions for referees: those of a screening, or those that its type names."""

from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.products.schema_fields import (
    Choice,
    DocumentSchema,
    Flag,
    Key,
    ListOf,
    Text,
    Title,
)
from provider.texts import Text as ShownText
from provider.texts import lazy_gettext as _

TEXT, CHOICE, YES_NO = QUESTION_KINDS = ("text", "choice", "yes_no")


@dataclass(frozen=True)
class RefereeQuestion:
    """One question. `options` are the answers to choose from, of a `choice` only."""

    key: str
    text: ShownText
    kind: str = TEXT
    options: tuple[str, ...] = ()
    required: bool = True


class RefereeQuestionSchema(DocumentSchema):
    """One of the `questions` of a screening."""

    key = Key(required=True)
    text = Text(500, required=True)
    kind = Choice(*QUESTION_KINDS, load_default=TEXT)
    options = ListOf(Title(120), "options", 0, 20, load_default=())
    required = Flag(load_default=True)

    @validates_schema
    def _validate_options(self, data: dict[str, Any], **_: Any) -> None:
        if data["kind"] == CHOICE and len(set(data["options"])) < 2:
            raise ValidationError("needs at least two different options", "options")
        if data["kind"] != CHOICE and data["options"]:
            raise ValidationError("are only for a question of the kind choice", "options")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> RefereeQuestion:
        return RefereeQuestion(**data | {"options": tuple(data["options"])})


_AGAIN = RefereeQuestion(
    "again", _("Would you work with this person again, or employ them again?"), YES_NO
)
_MORE = RefereeQuestion("more", _("Is there anything else that matters?"), required=False)
# For screenings whose type has no questions of its own.
GENERAL_QUESTIONS = (
    RefereeQuestion("knows", _("How do you know this person, and since when?")),
    RefereeQuestion("confirm", _("What can you confirm about this person?")),
    _MORE,
)
REFERENCE_QUESTIONS = (
    RefereeQuestion("knows", _("How do you know this person, and since when?")),
    RefereeQuestion("work", _("Which work did this person do with you or for you?")),
    RefereeQuestion("strengths", _("What did this person do well?")),
    RefereeQuestion("improve", _("What could this person do better?")),
    _AGAIN,
    _MORE,
)
EMPLOYMENT_QUESTIONS = (
    RefereeQuestion("worked", _("Did this person work for you?"), YES_NO),
    RefereeQuestion("period", _("From when until when?")),
    RefereeQuestion("role", _("In which role?")),
    RefereeQuestion("left", _("Why did this person leave?"), required=False),
    _AGAIN,
    _MORE,
)
