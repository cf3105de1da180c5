"""The description of the kind check."""

from pathlib import Path

from provider.core.kinds.base import Kind, KindTexts
from provider.core.kinds.check import content
from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.models import (
    CandidateDetail,
    Check,
    Consent,
    Finding,
    Package,
)
from provider.texts import gettext_noop
from provider.texts import lazy_gettext as _

KIND = Kind(
    name="check",
    product_class=Package,
    order_class=Check,
    schema=content.SCHEMA,
    texts=KindTexts(
        label=_("Background check"),
        product_label=_("Package"),
        noun=_("background check"),
        noun_with_article=_("a background check"),
        invited_to=_("agree to a background check"),
        request_phrase=_("asks for your consent to a background check"),
        button_label=_("See what is checked"),
        reassurance=_(
            "Nothing is checked before you have given your consent. Looking first is safe."
        ),
    ),
    find_warnings=content.find_warnings,
    folder=Path(__file__).parent,
    labels={
        "finding": {CLEAR: _("Clear"), CONSIDER: _("To consider")},
        "event": {
            "consent": "Consent",
            "details shown": "Details shown",
            "outcome entered": "Outcome entered",
        },
        "needs": {"check": "Staff: outcomes"},
    },
    tones={CLEAR: "good", CONSIDER: "warn"},
    email_subjects={
        "consent": gettext_noop("%(company)s: your copy of what you agreed to"),
    },
    personal_columns=(
        CandidateDetail.value_encrypted,
        Consent.name,
        Consent.ip_address,
        Consent.user_agent,
        Finding.status,
        Finding.note,
    ),
    other_columns=(
        CandidateDetail.name,
        Consent.disclosure_digest,
        Consent.disclosure_version,
        Finding.screening,
        Finding.actor,
    ),
)
