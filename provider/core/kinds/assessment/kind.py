"""The description of the kind assessment."""

from pathlib import Path

from provider.core.kinds.assessment import content
from provider.core.kinds.assessment.models import Answer, Assessment, Test
from provider.core.kinds.base import Kind, KindTexts
from provider.core.orders import CLOSE_ATTEMPTS

KIND = Kind(
    name="assessment",
    product_class=Test,
    order_class=Assessment,
    schema=content.SCHEMA,
    texts=KindTexts(
        label="Assessment",
        product_label="Test",
        noun="test",
        noun_with_article="a test",
        invited_to="take a test",
        request_phrase="invites you to take a test",
        button_label="See the test",
        reassurance="The time runs only from the moment you choose to begin. "
        "Looking first is safe.",
    ),
    folder=Path(__file__).parent,
    personal_columns=(Answer.value,),
    other_columns=(Answer.item_key,),
    scheduled_works=(CLOSE_ATTEMPTS,),
)
