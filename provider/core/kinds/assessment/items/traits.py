"""The names of traits: what a personality test measures."""

from typing import Any

from marshmallow import ValidationError

from provider.core.products.schema_fields import Text

# The keys of a section's figures in the result's details. A trait with one of these names would
# overwrite a figure.
SCORE_LABEL, ANSWERED_LABEL = "Score", "Answered"


class TraitName(Text):
    """The name of a trait, at most 60 characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(60, **kwargs)

    def _parse(self, value: Any) -> str:
        name = super()._parse(value)
        if name in (SCORE_LABEL, ANSWERED_LABEL):
            raise ValidationError(f"should not be {SCORE_LABEL} or {ANSWERED_LABEL}")
        return name
