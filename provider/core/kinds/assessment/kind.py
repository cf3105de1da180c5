"""The description of the kind assessment."""

from pathlib import Path

from provider.core.kinds.assessment import content, import_warnings
from provider.core.kinds.assessment.models import Answer, Assessment, Test
from provider.core.kinds.assessment.scoring import PARTLY_RIGHT, RIGHT, WRONG
from provider.core.kinds.assessment.scripted import play_step
from provider.core.kinds.base import Kind, KindTexts
from provider.core.orders import CLOSE_ATTEMPTS, RECORD_PAUSES
from provider.core.staff.permissions import Permission
from provider.texts import lazy_gettext as _

KIND = Kind(
    name="assessment",
    product_class=Test,
    order_class=Assessment,
    schema=content.SCHEMA,
    texts=KindTexts(
        label=_("Assessment"),
        product_label=_("Test"),
        noun=_("test"),
        noun_with_article=_("a test"),
        invited_to=_("take a test"),
        request_phrase=_("invites you to take a test"),
        button_label=_("See the test"),
        reassurance=_(
            "The time runs only from the moment you choose to begin. Looking first is safe."
        ),
        receipt=_("Thank you: your test has arrived."),
    ),
    play_step=play_step,
    folder=Path(__file__).parent,
    labels={
        "needs": {"assessment": "Staff: marking"},
        "mark": {RIGHT: _("Right"), PARTLY_RIGHT: _("Partly right"), WRONG: _("Wrong")},
    },
    tones={RIGHT: "good", PARTLY_RIGHT: "warn", WRONG: "bad"},
    personal_columns=(Answer.value, Answer.typed),
    other_columns=(Answer.item_key, Answer.number),
    scheduled_works=(CLOSE_ATTEMPTS, RECORD_PAUSES),
    work_permission=Permission.RATE_INTERVIEWS,
    find_warnings=import_warnings.find_warnings,
)
